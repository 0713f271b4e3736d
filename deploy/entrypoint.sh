#!/bin/sh
# Starts the container: `datacoord` with the arguments after the image's name, or, in the place of Milvus' own image, its
# command line `milvus run standalone`.
set -eu

case "${1:-}" in
    datacoord) shift ;;
    milvus)
        if [ "${2:-}" != run ] || [ "${3:-}" != standalone ]; then
            echo "entrypoint: the arguments are '$*': only 'milvus run standalone' is known, the whole system is one process" >&2
            exit 2
        fi
        shift 3
        # Milvus keeps its files here, and uses a bucket unless it is told otherwise.
        export DATACOORD__DATADIR="${MILVUS_DATA:-/var/lib/milvus}"
        if [ -n "${MINIO_ADDRESS:-}" ]; then
            export COMMON_STORAGETYPE="${COMMON_STORAGETYPE:-remote}"
        fi
        config="${MILVUS_CONFIG:-/milvus/configs/milvus.yaml}"
        if [ -f "$config" ]; then
            set -- --config "$config" "$@"
        fi
        ;;
esac

# Without an argument, or with flags alone, the server is started.
case "${1:-}" in
    "" | -*) set -- serve "$@" ;;
esac

data="${DATACOORD__DATADIR:-}"
if [ "$1" = serve ] && [ -n "$data" ] && [ -d "$data" ] && [ ! -w "$data" ]; then
    echo "entrypoint: $data can't be written by user $(id -u): change its owner (chown $(id -u)), or run the container as another user" >&2
fi
exec datacoord "$@"
