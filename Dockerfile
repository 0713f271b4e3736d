# Two stages from one Debian image: the first has the Rust toolchain, the second only the program.
#
#   docker build -t datacoord .
#   docker run -p 19530:19530 -p 9091:9091 -v datacoord:/var/lib/datacoord datacoord
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
COPY . .
RUN cargo build --locked --profile dist --bin datacoord

FROM ${BASE}
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ca-certificates \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin \
 && useradd --system --uid 10001 --create-home --home-dir /var/lib/datacoord datacoord
COPY --from=build /build/target/dist/datacoord /usr/local/bin/datacoord
COPY --from=build /build/milvus.yaml.example /build/LICENSE /usr/share/doc/datacoord/
ENV DATACOORD__DATADIR=/var/lib/datacoord
USER 10001
WORKDIR /var/lib/datacoord
VOLUME /var/lib/datacoord
EXPOSE 19530 9091
HEALTHCHECK --interval=10s --timeout=6s --start-period=60s CMD ["datacoord", "healthcheck"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["datacoord"]
