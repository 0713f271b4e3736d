//! The target `rows` of tests/fuzz/targets.
#![no_main]

libfuzzer_sys::fuzz_target!(init: datacoord_fuzz::begin("rows"), |input: &[u8]| datacoord_fuzz::run("rows", input));
