#!/bin/sh
# The checks before a commit that run no test: format, spelling, licences and sources of the dependencies,
# lints (of the features that are off by default, too), documentation.
#
# typos, cargo-deny and zensical are installed by tools/checkers.sh. Where that fails they are skipped by name; with CI=true
# it is a failure.
set -eu
cd "$(dirname "$0")/.."

say() { printf '\n== %s\n' "$1"; }

say "format"
cargo fmt --check
cargo fmt --check --manifest-path tests/model/Cargo.toml

if checkers=$(tools/checkers.sh); then
    say "spelling"
    "$checkers/typos"
    say "dependencies: licences, versions, sources"
    # Not `advisories`: their list is no package. `make deny` looks at them too.
    "$checkers/cargo-deny" --locked check --hide-inclusion-graph bans licenses sources
    "$checkers/cargo-deny" --locked --manifest-path tests/model/Cargo.toml --config deny.toml \
        check --hide-inclusion-graph --allow license-not-encountered bans licenses sources
    say "documentation as a site"
    "$checkers/zensical" build --clean --strict
elif [ "${CI:-}" = true ]; then
    exit 1
else
    echo "skipped: spelling, dependencies, documentation as a site"
fi

# All targets with the features that are off by default, then the program as it is shipped.
say "lints"
cargo clippy --locked --all-targets --all-features -- -D warnings
cargo clippy --locked --lib --bins -- -D warnings
cargo clippy --locked --manifest-path tests/model/Cargo.toml --target-dir target/model --all-targets -- -D warnings
say "documentation of the code"
RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps
