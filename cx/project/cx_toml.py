"""`cx.toml`: what a repository may say about its previews. docs/cx-toml.md is made from these structs."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from cx.core.durations import duration_s
from cx.core.names import check_database, check_service, shown
from cx.core.sizes import size_bytes
from cx.schema import Rule, Wrong

Scalar = str | int | float | bool

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OPERATORS = frozenset("();<>|&")


# --- rules


def check_variable(text: str) -> None:
    if not _VARIABLE.fullmatch(text):
        raise ValueError(f"is not the name of an environment variable: {shown(text)}")


def check_text(value: Scalar) -> None:
    if isinstance(value, str) and "\0" in value:
        raise ValueError("holds a NUL character")


def check_path(text: str) -> None:
    path = PurePosixPath(text)
    if not text or path.is_absolute() or ".." in path.parts or not text.isprintable():
        raise ValueError(f"should be a path inside the repository, is {shown(text) or 'empty'}")


def _memory(text: str) -> None:
    try:
        size_bytes(text)
    except ValueError as exc:
        raise ValueError(f"should be a size such as 256m, is {shown(text)}: {exc}") from exc


def _duration(text: str) -> None:
    try:
        duration_s(text, zero=True)
    except ValueError as exc:
        raise ValueError(f"should be a time such as 10s or 1m30s, is {shown(text)}: {exc}") from exc


def _command(value: str | list[str]) -> None:
    if not words(value):
        raise ValueError("should not be empty")


def _test(value: str | list[str]) -> None:
    if not value or not any(value):
        raise ValueError("should not be empty")


def _url_path(text: str) -> None:
    if not re.fullmatch(r"/[A-Za-z0-9._~/?=&%+-]*", text):
        raise ValueError(f"should be a path such as /healthz, is {shown(text)}")


def _route(value: bool | str) -> None:
    if isinstance(value, str) and not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?", value):
        raise ValueError(f"should be true, false or one DNS label of up to 32 characters, is {shown(value)}")


def _image(text: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,254}", text):
        raise ValueError(f"is not the name of an image: {shown(text)}")


def _alias(text: str) -> None:
    check_service(text)


def _credential(text: str) -> None:
    if not text or not text.isprintable():
        raise ValueError("should be printable characters, one or more")


def words(value: str | Sequence[str]) -> list[str]:
    """A command as the list of its words. A string is split as a shell would; no shell runs it."""
    if not isinstance(value, str):
        return list(value)
    try:
        split = shlex.split(value)
        # Without POSIX's rules a quoted operator keeps its quotes, and so is told from one of the shell's.
        operators = [one for one in shlex.shlex(value, posix=False, punctuation_chars=True) if set(one) <= _OPERATORS]
    except ValueError as exc:
        raise ValueError(f"has a quote that is not closed: {shown(value)}") from exc
    if operators:
        raise ValueError(f'has {shown(operators[0])}, but no shell runs it: write ["sh", "-c", "..."]')
    return split


Path = Annotated[str, Rule(check_path)]
Port = Annotated[int, Meta(ge=1, le=65535)]
Command = str | list[Annotated[str, Rule(check_text)]]
Variables = dict[Annotated[str, Rule(check_variable)], Annotated[Scalar, Rule(check_text)]]


# --- the tables


class Build(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How an image is built, where a path alone does not say it."""

    context: Annotated[Path, Meta(description="Folder that the build sees.")] = "."
    dockerfile: Annotated[Path, Meta(description="Its Dockerfile, from the context.")] = "Dockerfile"
    target: Annotated[
        Annotated[str, Meta(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$(?!\n)")] | None,
        Meta(description="Stage to build."),
    ] = None
    args: Annotated[
        Variables,
        Meta(
            description="Build arguments, but for `*_proxy` and `BUILDKIT_*`. They stay in the image: no secrets here."
        ),
    ] = {}


class Healthcheck(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a service is well. `path` is asked for through the router; the rest is Compose's `healthcheck`."""

    path: Annotated[str | None, Meta(description="What the probe of the hostname asks for."), Rule(_url_path)] = None
    test: Annotated[
        Command | None,
        Meta(description="Command that ends with 0 when the service is well; a string is run by a shell."),
        Rule(_test),
    ] = None
    interval: Annotated[str | None, Meta(description="Time between two."), Rule(_duration)] = None
    timeout: Annotated[str | None, Meta(description="Time that one may take."), Rule(_duration)] = None
    start_period: Annotated[
        str | None,
        Meta(description="Time to start in, when failures do not count; at least one `interval`."),
        Rule(_duration),
    ] = None
    start_interval: Annotated[
        str | None, Meta(description="Time between two while it starts. Default: `1s`."), Rule(_duration)
    ] = None
    retries: Annotated[
        Annotated[int, Meta(ge=1, le=100)] | None, Meta(description="Failures in a row that make it ill.")
    ] = None


class Service(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One service. In a repository with a Compose file it changes the service of that name there, or adds it."""

    build: Annotated[
        Path | Build | None, Meta(description="Folder with a Dockerfile, or the table below. Not beside `image`.")
    ] = None
    image: Annotated[str | None, Meta(description="Image to run. Not beside `build`."), Rule(_image)] = None
    port: Annotated[Port | None, Meta(description="Port that it serves HTTP on. Default: `EXPOSE`.")] = None
    command: Annotated[
        Command | None,
        Meta(description='Instead of the image\'s. Split as a shell would; for `&&` say `["sh", "-c", "..."]`.'),
        Rule(_command),
    ] = None
    environment: Annotated[Variables, Meta(description="Its environment.")] = {}
    healthcheck: Healthcheck | None = None
    memory: Annotated[str | None, Meta(description="Limit such as `256m`; at most the host's."), Rule(_memory)] = None
    cpus: Annotated[
        Annotated[float, Meta(ge=0.01, le=1024)] | None, Meta(description="Limit in cores; at most the host's.")
    ] = None
    replicas: Annotated[
        Annotated[int, Meta(ge=0)] | None,
        Meta(description="How many run side by side; at most the host's. 0 leaves the service out."),
    ] = None
    route: Annotated[
        bool | str | None,
        Meta(
            description="`false`: no hostname. `true`: one. A label: one that holds it instead of the service's name. "
            "Default: see [Hostnames](#hostnames)."
        ),
        Rule(_route),
    ] = None
    update: Annotated[
        Literal["rolling", "in-place"] | None,
        Meta(
            description="`rolling`: a new revision starts beside the old one. `in-place`: it replaces it. Default: "
            "`in-place` for an image that mounts a named volume and has no hostname."
        ),
    ] = None

    def __post_init__(self) -> None:
        if self.build is not None and self.image is not None:
            raise Wrong("image", "does not go with build; give one of the two")


class Database(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A database of the host's configuration that the project uses, by its name there."""

    mode: Annotated[
        Literal["clone", "container"],
        Meta(description="`clone`: a copy of the host's. `container`: the Compose service stays as it is."),
    ] = "clone"
    service: Annotated[
        str | None,
        Meta(
            description="Name that the services reach it by; a Compose service of that name is replaced. "
            "Default: the Compose service that runs it, else `db`."
        ),
        Rule(_alias),
    ] = None
    port: Annotated[Port | None, Meta(description="Port that the services expect. Default: the engine's usual.")] = None
    database: Annotated[str | None, Meta(description="Database that they expect."), Rule(_credential)] = None
    user: Annotated[str | None, Meta(description="User that they expect."), Rule(_credential)] = None
    password: Annotated[
        str | None, Meta(description="Password that they expect. It guards nothing but this clone."), Rule(_credential)
    ] = None
    env: Annotated[
        dict[
            Annotated[str, Rule(check_variable)],
            Literal["url", "host", "port", "user", "password", "database"],
        ]
        | None,
        Meta(description="Variables that the services get: name -> what it holds. Default: as the host says."),
    ] = None


class Release(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A command that runs once before a revision starts: migrations. `release = "..."` alone is its `command`."""

    command: Annotated[Command, Meta(description="What runs, in an image like the service's."), Rule(_command)]
    service: Annotated[
        str | None, Meta(description="Default: `app`, else the first service that is built."), Rule(check_service)
    ] = None
    timeout_s: Annotated[int, Meta(description="Seconds that it may take.", ge=1, le=86_400)] = 600


class EnvironmentService(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What differs for one service in this environment."""

    environment: Annotated[Variables, Meta(description="Over the service's own.")] = {}


class Environment(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What differs in the environment that is chosen with `--environment` (`preview` unless told)."""

    environment: Annotated[Variables, Meta(description="For all services.")] = {}
    release: Annotated[Command | None, Meta(description="Another release command."), Rule(_command)] = None
    services: dict[Annotated[str, Rule(check_service)], EnvironmentService] = {}


def _release(value: Any) -> None:
    if not isinstance(value, Release):
        _command(value)


class Document(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: Annotated[
        Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._ -]{0,62}$(?!\n)")] | None,
        Meta(description="The project's name, for people."),
    ] = None
    compose: Annotated[
        Path | None,
        Meta(
            description="The Compose file. Its paths are relative to its folder, which has its `.env`. "
            "Default: `compose.yaml` and its kin."
        ),
    ] = None
    release: Annotated[
        Command | Release | None, Meta(description="Runs once before start; see below."), Rule(_release)
    ] = None
    environment: Annotated[Variables, Meta(description="For all services.")] = {}
    services: dict[Annotated[str, Rule(check_service)], Service] = {}
    databases: dict[Annotated[str, Rule(check_database)], Database] = {}
    environments: dict[Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$(?!\n)")], Environment] = {}


def text_of(value: Scalar) -> str:
    """A value as a process sees it: `true` and not `True`."""
    return str(value).lower() if isinstance(value, bool) else str(value)


PLACEHOLDERS = {  # how the reference writes the names of tables
    "services": "<service>",
    "databases": "<database>",
    "environments": "<environment>",
}
