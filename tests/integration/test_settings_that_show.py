"""Everything that a preview's containers are made of, under every setting of the host: what differs is what the answers
say. So no setting that shows is left out of a revision, and none that does not is part of it."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from answers import ANSWERS, BASE, ORIGIN, REPOSITORY, changed, may_have

from cx.core.names import Namespace
from cx.core.state import Desired
from cx.data.databases import Databases
from cx.data.values import Connection
from cx.data.volumes.clones import EngineClones
from cx.data.workbench.values import Spec, Volume
from cx.docker.model import Modeller
from cx.host import Host
from cx.project.blueprint import read_blueprint
from cx.settings import Settings

SPACE = Namespace("preview-1")
SUBNET = ipaddress.IPv4Network("10.9.0.0/24")
FILES = {
    "compose.yml": """
services:
  web:
    build: .
    ports: ["80"]
    mem_limit: 50g
    cpus: 50
    pids_limit: 80000
    scale: 30
    volumes: ["files:/files"]
volumes: {files: {}, uploads: {}}
""",
    "Dockerfile": "FROM scratch\nEXPOSE 80\n",
    "cx.toml": """
[services.web]
port = 80
[databases.pooled]
[databases.served]
service = "maria"
[databases.apart]
service = "another"
""",
}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.fixture
def made(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Settings], Any]:
    """All models and files that containers of the project are made of, under given settings."""
    state = tmp_path_factory.mktemp("state")  # with the keys that passwords are made from

    def of(given: Settings) -> Any:
        host = Host(msgspec.structs.replace(given, state_dir=state))
        wish = Desired(SPACE, origin=ORIGIN)
        blueprint = read_blueprint(
            checkout,
            project=host._granted(ORIGIN),
            namespace=SPACE,
            environment="preview",
            values={},
            settings=host._settings_for(ORIGIN),
            tree_digest=lambda path: path,
            cache_scope=wish.cache_scope,
        )
        databases = databases_of(host)
        poolers = [databases.pooler(SPACE, use) for use in blueprint.databases]
        workloads = host.workloads
        model = Modeller(host.names, SPACE, "r", blueprint, workloads.limits, workloads.pooler_image)
        return (
            model.revision_model(SUBNET, poolers, "data"),
            model.data_model(poolers),
            [(vars(one), dict(one.files)) for one in model.poolers(SUBNET, poolers)],
            [(one.use.name, dict(one.files)) for one in poolers if one.server],
            blueprint.routes,
        )

    return of


def facts(spec: Spec) -> dict[str, str]:
    """What a golden's maker wrote down."""
    return {"database": spec.database or "app", "owner": "app"}


def databases_of(host: Host) -> Databases:
    """Every clone is there, at places that stay the same."""
    clones = [
        SimpleNamespace(source=name, database=f"cx__{name}", complete=True)
        for name, given in host.settings.databases.items()
        if given.way == "pooler"
    ]
    shared: Any = SimpleNamespace(
        observe=lambda namespace: clones,
        connection=lambda one: Connection("10.0.0.2", 5432, one.database, one.database, "secret"),
    )
    volumes: Any = SimpleNamespace(
        look=lambda: [
            Volume(name, name, "clone", spec.way, SPACE, created_at=datetime.now(UTC), facts=facts(spec))
            for name, spec in host.specs.items()
        ]
    )
    return Databases(shared, host.terms, b"key", host.settings.pooler.mode, EngineClones(volumes, host.specs, b"key"))


CASES = [
    (key, name, value, shows if isinstance(shows, bool) else name in shows)
    for key, (value, shows) in ANSWERS.items()
    for name in (BASE.databases if key.startswith("databases.") else [REPOSITORY if "github" in key else "shop"])
    if not key.startswith("databases.") or may_have(name, key, value)
]
# What the containers have, but not by their models: the instance's name, what a repository's files are, and a grant
# that is taken from the project. And what keeps the stack from running at all while there are previews.
ELSEWHERE = ("instance", "github.repositories.*.submodules", "github.repositories.*.lfs", "projects.*.repository")


@pytest.mark.parametrize(("key", "name", "value", "shows"), CASES, ids=[f"{one[0]} {one[1]}" for one in CASES])
def test_what_shows(made: Callable[[Settings], Any], key: str, name: str, value: Any, shows: bool) -> None:
    other = changed(BASE, key, name, value)
    if key in ELSEWHERE or (other.databases.get(name) and BASE.databases[name].way != other.databases[name].way):
        return
    assert (made(other) != made(BASE)) is shows


def test_nothing_else_differs_from_one_time_to_another(made: Callable[[Settings], Any]) -> None:
    assert made(BASE) == made(BASE)
