# Two stages from one Debian image: the first has the Rust toolchain, the second only the program and what its scripts need.
#
#   docker build -t datacoord .
#   docker run -p 19530:19530 -p 9091:9091 -v datacoord:/var/lib/datacoord datacoord
#
# BASE may name an image by its digest, so that a build can be repeated.
ARG BASE=debian:trixie-slim

FROM ${BASE} AS build
# The compiler of the release itself is too old; its backports have a newer one. They come from where the base image has
# its packages from, in either of the two forms that such a list has.
RUN . /etc/os-release && cd /etc/apt \
 && if [ -f sources.list.d/debian.sources ]; then \
      sed -e '/^$/q' -e "s/^Suites:.*/Suites: $VERSION_CODENAME-backports/" sources.list.d/debian.sources \
        > sources.list.d/backports.sources; \
    else \
      sed -n "s/ $VERSION_CODENAME / $VERSION_CODENAME-backports /p" sources.list > sources.list.d/backports.list; \
    fi \
 && apt-get update \
 && apt-get install --yes --no-install-recommends ca-certificates g++ libc6-dev \
 && apt-get install --yes --no-install-recommends --target-release "$VERSION_CODENAME-backports" cargo rustc \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin
WORKDIR /build
# The dependencies alone, in the versions of Cargo.lock: this layer is built anew only when they change. The sources are
# empty, and the build script, which reads the protocols, is too.
COPY Cargo.toml Cargo.lock ./
RUN mkdir src benches benches/server \
 && echo 'fn main() {}' | tee build.rs src/main.rs benches/server/main.rs > /dev/null \
 && touch src/lib.rs benches/codec.rs benches/merge.rs benches/planning.rs benches/scale.rs benches/wal.rs \
 && cargo build --locked --profile dist --bin datacoord \
 && rm -rf build.rs src benches
COPY . .
# The empty files may be newer than those of the sources.
RUN touch build.rs src/lib.rs src/main.rs && cargo build --locked --profile dist --bin datacoord

FROM ${BASE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="datacoord" \
      org.opencontainers.image.description="A compaction coordinator for vector data that speaks Milvus' protocols" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# curl is for the health check in Milvus' own compose file.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ca-certificates curl \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin \
 && useradd --system --uid 10001 --create-home --home-dir /var/lib/datacoord datacoord \
 && install --directory --owner 10001 --mode 0700 /var/lib/milvus
COPY --from=build /build/target/dist/datacoord /usr/local/bin/datacoord
COPY --chmod=0755 deploy/entrypoint.sh deploy/healthcheck.sh /usr/local/lib/datacoord/
COPY --from=build /build/milvus.yaml.example /build/LICENSE /usr/share/doc/datacoord/
ENV DATACOORD__DATADIR=/var/lib/datacoord
USER 10001
WORKDIR /var/lib/datacoord
# Nothing else is written: the root file system may be read-only.
VOLUME /var/lib/datacoord
EXPOSE 19530 9091
HEALTHCHECK --interval=10s --timeout=6s --start-period=60s CMD ["/usr/local/lib/datacoord/healthcheck.sh"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/lib/datacoord/entrypoint.sh"]
