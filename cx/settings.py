"""The host's configuration: one TOML file, each of its keys an environment variable too.

docs/host-configuration.md is made from these structs; a test holds them together.
"""

from __future__ import annotations

import copy
import difflib
import ipaddress
import os
import re
import string
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta, Struct

from cx.errors import Invalid
from cx.model.names import Namespace, check_database, check_instance, dns_label, shown
from cx.schema import FromEnvironment, Rule, Secret, Wrong, decode, joined, leaves, read_toml

__all__ = ["Secret", "Settings", "default_path", "load", "settings_document"]

# Variables that begin like a key of ours and are none.
NOT_KEYS = frozenset({"CX_CONFIG", "CX_POSTGRES_PASSWORD", "CX_CERTIFICATE_KEY"})
Kind = Literal["url", "host", "port", "user", "password", "database"]
DATABASE_VARIABLES: dict[str, Kind] = {
    "DATABASE_URL": "url",
    "PGHOST": "host",
    "PGPORT": "port",
    "PGUSER": "user",
    "PGPASSWORD": "password",
    "PGDATABASE": "database",
}
GRANTS = re.compile(
    r"env_file|extra_hosts|cap_add:[A-Z_]+|(?:bind|device):/[A-Za-z0-9._/ -]+|sysctl:[a-z0-9._-]+"
    r"|memory:[1-9][0-9]*[kmg]b?|cpus:[0-9]+(?:\.[0-9]+)?|(?:pids|replicas):[1-9][0-9]*"
)
_DNS_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN = re.compile(rf"(?=.{{1,180}}$)(?:{_DNS_LABEL}\.)*{_DNS_LABEL}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


# --- rules


def _domain(text: str) -> None:
    if not _DOMAIN.fullmatch(text) or text.replace(".", "").isdigit():
        raise ValueError(f"is not a DNS name in lower case: {shown(text)}")


def _hostname(text: str) -> None:
    if not text.endswith(".{domain}"):
        raise ValueError("should end with .{domain}")
    label = text.removesuffix(".{domain}")
    try:
        parsed = list(string.Formatter().parse(label))
    except ValueError as exc:
        raise ValueError("has a brace that is not closed") from exc
    fields = [field for _, field, _, _ in parsed if field is not None]
    odd = any(spec or conversion for _, _, spec, conversion in parsed)
    if unknown := sorted(set(fields) - {"namespace", "service"}):
        raise ValueError(f"may use {{namespace}} and {{service}} only, not {{{shown(unknown[0])}}}")
    if sorted(fields) != ["namespace", "service"] or odd:
        raise ValueError("should hold {namespace} and {service} once each")
    if "}{" in label:
        raise ValueError("should have a dash between {namespace} and {service}")
    plain = label.replace("{namespace}", "n").replace("{service}", "s")
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?", plain) or "-" not in plain:
        raise ValueError("should be one DNS label before .{domain}: a-z, 0-9 and dashes around the fields")


def _address(text: str) -> None:
    try:
        ipaddress.ip_address(text)
    except ValueError as exc:
        raise ValueError(f"is not an IP address: {shown(text)}") from exc


def _pool(text: str) -> None:
    try:
        network = ipaddress.ip_network(text)
    except ValueError as exc:
        raise ValueError(f"is not a network such as 10.213.0.0/16: {shown(text)}") from exc
    if network.version != 4 or not network.is_private:
        raise ValueError("should be a private IPv4 network")
    if network.prefixlen > 20:
        raise ValueError(f"is too small: /{network.prefixlen}, should be /20 or larger")


def _email(text: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*", text):
        raise ValueError(f"is not an e-mail address: {shown(text)}")


def _https_url(text: str) -> None:
    if not re.fullmatch(r"https://[A-Za-z0-9._~:/?#@!&()*+,;=%\[\]-]+", text):
        raise ValueError(f"should be an https:// URL, is {shown(text)}")


def _memory(text: str) -> None:
    match = re.fullmatch(r"([1-9][0-9]{0,8})([kmg])b?", text.lower())
    if not match:
        raise ValueError(f"should be a size such as 512m or 2g, is {shown(text)}")
    if int(match[1]) * {"k": 1, "m": 1024, "g": 1024**2}[match[2]] < 16 * 1024:
        raise ValueError(f"should be at least 16m, is {shown(text)}")


def _log_size(text: str) -> None:
    if not re.fullmatch(r"[1-9][0-9]{0,5}[kmg]", text):
        raise ValueError(f"should be a size such as 10m, is {shown(text)}")


def _pg_size(text: str) -> None:
    if not re.fullmatch(r"[1-9][0-9]{0,6}(kB|MB|GB)", text):
        raise ValueError(f"should be a size such as 256MB, is {shown(text)}")


def _source(secret: Secret) -> None:
    if secret.variable:
        if not _VARIABLE.fullmatch(secret.variable):
            raise ValueError("env: should be followed by the name of an environment variable")
        return
    try:
        url = urlsplit(secret.reveal())
        right = url.scheme in ("postgresql", "postgres") and len(url.path) > 1 and (url.port or 1) > 0
    except ValueError:
        right = False
    if not right:
        raise ValueError("should be postgresql://user:password@host/database, or env:NAME (not shown here)")


def _variable(text: str) -> None:
    if not _VARIABLE.fullmatch(text):
        raise ValueError(f"is not the name of an environment variable: {shown(text)}")


def _extension(text: str) -> None:
    if not re.fullmatch(r"[a-z][a-z0-9_-]{0,62}", text):
        raise ValueError(f"is not the name of an extension: {shown(text)}")


def _project(text: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,99}", text):
        raise ValueError(f"is not the name of a project: {shown(text)}")


def _grant(text: str) -> None:
    if not GRANTS.fullmatch(text) or ".." in text.split("/"):
        raise ValueError(f"is not something that can be allowed: {shown(text)}; see docs/host-configuration.md")


Port = Annotated[int, Meta(ge=1, le=65535)]
Image = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/@-]{0,254}$(?!\n)")]


# --- the tables


class Router(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Traefik, on the host's network."""

    image: Annotated[Image, Meta(description="Image of the router.")] = "traefik:v3"
    bind: Annotated[str, Meta(description="Address that the router listens on."), Rule(_address)] = "0.0.0.0"  # noqa: S104
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
    acme_email: Annotated[str | None, Meta(description="Where the ACME server writes to."), Rule(_email)] = None
    acme_server: Annotated[
        str | None, Meta(description="Directory URL of another ACME server than Let's Encrypt's."), Rule(_https_url)
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
    shared_buffers: Annotated[str, Meta(description="Memory for cached pages."), Rule(_pg_size)] = "256MB"
    memory: Annotated[str, Meta(description="Limit of the server's container."), Rule(_memory)] = "4g"
    connection_limit: Annotated[
        int, Meta(ge=1, le=1000, description="Connections that one namespace's clone takes at most.")
    ] = 20


class Pooler(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """PgBouncer, one for each clone."""

    image: Annotated[Image, Meta(description="Image of the pooler; built by `cx up` where it is not there.")] = (
        "cx/pgbouncer:1"
    )


class Network(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Addresses of the namespaces."""

    pool: Annotated[
        str,
        Meta(description="Private IPv4 network, /20 or larger, that each namespace gets a small subnet of."),
        Rule(_pool),
    ] = "10.213.0.0/16"


class Limits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """For each container of a preview: the default, and the most that a project gets unless `allow` says more."""

    memory: Annotated[str, Meta(description="Memory, such as `512m` or `2g`."), Rule(_memory)] = "512m"
    cpus: Annotated[float, Meta(ge=0.01, le=1024, description="Cores.")] = 1.0
    pids: Annotated[int, Meta(ge=16, le=100_000, description="Processes and threads.")] = 256
    replicas: Annotated[int, Meta(ge=1, le=100, description="Replicas of one service.")] = 3
    services: Annotated[int, Meta(ge=1, le=200, description="Services of one project.")] = 20
    log_size: Annotated[str, Meta(description="Size at which a container's log is rotated."), Rule(_log_size)] = "10m"
    log_files: Annotated[int, Meta(ge=1, le=100, description="Log files kept.")] = 3
    start_timeout_s: Annotated[
        int, Meta(ge=1, le=86_400, description="Seconds from start to healthy and answering.")
    ] = 120
    build_timeout_s: Annotated[int, Meta(ge=1, le=86_400, description="Seconds for building one image.")] = 1800


class Database(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A source that previews get clones of; exactly one of `source` and `file`."""

    engine: Annotated[Literal["postgres"], Meta(description="The engine.")] = "postgres"
    source: Annotated[
        Secret | None,
        Meta(
            description="`postgresql://user:password@host/database` to dump from, or `env:NAME`: the variable NAME "
            "of cx's environment holds it. Never shown."
        ),
        Rule(_source),
    ] = None
    file: Annotated[Path | None, Meta(description="A dump of `pg_dump` (custom, directory or plain) instead.")] = None
    sanitise: Annotated[Path | None, Meta(description="SQL script that takes out what previews must not see.")] = None
    extensions: Annotated[
        list[Annotated[str, Rule(_extension)]], Meta(description="Extensions to create before the data comes in.")
    ] = []
    jobs: Annotated[int, Meta(ge=1, le=64, description="Parallel jobs of dump and restore.")] = 2
    env: Annotated[
        dict[
            Annotated[str, Rule(_variable)],
            Kind,
        ],
        Meta(description="Variables that the previews' services get: name -> what it holds."),
    ] = msgspec.field(default_factory=DATABASE_VARIABLES.copy)

    def __post_init__(self) -> None:
        if (self.source is None) == (self.file is None):
            raise Wrong("source", "should be given, or file instead; exactly one of the two")


class Project(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the host's owner grants to one project."""

    allow: Annotated[
        list[Annotated[str, Rule(_grant)]],
        Meta(description="Single things that the policy refuses otherwise: see below."),
    ] = []
    path: Annotated[
        Path | None,
        Meta(description="The folder that it is deployed from: what is allowed holds for that folder alone."),
    ] = None


class HostFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    instance: Annotated[
        str,
        Meta(description="Name of this cx among others on the same engine: 1 to 12 of a-z and 0-9."),
        Rule(check_instance),
    ] = "cx"
    domain: Annotated[
        str, Meta(description="The previews' hostnames are below it; a wildcard DNS record leads here."), Rule(_domain)
    ] = "localhost"
    hostname: Annotated[
        str,
        Meta(description="How a hostname is made, from `{namespace}`, `{service}` and `{domain}`."),
        Rule(_hostname),
    ] = "{namespace}-{service}.{domain}"
    state_dir: Annotated[
        Path | None,
        Meta(description="Where cx keeps its state. Default: /var/lib/cx as root, else ~/.local/state/cx."),
    ] = None
    router: Router = Router()
    postgres: Postgres = Postgres()
    pooler: Pooler = Pooler()
    network: Network = Network()
    limits: Limits = Limits()
    databases: dict[Annotated[str, Rule(check_database)], Database] = {}
    projects: dict[Annotated[str, Rule(_project)], Project] = {}

    def __post_init__(self) -> None:
        router, tls = self.router, self.tls
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


# --- loading


def default_path(environ: Mapping[str, str]) -> Path:
    """$CX_CONFIG; else /etc/cx/host.toml for root, or where it exists; else ~/.config/cx/host.toml."""
    if named := environ.get("CX_CONFIG"):
        return Path(named)
    system = Path("/etc/cx/host.toml")
    if os.geteuid() == 0 or system.exists():
        return system
    home = environ.get("XDG_CONFIG_HOME") or str(Path(environ.get("HOME", "~")).expanduser() / ".config")
    return Path(home) / "cx" / "host.toml"


def load(path: Path | None, environ: Mapping[str, str]) -> Settings:
    """The configuration at `path` (None: the default one), with the environment's values over it.

    A file that is not there means defaults, unless $CX_CONFIG names it. Raises Invalid.
    """
    path = path or default_path(environ)
    named = environ.get("CX_CONFIG")
    where = str(path)
    missing = not path.exists()
    if missing and named and Path(named) == path:
        raise Invalid("CX_CONFIG", "", f"names {path}, which is not there", remedy="mend it, or unset it")
    document = {} if missing else read_toml(path, where=where)
    merged, origins = _with_environment(document, environ, where)
    kept = decode(merged, HostFile, where=where, base=path.absolute().parent, environ=environ)
    return Settings(
        **{name: getattr(kept, name) for name in HostFile.__struct_fields__},
        file=None if missing else path,
        origins=origins,
    )


def _with_environment(
    document: Mapping[str, Any], environ: Mapping[str, str], where: str
) -> tuple[dict[str, Any], dict[str, str]]:
    merged = copy.deepcopy(dict(document))
    origins = {key: "file" for key, _ in _given(document)}
    known = dict(leaves(HostFile))
    for variable, text in sorted(environ.items()):
        if not variable.startswith("CX_") or variable in NOT_KEYS or text == "":
            continue
        key = _key_of(variable, known, merged)
        if key is None:
            _refuse_near(variable, known)
            continue
        table: Any = merged
        for number, part in enumerate(key[:-1]):
            table = table.setdefault(part, {}) if isinstance(table, dict) else table
            if not isinstance(table, dict):
                at = ".".join(key[: number + 1])
                raise Invalid(where, at, "should be a table, is something else")
        table[key[-1]] = FromEnvironment(variable, text)
        origins[".".join(key)] = variable
    return merged, origins


def _key_of(variable: str, known: Mapping[tuple[str, ...], Any], document: Mapping[str, Any]) -> tuple[str, ...] | None:
    for key in known:
        if "*" not in key:
            if variable == "_".join(("CX", *key)).upper():
                return key
            continue
        head, tail = f"CX_{key[0]}_".upper(), f"_{key[-1]}".upper()
        if variable.startswith(head) and variable.endswith(tail) and len(variable) > len(head) + len(tail):
            wanted = variable[len(head) : -len(tail)]
            names = document.get(key[0])
            for name in names if isinstance(names, dict) else ():
                if re.sub(r"[^A-Z0-9]", "_", name.upper()) == wanted:
                    return (key[0], name, key[-1])
            return (key[0], wanted.lower(), key[-1])
    return None


def _refuse_near(variable: str, known: Mapping[tuple[str, ...], Any]) -> None:
    """Raises Invalid for a variable that begins like one of our tables but names none of its keys."""
    tables = {key[0] for key in known if len(key) > 1}
    if not any(variable.startswith(f"CX_{table.upper()}_") for table in tables):
        return
    names = ["_".join(("CX", *key)).upper() for key in known if "*" not in key]
    near = difflib.get_close_matches(variable, names, 1)
    raise Invalid(
        "environment",
        variable,
        "is not a known key" + (f"; did you mean {near[0]}?" if near else ""),
        remedy="unset it",
    )


def _given(document: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in document.items():
        if isinstance(value, Mapping):
            yield from _given(value, joined(key, name))
        yield joined(key, name), value


# --- showing


def settings_document(settings: Settings) -> dict[str, dict[str, Any]]:
    """Every key with its effective value and where it came from: "default", the file, or the variable."""
    effective = {
        "router.http_port": settings.http_port,
        "router.https_port": settings.https_port,
        "router.tls": settings.tls,
        "state_dir": settings.state,
    }
    shown_keys: dict[str, dict[str, Any]] = {}
    for key, value in _values(settings, ""):
        origin = settings.origins.get(key, "default")
        value = effective.get(key, value)
        shown_keys[key] = {
            "value": str(value) if isinstance(value, Path | Secret) else value,
            "from": str(settings.file) if origin == "file" else origin,
        }
    return shown_keys


def _values(struct: Struct, key: str) -> Iterator[tuple[str, Any]]:
    for name in struct.__struct_fields__:
        if not key and name in ("file", "origins"):
            continue
        value = getattr(struct, name)
        at = joined(key, name)
        if isinstance(value, Struct):
            yield from _values(value, at)
        elif isinstance(value, dict) and all(isinstance(one, Struct) for one in value.values()):
            for inner, one in value.items():
                yield from _values(one, joined(at, inner))
        else:
            yield at, value
