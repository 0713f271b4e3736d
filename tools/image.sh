#!/bin/sh
# Builds the container image with buildah, podman or docker, the first that is installed. BASE names another Debian image
# to start from.
set -eu
cd "$(dirname "$0")/.."
revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
set -- --build-arg "BASE=${BASE:-debian:trixie-slim}" --build-arg "REVISION=$revision" --build-arg "VERSION=$version" --tag "${TAG:-datacoord:latest}" .

if command -v buildah >/dev/null; then
    # The docker format keeps the health check, which OCI's has no place for.
    exec buildah bud --format docker --isolation "${ISOLATION:-chroot}" --network host "$@"
elif command -v podman >/dev/null; then
    exec podman build --format docker "$@"
elif command -v docker >/dev/null; then
    exec docker build "$@"
fi
echo "none of buildah, podman and docker is installed" >&2
exit 1
