# syntax=docker/dockerfile:1.7
# Both bases are named by version. Where builds must be the same for ever, name them by digest.

FROM rust:1.95.0-slim-bookworm AS build
WORKDIR /src
# SQLite, ring and jemalloc are compiled from C.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc libc6-dev make \
    && rm -rf /var/lib/apt/lists/*
# Without rust-toolchain.toml: the image is the toolchain.
COPY Cargo.toml Cargo.lock ./
COPY messages messages
COPY messages_bench messages_bench
COPY migrations migrations
# What `messages --version` shows: docker build --build-arg COMMIT=$(git rev-parse --short=12 HEAD) .
ARG COMMIT=""
# The caches outlive a build, but are not part of the image: copy the program out of them.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    MESSAGES_COMMIT="$COMMIT" cargo build --release --locked -p messages --features jemalloc \
    && install -D -m 0755 target/release/messages /out/usr/local/bin/messages \
    && install -d -m 0750 -o 10001 -g 10001 /out/data

# The program, the C library, and nothing else: no shell, no package manager.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /out/usr /usr
COPY LICENSE-APACHE LICENSE-MIT THIRD_PARTY_LICENSES.md /usr/share/doc/messages/
COPY --from=build --chown=10001:10001 /out/data /data
USER 10001:10001
WORKDIR /data
VOLUME /data
# It does not start on this address without AUTH_SECRET or AUTH_JWKS.
ENV LISTEN=0.0.0.0:3000 DATA_DIR=/data
EXPOSE 3000
# It stops by SIGTERM, and takes up to DRAIN_SECS and some for it.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=6s --start-period=60s --retries=3 CMD ["messages", "health"]
ENTRYPOINT ["messages"]
