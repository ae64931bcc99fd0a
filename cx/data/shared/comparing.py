"""What a preview did to its data: its schema and row counts beside those of the newest golden."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import docker.errors
from psycopg import sql

from cx.core.errors import Terminal
from cx.data.errors import ServerUnavailable
from cx.data.session import Session, session, statement
from cx.data.values import Connection, Server

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

    def compare(self, golden_copy: Connection, clone: Connection) -> Difference:
        """Reads both as roles that are nobody's superuser: what is in them came from elsewhere, and may run."""
        old, new = self._schema(golden_copy), self._schema(clone)
        schema = tuple(difflib.unified_diff(old, new, "golden", clone.database, lineterm="", n=2))
        before, after = self._counts(golden_copy), self._counts(clone)
        tables = sorted({*before, *after})
        rows = (Rows(table, before.get(table), after.get(table)) for table in tables)
        return Difference(golden_copy.database, schema, tuple(one for one in rows if one.golden != one.clone))

    def _counts(self, of: Connection) -> dict[str, int]:
        with session(self.server, of.database, role=(of.user, of.password)) as connection:
            connection.execute("SET search_path = pg_catalog; SET statement_timeout = 0")
            return dict(_counts(connection))

    def _schema(self, of: Connection) -> list[str]:
        argv = ["pg_dump", "--schema-only", "--no-owner", "--no-acl", "--no-comments"]
        argv += ["--username", of.user, "--dbname", of.database]
        try:
            container = self.client.containers.get(self.container)
            done = container.exec_run(argv, demux=True, environment={"LC_ALL": "C.UTF-8"})
        except docker.errors.DockerException as exc:
            raise ServerUnavailable(f"pg_dump could not be run ({exc})", remedy="cx doctor") from exc
        out, err = (bytes(part or b"").decode(errors="replace").splitlines() for part in done.output)
        if done.exit_code is None:  # it runs still: what it has written is not all
            raise ServerUnavailable("pg_dump could not be run: the connection to the engine broke", remedy="try again")
        if done.exit_code:
            raise Terminal(f"pg_dump failed: {' '.join(err[-1:])}")
        return [one for one in out if one and not one.startswith(("--", "SET ", "\\", "SELECT pg_catalog.set_config"))]


def _counts(connection: Session) -> Iterator[tuple[str, int]]:
    for shown, schema, table in connection.execute(_TABLES).fetchall():
        row = connection.execute(
            statement("SELECT count(*) FROM ONLY {table}", table=sql.Identifier(schema, table))
        ).fetchone()
        yield shown, int(row[0]) if row else 0
