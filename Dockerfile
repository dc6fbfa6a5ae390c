# One image for every program: one executable under five names, which does what the name it is called by says.
#
#   docker build -t coap-gateway:1.0.0 --build-arg VERSION=1.0.0 .
#
# Nothing in here names an architecture: it builds on amd64 and on arm64.
# What makes two builds equal, and what does not: docs/dependencies.md.

# With a digest, swift@sha256:…, they stay what they are.
ARG BUILD_IMAGE=swift:6.3-bookworm
ARG BASE_IMAGE=debian:bookworm-slim

FROM $BUILD_IMAGE AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends libsqlite3-dev libmariadb-dev libhiredis-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src

# The versions of the dependencies are settled in a layer of their own, which stays until Package.swift changes: they are
# those of Package.resolved if it is there. What is built from them stays in the builder's cache: after a change of ours
# only our own modules are compiled.
ARG TARGETARCH
COPY Package.swift Package.resolved* ./
RUN --mount=type=cache,id=coap-gateway-build-$TARGETARCH,target=/src/.build,sharing=locked \
    swift package resolve

COPY Sources Sources
# Package.swift names the tests, so their folders have to be there; nothing of them is built.
COPY Tests Tests
# What is stripped besides symbols says something of the build and nothing of the program: each build has its own.
RUN --mount=type=cache,id=coap-gateway-build-$TARGETARCH,target=/src/.build,sharing=locked \
    swift build -c release --static-swift-stdlib --product coap-gateway \
    && mkdir /out \
    && strip --remove-section=.swift_modhash --remove-section=.note.gnu.build-id -o /out/coap-gateway \
        "$(swift build -c release --static-swift-stdlib --show-bin-path)/coap-gateway" \
    && for name in coap-interface northbound registry mock-device; do \
        ln /out/coap-gateway "/out/$name" || exit 1; \
    done
# What they are dated, in seconds since 1970.
ARG SOURCE_DATE_EPOCH=0
RUN touch -d "@$SOURCE_DATE_EPOCH" /out/coap-gateway /out

FROM $BASE_IMAGE
# libmariadb3 brings the authentication plugins, caching_sha2_password among them, which MySQL 8 asks for by default.
# Whatever installing changes gets one date, the same for every version of ours: as long as the packages are the same ones
# the layer is.
RUN touch /tmp/begin \
    && apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates libhiredis0.14 libmariadb3 libsqlite3-0 libstdc++6 \
    && rm -rf /var/lib/apt/lists/* /var/cache/* /var/log/* \
    && install -d -o 65532 -g 65532 -m 0700 /data \
    && find /data /etc /usr /var -xdev -newer /tmp/begin ! -path /etc/hosts ! -path /etc/resolv.conf \
        -exec touch -h -d @0 {} + \
    && rm /tmp/begin \
    && touch -d @0 /run /tmp
# In one step, so that the names stay links to one file.
COPY --from=build /out/ /usr/local/bin/

ARG VERSION=0.0.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="coap-gateway" \
    org.opencontainers.image.description="An OCF cloud: coap-gateway, coap-interface, northbound, registry, mock-device" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.version="$VERSION" \
    org.opencontainers.image.revision="$REVISION"

ENV BIND_ADDRESS=0.0.0.0 DATA_DIR=/data
USER 65532:65532
WORKDIR /data
# HTTP, CoAP over TCP and over TLS, between pods, registry, admin, HTTPS.
EXPOSE 8080 5683 5684 8081 5688 9090 8443
STOPSIGNAL SIGTERM
# Asks the admin port of whatever server runs here; no shell is needed for it.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD ["coap-gateway", "--health"]
CMD ["coap-gateway"]
