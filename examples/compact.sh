#!/bin/sh
# Compacts a collection with curl through Milvus' REST API, waits for it, and shows its plans. With the address of the gRPC
# services as a third argument it also lists the segments, with grpcurl.
#
#   examples/compact.sh 127.0.0.1:9091 demo_books [127.0.0.1:19530]
set -eu
http=${1:?usage: compact.sh HTTP COLLECTION [GRPC]}
collection=${2:?usage: compact.sh HTTP COLLECTION [GRPC]}
grpc=${3:-}

# The value of a member of an answer, which is one flat object where it matters. Members that are 0 are left out.
member() { sed -n "s/.*\"$1\": *\([0-9]*\).*/\1/p"; }

job=$(curl --silent --show-error --fail -X POST "http://$http/api/v1/compaction?collection_name=$collection" |
    member compactionID)
[ -n "$job" ] || { echo "the server did not start a compaction" >&2; exit 1; }
echo "compaction $job"

waited=0
until [ "$(curl --silent --fail "http://$http/api/v1/compaction/state?compactionID=$job" | member state)" = 2 ]; do
    [ "$waited" -lt 60 ] || { echo "not completed within 60 s" >&2; exit 1; }
    sleep 1
    waited=$((waited + 1))
done
echo "completed; its plans:"
curl --silent --fail "http://$http/api/v1/compaction/plans?compactionID=$job"
echo
echo "metrics:"
curl --silent --fail "http://$http/metrics" | grep '^datacoord_compaction_plans_total.*outcome="completed"'

if [ -n "$grpc" ]; then
    "${GRPCURL:-grpcurl}" -plaintext -d "{\"collection\": {\"collection_name\": \"$collection\"}}" \
        "$grpc" datacoord.v1.DataCoord/ListSegments
fi
