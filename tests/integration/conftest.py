"""A host of cx's own for the whole run: real engine, router, database server and "production"."""

from __future__ import annotations

import secrets
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from live import EXAMPLES, HERE, Cx, Project, host
from testcontainers.community.postgres import PostgresContainer


@pytest.fixture(scope="session")
def production() -> Iterator[str]:
    """The URL of a database with customers and orders."""
    with PostgresContainer("postgres:18", username="shop", password="shop's secret", dbname="shop") as server:
        script = (EXAMPLES / "production.sql").read_text()
        psql = ["docker", "exec", "-i", server.get_wrapped_container().id, "psql", "-q", "-v", "ON_ERROR_STOP=1"]
        subprocess.run([*psql, "-U", "shop", "shop"], input=script, text=True, check=True, capture_output=True)
        yield f"postgresql://shop:shop%27s%20secret@{server.get_container_host_ip()}:{server.get_exposed_port(5432)}/shop"


@pytest.fixture(scope="session")
def cx(tmp_path_factory: pytest.TempPathFactory, production: str) -> Iterator[Cx]:
    """A host with its stack up and a golden of production, under an instance name of its own."""
    more = f"""
[limits]
start_timeout_s = 20
[postgres]
spares = 0
[databases.app]
source = "{production}"
sanitise = "{EXAMPLES / "mask.sql"}"
"""
    with host(tmp_path_factory.mktemp("host"), more) as cx:
        cx("db", "refresh", "app")
        yield cx


@pytest.fixture
def preview(cx: Cx) -> Iterator[Callable[[], str]]:
    """Gives names of namespaces; they are deleted at the end, and nothing may be left of them."""
    names: list[str] = []

    def name() -> str:
        names.append(f"preview-{secrets.randbelow(10**6)}")
        return names[-1]

    yield name
    for one in names:
        cx("delete", "--namespace", one, "--force")
        assert cx.observe(one).leftovers() == []


@pytest.fixture
def hello(tmp_path: Path) -> Project:
    """One service without a database: `/` answers with its version."""
    return Project(tmp_path / "hello", HERE / "projects" / "hello")


@pytest.fixture
def guestbook(tmp_path: Path) -> Project:
    """The example: a service with a database and a release command."""
    return Project(tmp_path / "guestbook", EXAMPLES / "guestbook")
