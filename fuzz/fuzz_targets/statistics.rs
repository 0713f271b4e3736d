//! The target `statistics` of tests/fuzz/targets.
#![no_main]

libfuzzer_sys::fuzz_target!(init: datacoord_fuzz::begin("statistics"), |input: &[u8]| datacoord_fuzz::run("statistics", input));
