#!/bin/sh
# Builds the server, starts it on its defaults with its data in ./data, runs `datacoord demo` against it, and leaves it
# running. The build is the one that the tests use too: it compiles in half the time of the release build, and its merge is
# several times slower. PROFILE=release takes that one. Arguments go to the server, e.g. --grpc-listen 127.0.0.1:0 for a
# free port.
set -eu
cd "$(dirname "$0")/.."

profile=${PROFILE:-dev}
case $profile in
dev) program=target/debug/datacoord ;;
*) program=target/$profile/datacoord ;;
esac
[ -x "$program" ] || echo "The first build takes some minutes: docs/benchmarks.md (Building) has the figures."
cargo build --locked --profile "$profile" --bin datacoord
ready=data/ready.json
mkdir -p data

# Prints a member of the ready file, which is one flat object.
member() { sed -n "s/.*\"$1\": *\"\{0,1\}\([^\",}]*\).*/\1/p" "$ready"; }

# Succeeds if the server of the ready file still runs.
running() { [ -f "$ready" ] && "$program" healthcheck --endpoint "$(member http)" >/dev/null 2>&1; }

if running; then
    echo "using the server that runs already: pid $(member pid)"
else
    rm -f "$ready"
    nohup "$program" serve --data-dir data --ready-file "$ready" "$@" >data/server.log 2>&1 </dev/null &
    server=$!
    waited=0
    while [ ! -f "$ready" ]; do
        if ! kill -0 "$server" 2>/dev/null; then
            echo "the server did not start; the end of data/server.log:" >&2
            tail -n 20 data/server.log >&2
            exit 1
        fi
        if [ "$waited" -ge 600 ]; then
            echo "the server was not ready after 60 s; see data/server.log" >&2
            kill "$server"
            exit 1
        fi
        sleep 0.1
        waited=$((waited + 1))
    done
fi

status=0
"$program" demo --endpoint "$(member grpc)" --http "$(member http)" || status=$?
echo
echo "The server still runs: pid $(member pid), gRPC $(member grpc), HTTP $(member http), log data/server.log"
echo "Stop it with: kill $(member pid)"
exit "$status"
