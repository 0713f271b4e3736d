//! The target `insert` of tests/fuzz/targets.
#![no_main]

libfuzzer_sys::fuzz_target!(init: datacoord_fuzz::begin("insert"), |input: &[u8]| datacoord_fuzz::run("insert", input));
