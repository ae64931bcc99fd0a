"""A server that exists for one refresh: raw data are sanitised here, and never touch the previews' server.

It has no network: its only ways in are `docker exec` and a socket in the refresh's volume. Its files are in its
container, and go with it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from psycopg import sql

from cx.core.errors import CxError, Invalid, Terminal
from cx.data.errors import SanitiseFailed
from cx.data.masking.dialects.postgres.expressions import KEY_SETTING
from cx.data.refresh.archive import Locale
from cx.data.refresh.restore import Query, lines_of
from cx.data.refresh.source import first_error
from cx.data.session import statement
from cx.data.workbench.tools import WORK, Ran, Tools

_DATA = "/tmp/scratch"  # noqa: S108 - in a container of its own
_SOCKET = WORK  # so that the other containers of the refresh reach it, and nobody else
_SCRIPT = f"{WORK}/sanitise.sql"
_SETTINGS = (
    "listen_addresses=",
    f"unix_socket_directories={_SOCKET}",
    "fsync=off",
    "full_page_writes=off",
    "wal_level=minimal",
    "max_wal_senders=0",
    "max_wal_size=8GB",
    "autovacuum=off",
    "maintenance_work_mem=256MB",
)


class Scratch:
    """The server inside `tools`, and the database in it, as a target to restore into."""

    def __init__(self, tools: Tools, admin: str, loader: str, database: str) -> None:
        self.tools = tools
        self._admin = admin
        self._loader = loader
        self._database = database
        self.environment: Mapping[str, str] = {"PGSERVICEFILE": f"{WORK}/scratch.conf"}

    def start(self) -> None:
        """The server runs, with the loader's role in it."""
        self._must("initdb", "-D", _DATA, "-U", self._admin, "-A", "trust", "-E", "UTF8", "--no-sync")
        options = " ".join(f"-c {setting}" for setting in _SETTINGS)
        self._must("pg_ctl", "start", "-w", "-s", "-D", _DATA, "-o", options, "-l", f"{_DATA}/log")
        service = f"[target]\nhost={_SOCKET}\nuser={self._loader}\ndbname={self._database}\n"
        self.tools.put(f"{WORK}/scratch.conf", service.encode())
        role = sql.Identifier(self._loader)
        self.admin(
            statement("CREATE ROLE {role} LOGIN BYPASSRLS", role=role),
            # A script may want to switch triggers and foreign keys off.
            statement("GRANT SET ON PARAMETER session_replication_role TO {role}", role=role),
        )

    def _must(self, *argv: str) -> Ran:
        ran = self.tools.run(argv)
        if not ran.ok:
            raise Terminal(f"the scratch server does not start ({argv[0]}: {first_error(ran.errors)})")
        return ran

    # --- Target

    def admin(self, *statements: sql.Composable, database: str | None = None) -> None:
        ran = self._psql(*statements, database=database, single=len(statements) > 1)
        if not ran.ok:
            raise Terminal(f"the scratch server refuses ({first_error(ran.errors)})")

    def rows(self, query: Query, database: str | None = None) -> list[tuple[str, ...]]:
        ran = self._psql(query, database=database)
        if not ran.ok:
            raise Terminal(f"the scratch server refuses ({first_error(ran.errors)})")
        return [tuple(line.split("\t")) for line in ran.output.splitlines() if line]

    def create(self, database: str, locale: Locale) -> bool:
        return self._psql(create_database(database, locale)).ok

    def _psql(self, *statements: sql.Composable, database: str | None = None, single: bool = False) -> Ran:
        path = f"{WORK}/admin.sql"
        self.tools.put(path, lines_of(statements))
        argv = ["psql", "-XAtq", "-F", "\t", "-v", "ON_ERROR_STOP=1", "-h", _SOCKET, "-U", self._admin]
        argv += ["-d", database or "postgres", "-f", path, *(["-1"] if single else [])]
        return self.tools.run(argv, environment={"PGOPTIONS": "-c search_path=pg_catalog"})

    # --- sanitising

    def sanitise(self, script: bytes, name: str) -> None:
        """The script has run to its end, in one transaction, as the owner of everything.

        Raises SanitiseFailed with the script's line.
        """
        self.tools.put(_SCRIPT, script)
        argv = ["psql", "-Xq", "-w", "-1", "-v", "ON_ERROR_STOP=1", "-d", "service=target", "-f", _SCRIPT]
        ran = self.tools.run(argv, environment=self.environment)
        if not ran.ok:
            message = first_error(ran.errors).removeprefix(f"psql:{_SCRIPT}:")
            raise SanitiseFailed(
                f"sanitise script {name}:{message}", remedy="mend it; the golden that was there serves on"
            )

    def as_source(self, key_hex: str) -> Mapping[str, str]:
        """The environment with which the service "source" is this database, to read only."""
        options = f"-c default_transaction_read_only=on -c {KEY_SETTING}={key_hex}"
        service = f"[source]\nhost={_SOCKET}\nuser={self._loader}\ndbname={self._database}\noptions={options}\n"
        self.tools.put(f"{WORK}/scratch-source.conf", service.encode())
        return {"PGSERVICEFILE": f"{WORK}/scratch-source.conf"}

    def failure(self, ran: Ran) -> CxError:
        """What it means that the rows could not be read."""
        return Terminal(f"the restored dump cannot be read ({first_error(ran.errors)})")

    def dump(self, jobs: int) -> str:
        """A folder in the container that holds the sanitised database; its path."""
        path = f"{WORK}/clean"
        argv = ["pg_dump", "-d", "service=target", "-w", "-Fd", "-j", str(jobs), "-f", path, "-Z", "lz4"]
        argv += ["--no-sync", "--no-owner", "--no-privileges", "--no-tablespaces"]
        ran = self.tools.run(argv, environment=self.environment)
        if not ran.ok:
            raise Terminal(f"the sanitised database cannot be read ({first_error(ran.errors)})")
        return path


def create_database(database: str, locale: Locale) -> sql.Composed:
    options = [sql.SQL(keyword) + sql.SQL(" ") + sql.Literal(value) for keyword, value in locale.options().items()]
    create = statement(
        "CREATE DATABASE {database} TEMPLATE template0 ALLOW_CONNECTIONS false ",
        database=sql.Identifier(database),
    )
    return create + sql.SQL(" ").join(options)


def script_of(path: Path, source: str) -> tuple[bytes, str]:
    """The sanitise script and its SHA-256. Raises Invalid."""
    try:
        script = path.read_bytes()
    except OSError as exc:
        raise Invalid("host configuration", f"databases.{source}.sanitise", f"{path}: {exc.strerror}") from exc
    if not script.strip():
        raise Invalid("host configuration", f"databases.{source}.sanitise", f"{path}: is empty")
    return script, hashlib.sha256(script).hexdigest()
