"""What a checkout is: its cx.toml, and a Compose file, a template or a Dockerfile to run."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from cx.core.errors import Invalid
from cx.core.names import shown
from cx.project.checkout import Outside, inside, read_inside
from cx.project.cx_toml import Build, Document, Release, Service, text_of, words
from cx.project.dockerfile import exposed
from cx.schema import decode, parse_toml

FILE = "cx.toml"
TEMPLATE = ".cx/compose.yml.j2"
# The order in which Compose itself looks.
COMPOSE_FILES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
SIZE_MAX = 256 * 1024
COMPOSE_SIZE_MAX = 1024 * 1024
DEFAULT_ENVIRONMENT = "preview"


@dataclass(frozen=True)
class Project:
    """A checkout as read. `kind` says where the Compose text comes from: `file` is its path and `text` what is
    in it ("" for kind `services`, which cx renders from the document's services)."""

    document: Document
    kind: Literal["compose", "template", "services"]
    file: str
    text: str = ""
    notes: tuple[str, ...] = ()


def read_project(checkout: Path) -> Project:
    """The project in `checkout`. Raises Invalid naming file and key."""
    document = read_document(checkout)
    if document.compose:
        return Project(document, "compose", document.compose, _text(checkout, document.compose, f"{FILE}: compose"))
    if _there(checkout, TEMPLATE):
        return Project(document, "template", TEMPLATE, _text(checkout, TEMPLATE))
    for name in COMPOSE_FILES:
        if _there(checkout, name):
            return Project(document, "compose", name, _text(checkout, name), _not_read(checkout, name))
    if not document.services:
        if not _there(checkout, "Dockerfile"):
            raise Invalid(
                "project",
                "",
                "has no compose.yml, no Dockerfile and no services in cx.toml",
                remedy="add one of them; docs/cx-toml.md shows how",
            )
        document = msgspec.structs.replace(document, services={"app": Service(build=".")})
    services = {name: _complete(checkout, name, service) for name, service in document.services.items()}
    return Project(msgspec.structs.replace(document, services=services), "services", FILE)


def compose_folder(checkout: Path, read: Project) -> str:
    """The folder of the checkout that the paths of the Compose text are relative to, free of symlinks: that of the
    file, as for Compose itself; the checkout for a template."""
    if read.kind != "compose":
        return "."
    try:
        return inside(checkout, os.path.dirname(read.file) or ".")
    except Outside as exc:
        raise Invalid(read.file, "", "leads out of the repository") from exc


def read_document(checkout: Path) -> Document:
    """The checkout's cx.toml; an empty document where there is none."""
    if not _there(checkout, FILE):
        return Document()
    return decode(parse_toml(read_inside(checkout, FILE, size_max=SIZE_MAX), where=FILE), Document, where=FILE)


def build_of(service: Service) -> Build | None:
    return Build(context=service.build) if isinstance(service.build, str) else service.build


def release_of(document: Document, environment: str) -> Release | None:
    """The release command of an environment."""
    release = document.release
    if release is not None and not isinstance(release, Release):
        release = Release(command=release)
    chosen = document.environments.get(environment)
    if chosen and chosen.release is not None:
        return msgspec.structs.replace(release or Release(command=chosen.release), command=chosen.release)
    return release


def variables(document: Document, environment: str, values: Mapping[str, str], service: str = "") -> dict[str, str]:
    """What cx.toml and `--set` say of the environment of all services (and of `service`), the last word winning:
    all services, the service, all services in this environment, the service in this environment, `--set`."""
    chosen = document.environments.get(environment)
    layers: list[Mapping[str, str | int | float | bool]] = [document.environment]
    if service in document.services:
        layers.append(document.services[service].environment)
    if chosen:
        layers.append(chosen.environment)
        if service in chosen.services:
            layers.append(chosen.services[service].environment)
    return {key: text_of(value) for layer in [*layers, values] for key, value in layer.items()}


def check_environment(document: Document, environment: str) -> None:
    """Raises Invalid for an environment that cx.toml does not know; `preview` need not be written down."""
    if environment != DEFAULT_ENVIRONMENT and environment not in document.environments:
        known = ", ".join(sorted({DEFAULT_ENVIRONMENT, *document.environments}))
        raise Invalid(FILE, f"environments.{shown(environment)}", f"is not there; there are: {known}")


def dockerfile_ports(checkout: Path, build: Build) -> list[int]:
    """The ports that the Dockerfile of a build exposes. Raises Invalid when it cannot be read."""
    path = os.path.normpath(f"{build.context}/{build.dockerfile}")
    text = read_inside(checkout, path, size_max=SIZE_MAX).decode(errors="replace")
    return exposed(text, target=build.target, args={key: text_of(value) for key, value in build.args.items()})


def _complete(checkout: Path, name: str, service: Service) -> Service:
    """`service` with its port, from its Dockerfile where cx.toml does not say it."""
    build = build_of(service)
    if build is None and service.image is None:
        raise Invalid(FILE, f"services.{name}", "has neither build nor image")
    if service.command is not None:
        words(service.command)
    if service.port or service.route is False or build is None:
        return service
    ports = dockerfile_ports(checkout, build)
    if ports:
        return msgspec.structs.replace(service, port=ports[0])
    if service.route is None and name != "app":
        return service  # a worker: nothing says that it serves anything
    raise Invalid(
        FILE,
        f"services.{name}.port",
        f"is not set, and {os.path.normpath(f'{build.context}/{build.dockerfile}')} has no EXPOSE",
        remedy=f"add EXPOSE to it, or [services.{name}] with port (or route = false) to {FILE}",
    )


def _not_read(checkout: Path, name: str) -> tuple[str, ...]:
    """A note on the file that Compose itself would merge: it is for the developer's own machine."""
    stem = name.partition(".")[0]
    found = [other for other in (f"{stem}.override.yml", f"{stem}.override.yaml") if _there(checkout, other)]
    return tuple(f"{other}: is not read, {name} alone is" for other in found)


def _there(checkout: Path, name: str) -> bool:
    return os.path.lexists(checkout / name)


def _text(checkout: Path, path: str, named_by: str = "") -> str:
    if named_by and not _there(checkout, path):
        raise Invalid(FILE, "compose", f"names {shown(path)}, which is not there")
    content = read_inside(checkout, path, size_max=COMPOSE_SIZE_MAX)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = content[: exc.start].count(b"\n") + 1
        raise Invalid(f"{path}:{line}", "", "is not UTF-8 text") from exc
