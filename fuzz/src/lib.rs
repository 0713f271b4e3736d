//! The targets of tests/fuzz, for `cargo fuzz`. Holds no target of its own.

#[path = "../../tests/kit/mod.rs"]
mod kit;
#[path = "../../tests/fuzz/targets/mod.rs"]
mod targets;

/// Prepares the target of this name.
pub fn begin(name: &str) {
    // libFuzzer's own hook ends the process at any panic, also at those that the program catches and answers.
    drop(std::panic::take_hook());
    targets::named(name).prepare();
}

/// Runs one input. A panic ends the process, and libFuzzer keeps the input.
pub fn run(name: &str, input: &[u8]) {
    targets::named(name).check(input);
}
