# Two stages from one Debian image: the first has the Rust toolchain, the second only the program.
#
#   docker build -t datacoord .
#   docker run -p 19530:19530 -p 9091:9091 -v datacoord:/var/lib/datacoord datacoord
ARG BASE=debian:bookworm-slim

FROM ${BASE} AS build
ARG RUST=1.95.0
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ca-certificates curl g++ libc6-dev make \
 && rm -rf /var/lib/apt/lists/*
ENV PATH=/root/.cargo/bin:$PATH
RUN curl --proto '=https' --tlsv1.2 --fail --silent --show-error --location --output /tmp/rustup-init \
      "https://static.rust-lang.org/rustup/dist/$(uname -m)-unknown-linux-gnu/rustup-init" \
 && chmod +x /tmp/rustup-init \
 && /tmp/rustup-init -y --no-modify-path --profile minimal --default-toolchain ${RUST} \
 && rm /tmp/rustup-init
WORKDIR /build
COPY . .
RUN cargo build --locked --profile dist --bin datacoord

FROM ${BASE}
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ca-certificates \
 && rm -rf /var/lib/apt/lists/* \
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
