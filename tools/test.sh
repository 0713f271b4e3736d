#!/bin/sh
# All tests: first those in Rust, then stock Milvus clients against a server of this build.
# With CI=true a client whose toolchain is missing is a failure; otherwise it is skipped by name.
set -eu
cd "$(dirname "$0")/.."

# The tests in Rust are built with the feature planted-faults, of which nothing shows until a variable of the environment asks
# for it: the program is compiled for tests once, and the step after them needs no build. The clients get the ordinary
# program. The Makefile says why the folders are two.
# Not --all-targets: that would run the benches. A kill is tried at some of the places between two steps of a change; `make
# points` tries all of them.
PLACES=8 CARGO_BUILD_BUILD_DIR="$PWD/target" cargo test --locked --features planted-faults --target-dir target/planted \
    --lib --bins --tests
cargo test --locked --manifest-path tests/model/Cargo.toml --target-dir target/model
# The tests are tested: with each deliberate breakage one of them has to fail.
python3 tools/planted.py --passed
cargo build --locked --bins --examples
if [ "${CI:-}" = true ]; then
    # Nothing is built after this. What cargo keeps for a later build is most of the disk that a run needs.
    rm -rf target/planted target/model target/doc target/debug/deps target/debug/build target/debug/.fingerprint
    df -h .
fi
python3 tests/e2e/run.py --binary target/debug/datacoord "$@"
