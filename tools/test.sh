#!/bin/sh
# All tests: first those in Rust, then stock Milvus clients against a server of this build.
# With CI=true a client whose toolchain is missing is a failure; otherwise it is skipped by name.
set -eu
cd "$(dirname "$0")/.."

cargo test --locked --all-targets
cargo test --locked --doc
cargo build --release --locked
python3 tests/e2e/run.py "$@"
