//! The target `definitions` of tests/fuzz/targets.
#![no_main]

libfuzzer_sys::fuzz_target!(init: datacoord_fuzz::begin("definitions"), |input: &[u8]| datacoord_fuzz::run("definitions", input));
