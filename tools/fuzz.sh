#!/bin/sh
# Runs the fuzz targets with coverage, one after the other: TIME seconds each (60), TARGET names one of them.
# Needs a nightly compiler and cargo-fuzz: rustup toolchain install nightly, cargo install cargo-fuzz.
#
# SANITIZER is none unless it is set: the program has little unsafe code, and the address sanitizer halves the speed.
set -eu
cd "$(dirname "$0")/.."

TIME=${TIME:-60}
SANITIZER=${SANITIZER:-none}
targets=${TARGET:-$(cargo +nightly fuzz list)}

# The inputs to begin from: seeds of the targets and finds of earlier runs.
cargo test --locked --test fuzz -- --ignored --exact seeds_are_written

failed=
for target in $targets; do
    printf '\n== %s\n' "$target"
    cargo +nightly fuzz run --sanitizer "$SANITIZER" "$target" -- \
        -max_total_time="$TIME" -timeout=20 -rss_limit_mb=2048 -max_len=65536 -print_final_stats=1 || failed="$failed $target"
done
if [ -n "$failed" ]; then
    echo "failed:$failed; the inputs are in fuzz/artifacts" >&2
    exit 1
fi
