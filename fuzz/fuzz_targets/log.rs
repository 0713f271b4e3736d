//! The target `log` of tests/fuzz/targets.
#![no_main]

libfuzzer_sys::fuzz_target!(init: datacoord_fuzz::begin("log"), |input: &[u8]| datacoord_fuzz::run("log", input));
