"""The tables and keys of the host's configuration, each with its rule and its text for people.

docs/host-configuration.md is made from these structs; a test holds them together.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, Struct

from cx.core.names import Namespace, check_database, check_instance, dns_label
from cx.pulls.commands import lasting_s
from cx.schema import Rule, Wrong
from cx.settings.api import Api
from cx.settings.databases import Database
from cx.settings.github import GitHub, is_repository
from cx.settings.listen import Listen
from cx.settings.rules import (
    Image,
    is_address,
    is_disk,
    is_domain,
    is_email,
    is_grant,
    is_host_path,
    is_hostname,
    is_https_url,
    is_lifetime,
    is_log_size,
    is_memory,
    is_pg_size,
    is_pool,
    is_project,
)

Port = Annotated[int, Meta(ge=1, le=65535)]


class Router(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Traefik, on the host's network."""

    image: Annotated[Image, Meta(description="Image of the router.")] = "traefik:v3"
    bind: Annotated[str, Meta(description="Address that the router listens on."), Rule(is_address)] = "0.0.0.0"  # noqa: S104
    http_port: Annotated[
        Port | None, Meta(description="Port for HTTP. Default: 8080 with the domain `localhost`, else 80.")
    ] = None
    https_port: Annotated[
        Port | None, Meta(description="Port for HTTPS. Default: 8443 with the domain `localhost`, else 443.")
    ] = None
    admin_port: Annotated[Port, Meta(description="Port on 127.0.0.1 for the router's ping and metrics.")] = 8079
    tls: Annotated[
        Literal["off", "acme", "files"] | None,
        Meta(
            description="`off`; `acme`: certificates from an ACME server, one for each hostname; `files`: the "
            "one in `certificate` and `key`. Default: `off` with the domain `localhost`, else `acme`."
        ),
    ] = None
    acme_email: Annotated[str | None, Meta(description="Where the ACME server writes to."), Rule(is_email)] = None
    acme_server: Annotated[
        str | None, Meta(description="Directory URL of another ACME server than Let's Encrypt's."), Rule(is_https_url)
    ] = None
    acme_ca: Annotated[Path | None, Meta(description="Certificate (PEM) to trust a private ACME server by.")] = None
    certificate: Annotated[Path | None, Meta(description="With `files`: certificate chain (PEM) for the domain.")] = (
        None
    )
    key: Annotated[Path | None, Meta(description="With `files`: its private key (PEM).")] = None

    def __post_init__(self) -> None:
        taken: dict[int, str] = {}
        for name in ("http_port", "https_port", "admin_port"):
            port = getattr(self, name)
            if port in taken:
                raise Wrong(name, f"{port} is taken by router.{taken[port]}")
            if port:
                taken[port] = name


