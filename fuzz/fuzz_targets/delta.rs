//! The target `delta` of tests/fuzz/targets.
#![no_main]

libfuzzer_sys::fuzz_target!(init: datacoord_fuzz::begin("delta"), |input: &[u8]| datacoord_fuzz::run("delta", input));
