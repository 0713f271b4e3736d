//! The target `expression` of tests/fuzz/targets.
#![no_main]

libfuzzer_sys::fuzz_target!(init: datacoord_fuzz::begin("expression"), |input: &[u8]| datacoord_fuzz::run("expression", input));