class Postgres(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The previews' database server: many small databases, on no public address."""

    image: Annotated[Image, Meta(description="Image of the server.")] = "postgres:18"
    max_connections: Annotated[int, Meta(ge=20, le=20000, description="Connections to the whole server.")] = 500
    shared_buffers: Annotated[str, Meta(description="Memory for cached pages."), Rule(is_pg_size)] = "256MB"
    memory: Annotated[str, Meta(description="Limit of the server's container."), Rule(is_memory)] = "4g"
    path: Annotated[
        str | None,
        Meta(
            description="Folder of the engine's host for the server's data, on XFS or btrfs for clones that share "
            "their blocks. Default: a volume of the engine's; with `volume_size`, `/var/lib/cx/INSTANCE-postgres`."
        ),
        Rule(is_host_path),
    ] = None
    volume_size: Annotated[
        str | None,
        Meta(
            description="Such as `50g`: `cx up` makes a file of this size in `path`, with an XFS file system in which "
            "clones share their blocks, and mounts it. For Linux hosts where Docker runs as root."
        ),
        Rule(is_disk),
    ] = None
    volume_image: Annotated[
        Image, Meta(description="Image that mounts that file; built by `cx up` where it is not there.")
    ] = "cx/volume:3"
    connection_limit: Annotated[
        int, Meta(ge=1, le=1000, description="Connections that one namespace's clone takes at most.")
    ] = 20
    statement_timeout_s: Annotated[
        int, Meta(ge=0, le=604_800, description="Seconds that a statement may take in a clone; 0: no end.")
    ] = 600
    spares: Annotated[
        int, Meta(ge=0, le=20, description="Finished clones of each golden that are kept ready for the next previews.")
    ] = 1


class Pooler(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """PgBouncer, one for each clone."""

    image: Annotated[Image, Meta(description="Image of the pooler; built by `cx up` where it is not there.")] = (
        "cx/pgbouncer:1"
    )
    mode: Annotated[
        Literal["session", "transaction"],
        Meta(
            description="A connection to the clone is an app's for its session, or for one transaction at a time: "
            "fewer connections, but what an app sets for its session (SET, LISTEN, advisory locks) does not hold."
        ),
    ] = "session"


class Network(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Addresses of the namespaces."""

    pool: Annotated[
        str,
        Meta(
            description="Private IPv4 network, /20 or larger, that each namespace gets a small subnet of. Outside of "
            "what the engine gives to other networks (`default-address-pools`). Its first /21 is for the database "
            "server and up to 1,022 poolers."
        ),
        Rule(is_pool),
    ] = "10.213.0.0/16"


class Volumes(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where goldens and clones lie that are volumes: those of servers for one preview, and of `strategy = "volume"`."""

    path: Annotated[
        str | None,
        Meta(
            description="Folder of the engine's host, on XFS or btrfs, for clones that share their blocks. Default: "
            "with `postgres.volume_size` in that file system; else volumes of the engine's own, which are copied where "
            "its file system shares no blocks."
        ),
        Rule(is_host_path),
    ] = None


class Limits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """For each container of a preview: the default, and the most that a project gets unless `allow` says more."""

    memory: Annotated[str, Meta(description="Memory, such as `512m` or `2g`."), Rule(is_memory)] = "512m"
    cpus: Annotated[float, Meta(ge=0.01, le=1024, description="Cores.")] = 1.0
    pids: Annotated[int, Meta(ge=16, le=100_000, description="Processes and threads.")] = 256
    replicas: Annotated[int, Meta(ge=1, le=100, description="Replicas of one service.")] = 3
    services: Annotated[int, Meta(ge=1, le=200, description="Services of one project.")] = 20
    log_size: Annotated[str, Meta(description="Size at which a container's log is rotated."), Rule(is_log_size)] = "10m"
    log_files: Annotated[int, Meta(ge=1, le=100, description="Log files kept.")] = 3
    start_timeout_s: Annotated[
        int, Meta(ge=1, le=86_400, description="Seconds from start to healthy and answering.")
    ] = 120
    stay_up_s: Annotated[
        float,
        Meta(ge=0, le=600, description="Seconds that a service with neither a URL nor a health check is to stay up."),
    ] = 3.0
    build_timeout_s: Annotated[int, Meta(ge=1, le=86_400, description="Seconds for building one image.")] = 1800


class Project(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the host's owner grants to one project."""

    allow: Annotated[
        list[Annotated[str, Rule(is_grant)]],
        Meta(description="Single things that the policy refuses otherwise: see below."),
    ] = []
    path: Annotated[
        Path | None,
        Meta(description="The folder that it is deployed from: what is allowed holds for that folder alone."),
    ] = None
    repository: Annotated[
        str | None,
        Meta(description="The repository on GitHub, owner/name, that it is deployed from; never holds for a fork."),
        Rule(is_repository),
    ] = None


class HostFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    instance: Annotated[
        str,
        Meta(description="Name of this cx among others on the same engine: 1 to 12 of a-z and 0-9."),
        Rule(check_instance),
    ] = "cx"
    domain: Annotated[
        str,
        Meta(description="The previews' hostnames are below it; wildcard DNS leads here."),
        Rule(is_domain),
    ] = "localhost"
    hostname: Annotated[
        str,
        Meta(description="How a hostname is made, from `{namespace}`, `{service}` and `{domain}`."),
        Rule(is_hostname),
    ] = "{namespace}-{service}.{domain}"
    state_dir: Annotated[
        Path | None,
        Meta(description="Where cx keeps its state. Default: /var/lib/cx as root, else ~/.local/state/cx."),
    ] = None
    lifetime: Annotated[
        str | None,
        Meta(
            description="How long a namespace lives after its last deployment, such as `12h`, `3d` or `2w`; then "
            "`cx prune --expired` deletes it. Default: for ever."
        ),
        Rule(is_lifetime),
    ] = None
    router: Router = Router()
    postgres: Postgres = Postgres()
    pooler: Pooler = Pooler()
    network: Network = Network()
    limits: Limits = Limits()
    volumes: Volumes = Volumes()
    listen: Listen = Listen()
    api: Api = Api()
    github: GitHub = GitHub()
    databases: dict[Annotated[str, Rule(check_database)], Database] = {}
    projects: dict[Annotated[str, Rule(is_project)], Project] = {}

    def __post_init__(self) -> None:
        router, tls = self.router, self.tls
        for name, database in self.databases.items():
            if unknown := [one for one in database.projects if one not in self.projects]:
                raise Wrong(f"databases.{name}.projects", f"names {unknown[0]}, which is not in [projects]")
        if tls == "acme" and not router.acme_email:
            raise Wrong(
                "router.acme_email",
                f"is missing: certificates for {self.domain} come from an ACME server",
                'set it, or router.tls = "files" with a certificate, or router.tls = "off"',
            )
        if tls == "acme" and self.domain == "localhost":
            raise Wrong("router.tls", "an ACME server gives no certificate for localhost", "set domain")
        for name in ("certificate", "key"):
            if tls == "files" and not getattr(router, name):
                raise Wrong(f"router.{name}", 'is missing: router.tls is "files"')
        ports = [self.http_port, router.admin_port] + ([self.https_port] if tls != "off" else [])
        if len(set(ports)) < len(ports):
            raise Wrong("router", f"two of its ports are the same: {', '.join(map(str, ports))}")

    # --- what follows from the keys
    @property
    def local(self) -> bool:
        return self.domain == "localhost" or self.domain.endswith(".localhost")

    @property
    def lifetime_s(self) -> int | None:
        return lasting_s(self.lifetime) if self.lifetime else None

    @property
    def tls(self) -> str:
        return self.router.tls or ("off" if self.local else "acme")

    @property
    def http_port(self) -> int:
        return self.router.http_port or (8080 if self.local else 80)

    @property
    def https_port(self) -> int:
        return self.router.https_port or (8443 if self.local else 443)

    @property
    def state(self) -> Path:
        """The folder of cx's own state, `state_dir` or its default."""
        if self.state_dir:
            return self.state_dir
        return Path("/var/lib/cx") if os.geteuid() == 0 else Path("~/.local/state/cx").expanduser()

    @property
    def postgres_path(self) -> str:
        """The folder of the engine's host with the database server's data; "" for a volume of the engine's own."""
        given = self.postgres
        if given.path:
            return given.path
        return f"/var/lib/cx/{self.instance}-postgres" if given.volume_size else ""

    @property
    def volumes_path(self) -> str:
        """The folder of the engine's host with goldens and clones that are volumes; "" for the engine's own volumes.

        Where `cx up` mounts a file system for the server, they lie in it: the folder is not there when that is not.
        """
        mounted = f"{self.postgres_path}/mounted/.volumes" if self.postgres.volume_size else ""
        return self.volumes.path or mounted

    def host(self, namespace: Namespace, service: str) -> str:
        """The hostname of a namespace's service: one DNS label before the domain."""
        label = self.hostname.removesuffix(".{domain}").format(namespace=namespace.name, service=service)
        return f"{dns_label(label)}.{self.domain}"

    def base_url(self, host: str) -> str:
        """`https://host`, with its port where that is not the scheme's own."""
        scheme, port, usual = ("http", self.http_port, 80) if self.tls == "off" else ("https", self.https_port, 443)
        return f"{scheme}://{host}" + ("" if port == usual else f":{port}")


class Settings(HostFile, frozen=True, kw_only=True):
    """The host's configuration as loaded. `origins`: key -> "file" or the variable that it came from."""

    file: Path | None = None
    origins: dict[str, str] = {}
