"""The previews' server as a target to restore into."""

from __future__ import annotations

from collections.abc import Mapping

from psycopg import errors, sql

from cx.data.refresh.archive import Locale
from cx.data.refresh.restore import Query
from cx.data.refresh.scratch import create_database
from cx.data.session import script, session
from cx.data.values import Server
from cx.data.workbench.tools import WORK, Tools


class Previews:
    """The new database there, as the loader reaches it from `tools`."""

    def __init__(self, server: Server, tools: Tools, loader: str, password: str, database: str) -> None:
        self.tools = tools
        self._server = server
        self.environment: Mapping[str, str] = {
            "PGSERVICEFILE": f"{WORK}/target.conf",
            "PGPASSFILE": f"{WORK}/target.pass",
        }
        service = {
            "host": server.host,
            "port": str(server.port),
            "user": loader,
            "dbname": database,
            "sslmode": "disable",
            # With more, texts are sorted outside the processor's caches, and a foreign key is checked by a hash of the
            # whole table and not by two indexes: a unique index over 2 million texts took 6.4 s at 256 MB, not 5.4,
            # a foreign key 2 s, not 0.5.
            "options": "-c synchronous_commit=off -c maintenance_work_mem=64MB",
        }
        lines = ["[target]", *(f"{key}={value}" for key, value in service.items())]
        tools.put(f"{WORK}/target.conf", ("\n".join(lines) + "\n").encode())
        tools.put(f"{WORK}/target.pass", f"*:*:*:{loader}:{password}\n".encode())

    def admin(self, *statements: sql.Composable, database: str | None = None) -> None:
        with session(self._server, database) as connection:
            connection.execute(script(*statements))

    def rows(self, query: Query, database: str | None = None) -> list[tuple[str, ...]]:
        with session(self._server, database) as connection:
            return [tuple(map(str, row)) for row in connection.execute(query).fetchall()]

    def create(self, database: str, locale: Locale) -> bool:
        with session(self._server) as connection:
            try:
                connection.execute(create_database(database, locale))
            except (errors.InvalidParameterValue, errors.WrongObjectType, errors.FeatureNotSupported):
                return False
            return True
