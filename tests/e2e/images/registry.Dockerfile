# Stands in for registry:2 where no image registry is reachable: the same program out of Debian's package.
ARG BASE=debian:bookworm-slim
FROM ${BASE}
RUN apt-get update -q && apt-get install -y --no-install-recommends docker-registry wget \
    && apt-get clean && rm -rf /var/lib/apt/lists/* \
    && install -d -o docker-registry /var/lib/registry \
    && printf '%s\n' 'version: 0.1' 'log: {level: warn, accesslog: {disabled: true}}' \
        'storage: {filesystem: {rootdirectory: /var/lib/registry}, delete: {enabled: true}}' "http: {addr: ':5000'}" \
        >/etc/docker/registry/config.yml
USER docker-registry
EXPOSE 5000
ENTRYPOINT ["docker-registry", "serve", "/etc/docker/registry/config.yml"]
