"""What the tests of PostgreSQL work with: machines that are containers, and the world around an instance."""

from __future__ import annotations

import io
import os
import secrets
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import docker
import psycopg
import psycopg.sql

from cx.core.names import Names, Namespace
from cx.data.shared.clones import PostgresClones
from cx.data.shared.goldens import PostgresGoldens
from cx.data.values import Clone, Server

HERE = Path(__file__).parents[1] / "integration" / "postgres"
IMAGE = "postgres:18"
KEY = b"a key of thirty-two bytes, no less"
SUPERUSER_PASSWORD = "sekrit-" + secrets.token_hex(8)
UNICODE_NAME = "Prüfung 数据 \"x'"
ONE = Namespace("preview-1")
TWO = Namespace("preview-2")

T = TypeVar("T")


def until(condition: Callable[[], T], timeout_s: float = 30) -> T:
    """The first true answer of `condition`; AssertionError after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not (answer := condition()):
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {condition}"
        os.sched_yield()
    return answer


@dataclass(frozen=True)
class Machine:
    """A PostgreSQL container of the tests', as its superuser reaches it."""

    container: Any
    host: str

    def connect(self, database: str = "postgres", **more: Any) -> psycopg.Connection[tuple[Any, ...]]:
        options = {"user": "cx", "password": SUPERUSER_PASSWORD, "dbname": database, **more}
        return psycopg.connect(host=self.host, autocommit=True, **options)

    def url(self, database: str, *, user: str = "cx", password: str = SUPERUSER_PASSWORD) -> str:
        return f"postgresql://{user}:{quote(password, safe='')}@{self.host}/{quote(database, safe='')}"

    def run(self, *argv: str) -> str:
        """What `argv` prints in the container, run as the superuser of the socket."""
        code, output = self.container.exec_run(list(argv), environment={"PGUSER": "cx"}, demux=True)
        assert code == 0, output
        return (output[0] or b"").decode()

    def is_ready(self) -> bool:
        self.container.reload()
        assert self.container.status == "running", self.container.logs().decode()
        try:
            self.connect().close()
        except psycopg.OperationalError:
            return False
        return True


@dataclass(frozen=True)
class World:
    """One instance of cx on its server."""

    names: Names
    machine: Machine
    server: Server
    clones: PostgresClones
    goldens: PostgresGoldens
    client: docker.DockerClient

    @contextmanager
    def as_preview(self, clone: Clone, **more: Any) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
        to = self.clones.connection(clone)
        options = {"user": to.user, "password": to.password, "dbname": to.database, **more}
        with psycopg.connect(host=to.host, port=to.port, autocommit=True, **options) as connection:
            yield connection

    def databases(self) -> set[str]:
        return self._names_in("SELECT datname FROM pg_database WHERE starts_with(datname, %s)")

    def roles(self) -> set[str]:
        return self._names_in("SELECT rolname FROM pg_roles WHERE starts_with(rolname, %s)")

    def _names_in(self, query: str) -> set[str]:
        with self.machine.connect() as connection:
            return {row[0] for row in connection.execute(query, [f"{self.names.instance}_"])}

    def engine_leftovers(self) -> list[str]:
        """Containers and volumes of refreshes that are still there."""
        mine = {"label": [f"dev.cx.instance={self.names.instance}", "dev.cx.role=refresh"]}
        found = self.client.containers.list(all=True, ignore_removed=True, filters=mine)
        return [c.name for c in found] + [v.name for v in self.client.volumes.list(filters=mine)]


def fill(machine: Machine) -> None:
    with machine.connect() as connection:
        connection.execute("CREATE DATABASE shop")
        connection.execute(psycopg.sql.SQL("CREATE DATABASE {}").format(psycopg.sql.Identifier(UNICODE_NAME)))
    with machine.connect("shop") as connection:
        connection.execute("CREATE TABLE customer (id int PRIMARY KEY, email text)")
        connection.execute(
            "INSERT INTO customer SELECT g, 'real' || g || '@example.com' FROM generate_series(1, 2000) g"
        )
    put(machine, "/tmp/everything.sql", (HERE / "everything.sql").read_bytes())
    machine.run("psql", "-Xq", "-v", "ON_ERROR_STOP=1", "-d", UNICODE_NAME, "-f", "/tmp/everything.sql")


def put(machine: Machine, path: str, content: bytes) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        info = tarfile.TarInfo(os.path.basename(path))
        info.size, info.mode = len(content), 0o644
        tar.addfile(info, io.BytesIO(content))
    machine.container.put_archive(os.path.dirname(path), buffer.getvalue())
