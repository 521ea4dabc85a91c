# The gateway's images. Two targets:
#
#   docker build -t elrar/state-gateway:latest .                      the default: a slim Debian with the tools that one
#                                                                     looks for trouble with
#   docker build --target minimal -t elrar/state-gateway:minimal .    the binary alone, not as root
#
# A site without a public registry, module proxy or package mirror names its own (docs/deployment.md, step 2):
#
#   --build-arg GO_IMAGE=… RUNTIME_IMAGE=… GOPROXY=… GOSUMDB=… DEBIAN_MIRROR=…
#
# It builds with BuildKit and with the builder before it, so it keeps to what both know.
ARG GO_IMAGE=golang:1.26-bookworm
ARG RUNTIME_IMAGE=debian:bookworm-slim
ARG MINIMAL_IMAGE=scratch

FROM ${GO_IMAGE} AS build
WORKDIR /src
COPY go.mod go.sum ./
# Where modules come from and how they are checked; without these, Go's own defaults.
ARG GOPROXY GOSUMDB GONOSUMDB
RUN GOTOOLCHAIN=local go mod download
COPY . .
# The binary depends on the sources, the Go version and these two, and on nothing else.
ARG VERSION=devel REVISION=unknown
RUN CGO_ENABLED=0 GOTOOLCHAIN=local go build -trimpath -buildvcs=false -ldflags "-s -w -buildid= -X main.version=${VERSION} -X main.revision=${REVISION}" \
    -o /out/bin/state-gateway ./cmd/state-gateway && mkdir /out/data

FROM ${MINIMAL_IMAGE} AS minimal
ARG VERSION=devel REVISION=unknown
LABEL org.opencontainers.image.title="ELRAR State Gateway" \
      org.opencontainers.image.description="Keeps the newest state of every LLM engine, pushed by UDP, and serves it to routers over HTTP" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="https://github.com/elrar/state-gateway" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /out/bin/state-gateway /usr/local/bin/state-gateway
COPY --from=build --chown=65532:65532 /out/data /data
COPY LICENSE /usr/share/doc/state-gateway/LICENSE
WORKDIR /data
USER 65532:65532
EXPOSE 9999/udp 8080/tcp
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=4s --start-period=10s --retries=3 CMD ["/usr/local/bin/state-gateway", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/state-gateway"]

FROM ${RUNTIME_IMAGE}
# A mirror of Debian, such as http://mirror.example/debian; without one, what the base image has.
ARG DEBIAN_MIRROR
RUN if [ -n "${DEBIAN_MIRROR}" ]; then \
      rm -rf /etc/apt/sources.list.d/* && . /etc/os-release && \
      echo "deb ${DEBIAN_MIRROR} ${VERSION_CODENAME} main" > /etc/apt/sources.list; \
    fi && \
    apt-get update && \
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends net-tools iproute2 iputils-ping procps && \
    rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/apt /var/log/dpkg.log
ARG VERSION=devel REVISION=unknown
LABEL org.opencontainers.image.title="ELRAR State Gateway" \
      org.opencontainers.image.description="Keeps the newest state of every LLM engine, pushed by UDP, and serves it to routers over HTTP" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="https://github.com/elrar/state-gateway" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /out/bin/state-gateway /usr/local/bin/state-gateway
COPY LICENSE /usr/share/doc/state-gateway/LICENSE
# Root, because the guide mounts a directory at /data that only root may write to, and rotation makes new files in it for as
# long as the gateway runs: to begin as root and go on as another user would only put the failure off. Root needs none of its
# capabilities for it: docs/deployment.md runs this image with --cap-drop ALL, and another with --user.
WORKDIR /data
EXPOSE 9999/udp 8080/tcp
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=4s --start-period=10s --retries=3 CMD ["/usr/local/bin/state-gateway", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/state-gateway"]
