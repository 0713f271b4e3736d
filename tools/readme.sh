#!/bin/sh
# Runs the demo against a fresh server on free ports and writes its output into README.md, between the markers.
set -eu
cd "$(dirname "$0")/.."

cargo build --locked --bin datacoord
program=target/debug/datacoord
folder=$(mktemp -d)
"$program" serve --data-dir "$folder/data" --grpc-listen 127.0.0.1:0 --http-listen 127.0.0.1:0 \
    --ready-file "$folder/ready.json" >"$folder/server.log" 2>&1 &
server=$!
trap 'kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; rm -rf "$folder"' EXIT

waited=0
while [ ! -f "$folder/ready.json" ]; do
    kill -0 "$server" 2>/dev/null || { cat "$folder/server.log" >&2; exit 1; }
    [ "$waited" -lt 600 ] || { echo "the server was not ready after 60 s" >&2; exit 1; }
    sleep 0.1
    waited=$((waited + 1))
done
grpc=$(sed -n 's/.*"grpc": *"\([^"]*\)".*/\1/p' "$folder/ready.json")
http=$(sed -n 's/.*"http": *"\([^"]*\)".*/\1/p' "$folder/ready.json")

# The page shows the usual ports instead of the free ones.
"$program" demo --endpoint "$grpc" --http "$http" >"$folder/output"
{
    echo '```text'
    echo '$ make demo'
    sed -e "s/$grpc/127.0.0.1:19530/g" -e "s/$http/127.0.0.1:9091/g" "$folder/output"
    echo '```'
} >"$folder/part"
awk -v part="$folder/part" '
    /^<!-- demo:end/ { inside = 0 }
    !inside { print }
    /^<!-- demo:begin/ { inside = 1; while ((getline line < part) > 0) print line }
' README.md >"$folder/README.md"
cp "$folder/README.md" README.md
