//! The target `json` of tests/fuzz/targets.
#![no_main]

libfuzzer_sys::fuzz_target!(init: datacoord_fuzz::begin("json"), |input: &[u8]| datacoord_fuzz::run("json", input));
