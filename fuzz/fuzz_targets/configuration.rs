//! The target `configuration` of tests/fuzz/targets.
#![no_main]

libfuzzer_sys::fuzz_target!(init: datacoord_fuzz::begin("configuration"), |input: &[u8]| datacoord_fuzz::run("configuration", input));
