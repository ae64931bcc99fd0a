"""Which services a browser would open, and at what port."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from cx.core.blueprint import Route, jobs_of
from cx.core.errors import Invalid
from cx.core.names import Namespace
from cx.project.checkout import read_inside
from cx.project.cx_toml import Document, Service
from cx.project.dockerfile import exposed
from cx.project.policy import Admitted
from cx.project.reading import FILE
from cx.settings import HostFile

# By the last word of an image's name: what speaks something else than HTTP to a browser.
NOT_WEB_IMAGES = frozenset(
    {
        *("postgres", "postgresql", "postgis", "pgvector", "timescaledb", "timescaledb-ha", "citus", "pgbouncer"),
        *("pgautoupgrade", "pgcat", "supavisor"),
        *("mysql", "mysql-server", "mariadb", "percona", "mongo", "mongodb", "cassandra", "clickhouse-server"),
        *("redis", "redis-stack-server", "valkey", "keydb", "dragonfly", "memcached", "etcd"),
        *("rabbitmq", "nats", "kafka", "cp-kafka", "zookeeper", "cp-zookeeper", "redpanda", "eclipse-mosquitto"),
        *("elasticsearch", "opensearch", "meilisearch", "solr", "vault", "consul", "localstack"),
        *("logstash", "fluentd", "fluent-bit", "filebeat", "clamav", "openldap", "coturn"),
    }
)
NOT_WEB_PORTS = frozenset(
    {21, 22, 25, 53, 110, 143, 389, 465, 587, 636, 993, 995, 1025, 1433, 1521, 1883, 2181, 3306, 3389, 4222}
    | {4317, 5005, 5044, 5432, 5672, 5678, 5858, 5900, 6379, 6432, 6543, 7233, 7687, 8125, 9042, 9092, 9229, 9300}
    | {11211, 24224, 26257, 26379, 27017, 33060, 50051, 61616}
)
# They speak HTTPS, the router asks in HTTP: taken where a service publishes nothing else.
TLS_PORTS = frozenset({443, 8443, 9443})
# By the last word of an image's name: the one of its ports that a browser opens, where it is published.
WEB_PORT_OF = {
    **{"n8n": 5678, "all-in-one": 16686, "jaeger": 16686},
    **{"rabbitmq": 15672, "neo4j": 7474, "activemq": 8161, "activemq-artemis": 8161, "emqx": 18083},
}
_LABEL = re.compile(r"traefik\.http\.services\.[^.]+\.loadbalancer\.server\.port", re.IGNORECASE)


def routes(
    admitted: Mapping[str, Admitted], document: Document, namespace: Namespace, settings: HostFile, checkout: Path
) -> tuple[Route, ...]:
    """The hostnames of a revision, in the order of its services.

    A service's port: what cx.toml says; else the first TCP port that it publishes (one of HTTPS only where there is
    no other); else the one that its Traefik labels name. When no service has one of these: what they `expose`, else
    what their Dockerfiles `EXPOSE`. Images and ports that are known to speak no HTTP (databases, caches, queues)
    count only when cx.toml says so, and so do jobs that another service waits for. Raises Invalid.
    """
    ports: dict[str, int] = {}
    jobs = jobs_of({name: one.model for name, one in admitted.items()})
    for name, one in admitted.items():
        said = document.services.get(name, Service())
        if said.route is False or (name in jobs and not (said.port or said.route)):
            continue
        if port := said.port or _declared(one, asked=bool(said.route)):
            ports[name] = port
    declared, seen = bool(ports), list[object]()
    for name, one in admitted.items():
        said = document.services.get(name, Service())
        if said.route is False or name in ports or ((declared or name in jobs) and not said.route):
            continue
        runs = (one.build.context, one.build.dockerfile, one.build.target) if one.build else one.model.get("image")
        if runs in seen and not said.route:
            continue  # a worker, of the same image
        if port := _exposed(one, checkout, asked=bool(said.route)):
            ports[name] = port
            seen.append(runs)
        elif said.route:
            raise Invalid(FILE, f"services.{name}.port", "is not set, and nothing else says it")
    found: dict[str, Route] = {}
    for name in admitted:
        if name not in ports:
            continue
        said = document.services.get(name, Service())
        host = settings.host(namespace, said.route if isinstance(said.route, str) else name)
        if host in found:
            raise Invalid(FILE, f"services.{name}.route", f"gives {host}, which is {found[host].service}'s already")
        path = (said.healthcheck.path if said.healthcheck else None) or "/"
        found[host] = Route(name, host, ports[name], path)
    return tuple(found.values())


def _declared(one: Admitted, *, asked: bool) -> int | None:
    image = one.model.get("image")
    usual = WEB_PORT_OF.get(image_word(image))
    if usual in one.published:
        return usual
    if not asked and image_word(image) in NOT_WEB_IMAGES:
        return None
    fpm = "-fpm" in f"-{image_tag(image)}"  # FastCGI, which a web server beside it speaks
    web = [port for port in one.published if asked or not (port in NOT_WEB_PORTS or (fpm and port == 9000))]
    if web:
        return next((port for port in web if port not in TLS_PORTS), web[0])
    labels = {key.lower(): value for key, value in one.labels.items()}
    if labels.get("traefik.enable", "true").lower() == "false":
        return None
    named = [int(value) for key, value in labels.items() if _LABEL.fullmatch(key) and re.fullmatch("[0-9]{1,5}", value)]
    return next((port for port in named if 0 < port < 65536), None)


def _exposed(one: Admitted, checkout: Path, *, asked: bool) -> int | None:
    if not asked and image_word(one.model.get("image")) in NOT_WEB_IMAGES:
        return None
    ports = list(one.exposed)
    if not ports and one.build:
        text = read_inside(checkout, one.build.dockerfile, size_max=256 * 1024).decode(errors="replace")
        ports = exposed(text, target=one.build.target, args=dict(one.build.args))
    return next((port for port in ports if asked or port not in NOT_WEB_PORTS), None)


def image_word(image: object) -> str:
    """`postgres` of `registry.example:5000/team/postgres:16@sha256:...`."""
    name = str(image or "").partition("@")[0].rpartition("/")[2]
    return name.partition(":")[0].lower()


def image_tag(image: object) -> str:
    """`16` of `registry.example:5000/team/postgres:16@sha256:...`; "" where there is none."""
    return str(image or "").partition("@")[0].rpartition("/")[2].partition(":")[2]
