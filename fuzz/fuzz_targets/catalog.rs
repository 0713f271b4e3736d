//! The target `catalog` of tests/fuzz/targets.
#![no_main]

libfuzzer_sys::fuzz_target!(init: datacoord_fuzz::begin("catalog"), |input: &[u8]| datacoord_fuzz::run("catalog", input));
