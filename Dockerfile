# syntax=docker/dockerfile:1

FROM rust:1.95-bookworm AS build
WORKDIR /src
# Without rust-toolchain.toml: the image is the toolchain.
COPY Cargo.toml Cargo.lock ./
COPY messages messages
COPY messages_bench messages_bench
COPY migrations migrations
# The caches outlive a build, but are not part of the image: copy the program out of them.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked -p messages --features jemalloc \
    && cp target/release/messages /usr/local/bin/messages

FROM debian:bookworm-slim
# curl is for health checks.
RUN apt-get update \
    && apt-get install -y --no-install-recommends curl \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /data --shell /usr/sbin/nologin messages \
    && install -d -o messages -g messages -m 0750 /data
COPY --from=build /usr/local/bin/messages /usr/local/bin/messages
USER messages
WORKDIR /data
VOLUME /data
# It does not start on this address without AUTH_SECRET or AUTH_JWKS.
ENV LISTEN=0.0.0.0:3000 DATA_DIR=/data
EXPOSE 3000
ENTRYPOINT ["messages"]
