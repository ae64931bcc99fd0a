"""What a preview did to its data: its schema and row counts beside those of the newest golden."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import docker.errors
import psycopg
from psycopg import sql

from cx.adapters.postgres.errors import ServerUnavailable
from cx.adapters.postgres.server import Session, session, statement, translated
from cx.adapters.postgres.values import Connection, Server
from cx.errors import Terminal

if TYPE_CHECKING:
    from docker import DockerClient

_TABLES = """
SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname), n.nspname, c.relname
FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' ORDER BY 1"""


@dataclass(frozen=True)
class Rows:
    """Rows of one table; None where there is no such table."""

    table: str
    golden: int | None
    clone: int | None


@dataclass(frozen=True)
class Difference:
    """`schema` as a unified diff, golden first; `rows` of the tables whose count is not the same."""

    golden: str
    schema: tuple[str, ...]
    rows: tuple[Rows, ...]


@dataclass(frozen=True)
class Comparing:
    """`container` runs the server, and has its programs."""

    client: DockerClient
    container: str
    server: Server

    def compare(self, golden_copy: str, owner: str, clone: Connection) -> Difference:
        """Reads both as roles that are nobody's superuser: what is in them came from elsewhere."""
        old = self._schema("--username", self.server.user, "--role", owner, "--dbname", golden_copy)
        new = self._schema("--username", clone.user, "--dbname", clone.database)
        schema = tuple(difflib.unified_diff(old, new, "golden", clone.database, lineterm="", n=2))
        with session(self.server, golden_copy) as inside:
            inside.execute(statement("SET ROLE {owner}", owner=sql.Identifier(owner)))
            before = dict(_counts(inside))
        with translated(), self._connected(clone) as app:
            app.execute("SET statement_timeout = 0")
            after = dict(_counts(app))
        tables = sorted({*before, *after})
        rows = (Rows(table, before.get(table), after.get(table)) for table in tables)
        return Difference(golden_copy, schema, tuple(one for one in rows if one.golden != one.clone))

    def _connected(self, to: Connection) -> Session:
        return psycopg.connect(
            host=to.host,
            port=to.port,
            dbname=to.database,
            user=to.user,
            password=to.password,
            sslmode="disable",
            gssencmode="disable",
            options="-c search_path=pg_catalog",
            autocommit=True,
        )

    def _schema(self, *which: str) -> list[str]:
        argv = ["pg_dump", "--schema-only", "--no-owner", "--no-acl", "--no-comments", *which]
        try:
            container = self.client.containers.get(self.container)
            done = container.exec_run(argv, demux=True, environment={"LC_ALL": "C.UTF-8"})
        except docker.errors.DockerException as exc:
            raise ServerUnavailable(f"pg_dump could not be run ({exc})", remedy="cx doctor") from exc
        out, err = (bytes(part or b"").decode(errors="replace").splitlines() for part in done.output)
        if done.exit_code:
            raise Terminal(f"pg_dump failed: {' '.join(err[-1:])}")
        return [one for one in out if one and not one.startswith(("--", "SET ", "\\", "SELECT pg_catalog.set_config"))]


def _counts(connection: Session) -> Iterator[tuple[str, int]]:
    for shown, schema, table in connection.execute(_TABLES).fetchall():
        row = connection.execute(
            statement("SELECT count(*) FROM ONLY {table}", table=sql.Identifier(schema, table))
        ).fetchone()
        yield shown, int(row[0]) if row else 0
