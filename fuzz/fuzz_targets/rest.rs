//! The target `rest` of tests/fuzz/targets.
#![no_main]

libfuzzer_sys::fuzz_target!(init: datacoord_fuzz::begin("rest"), |input: &[u8]| datacoord_fuzz::run("rest", input));
