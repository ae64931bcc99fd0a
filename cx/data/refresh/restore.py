"""Restoring a dump into a new database, as a role that is nobody's superuser.

What a dump brings is hostile: it runs as the loader, a role that lives for one refresh and can connect to
the one new database. BYPASSRLS lets it fill tables whose row security is forced. What only the superuser can
do is done by cx beforehand, and only what the host configuration allows: extensions.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from psycopg import sql

from cx.core.errors import CxError
from cx.core.names import Names
from cx.data import marks
from cx.data.errors import NoSpace, RestoreFailed, ServerUnavailable, SourceRefused
from cx.data.refresh.archive import WITHOUT_COLUMN_VERSIONS, Locale
from cx.data.refresh.dump import Dump, unreadable
from cx.data.refresh.source import first_error
from cx.data.session import revoke_all, statement
from cx.data.values import Progress, Source
from cx.data.workbench.tools import WORK, Ran, Tools

Query = sql.SQL | sql.Composed

_LIST = f"{WORK}/restore.list"
_WHAT = (
    *("-L", _LIST, "--no-owner", "--no-privileges", "--no-security-labels"),
    *("--no-tablespaces", "--no-publications", "--no-subscriptions"),
)
_UNREADABLE = ("could not read", "input file", "end of file", "corrupt", "not a valid archive", "decompress")


class Target(Protocol):
    """A server to restore into."""

    tools: Tools  # where pg_restore runs
    environment: Mapping[str, str]  # with which the service "target" is the new database, as the loader

    def admin(self, *statements: sql.Composable, database: str | None = None) -> None:
        """Runs the statements as superuser, in one transaction; one alone in none."""

    def rows(self, query: Query, database: str | None = None) -> list[tuple[str, ...]]:
        """The superuser's answer, as text."""

    def create(self, database: str, locale: Locale) -> bool:
        """A new database with connections refused; False where the server does not know the locale."""


@dataclass(frozen=True)
class Restore:
    """One dump into one new database."""

    names: Names
    source: Source
    dump: Dump
    database: str
    loader: str
    progress: Progress
    notes: list[str] = field(default_factory=list)

    def into(self, target: Target) -> None:
        """The database holds what the dump holds, all of it the loader's.

        Raises SourceRefused (an extension that is not allowed), RestoreFailed, NoSpace.
        """
        untrusted = self.begin(target)
        ran = self._load(target, untrusted)
        if not ran.ok:
            raise self.failure(ran)

    def begin(self, target: Target) -> Mapping[str, str]:
        """The database is there with all that the superuser makes in it: the extensions that are told of."""
        untrusted = self._untrusted(target)
        self._make_roles(target)
        self._make_database(target)
        self._make_extensions(target, untrusted)
        return untrusted

    def section(self, target: Target, untrusted: Mapping[str, str], name: str) -> None:
        """What belongs before (`pre-data`) or after (`post-data`) the rows is there. Raises as `into` does."""
        ran = self._load(target, untrusted, name)
        if not ran.ok:
            raise self.failure(ran)

    def _untrusted(self, target: Target) -> Mapping[str, str]:
        """The dump's extensions that the superuser has to make, with their schemas."""
        if not self.dump.extensions:
            return {}
        query = sql.SQL("SELECT name, bool_or(trusted)::text FROM pg_available_extension_versions GROUP BY name")
        trusted = {name: value == "true" for name, value in target.rows(query)}
        for name in self.dump.extensions:
            if name not in trusted:
                raise SourceRefused(
                    f"{self.dump.origin} uses extension {name}, which the previews' server does not have",
                    remedy="install it in the server's image, or leave it out of the dump",
                )
            if not trusted[name] and name not in self.source.extensions:
                raise SourceRefused(
                    f"{self.dump.origin} uses extension {name}, which is not allowed",
                    remedy=f'add "{name}" to databases.{self.source.name}.extensions if previews may use it',
                )
        return {name: schema for name, schema in self.dump.extensions.items() if not trusted[name]}

    def _make_roles(self, target: Target) -> None:
        """The roles that policies name exist, for nobody to log in as."""
        if not self.dump.roles:
            return
        known = {name for (name,) in target.rows(sql.SQL("SELECT rolname::text FROM pg_roles"))}
        mark = marks.written(self.names, marks.POLICY_ROLE, source=self.source.name)
        for role in self.dump.roles:
            if role in known or role in ("current_user", "session_user", "current_role"):
                continue
            if role.startswith(("pg_", f"{self.names.instance}_")):
                raise SourceRefused(f"{self.dump.origin} has a row security policy for role {role}")
            parts = {"role": sql.Identifier(role), "mark": sql.Literal(mark)}
            target.admin(
                statement("CREATE ROLE {role} NOLOGIN", **parts),
                statement("COMMENT ON ROLE {role} IS {mark}", **parts),
            )

    def _make_database(self, target: Target) -> None:
        locale = self.dump.locale
        if not target.create(self.database, locale):
            other = locale.replacement()
            if not target.create(self.database, other):
                raise SourceRefused(
                    f"{self.dump.origin} has locale {locale.collate}, which the previews' server has not",
                    remedy="install it in the server's image",
                )
            self.notes.append(f"replaced: locale {locale.collate} by ICU {other.locale}")
        parts = {"database": sql.Identifier(self.database), "loader": sql.Identifier(self.loader)}
        target.admin(
            revoke_all(self.database),
            statement("GRANT CONNECT, CREATE, TEMPORARY ON DATABASE {database} TO {loader}", **parts),
            statement("ALTER DATABASE {database} ALLOW_CONNECTIONS true", **parts),
        )
        target.admin(statement("ALTER SCHEMA public OWNER TO {loader}", **parts), database=self.database)

    def _make_extensions(self, target: Target, untrusted: Mapping[str, str]) -> None:
        statements: list[sql.Composed] = []
        loader = sql.Identifier(self.loader)
        for name, schema in untrusted.items():
            parts = {"name": sql.Identifier(name), "schema": sql.Identifier(schema), "loader": loader}
            if self._has_schema(schema):
                statements.append(statement("CREATE SCHEMA IF NOT EXISTS {schema} AUTHORIZATION {loader}", **parts))
            where = " SCHEMA {schema}" if schema != "pg_catalog" else ""
            statements.append(statement("CREATE EXTENSION {name}", **parts) + _tail(where, parts))
        if not statements:
            return
        target.admin(*statements, database=self.database)
        tables = target.rows(
            sql.SQL("SELECT DISTINCT unnest(extconfig)::regclass::text FROM pg_extension"), self.database
        )
        for (table,) in tables:  # regclass's text is quoted already
            target.admin(
                sql.SQL("GRANT SELECT, INSERT ON {table} TO {loader}").format(
                    table=sql.SQL(table),
                    loader=loader,
                ),
                database=self.database,
            )

    def _has_schema(self, schema: str) -> bool:
        """Whether the dump would make `schema`; plain SQL is not listed, but makes what it uses."""
        if self.dump.contents is None:
            return schema not in ("public", "pg_catalog")
        return schema in self.dump.contents.schemas

    def _load(self, target: Target, untrusted: Mapping[str, str], section: str = "") -> Ran:
        contents = self.dump.contents
        if contents is None:
            return self._run_plain(target)
        made = {contents.schemas[schema] for schema in untrusted.values() if schema in contents.schemas}
        made |= {contents.extensions[name] for name in untrusted}
        keep = [line for line in contents.keep if line not in made]
        target.tools.put(_LIST, ("\n".join(keep) + "\n").encode())
        done = 0

        def count(line: str) -> None:
            nonlocal done
            if "processing data for table" in line:
                done += 1
                self.progress(f"{self.source.name}: loading table {done} of {contents.tables}")
            elif "creating INDEX" in line:
                self.progress(f"{self.source.name}: building index {line.rsplit(' ', 1)[-1]}")

        argv = ["pg_restore", "-d", "service=target", "-w", "-v", "--exit-on-error", *_WHAT]
        if self.dump.column_versions and section != "post-data":
            ran = self._run_definitions(target)
            if not ran.ok or section:
                return ran
            argv += ["--section=data", "--section=post-data"]
        elif section:
            argv += [f"--section={section}"]
        if self.dump.parallel:
            argv += ["-j", str(self.source.jobs)]
        return target.tools.run([*argv, self.dump.path], environment=target.environment, on_error_line=count)

    def _run_plain(self, target: Target) -> Ran:
        """psql runs it in restricted mode: no command with a backslash but the end of data is obeyed."""
        target.tools.put(f"{WORK}/restrict", f"\\restrict {secrets.token_hex(16)}\n".encode())
        self.progress(f"{self.source.name}: running {self.dump.origin}")
        return target.tools.run(
            ["bash", "-c", f"cat {WORK}/restrict {self.dump.path} | {_PSQL}"], environment=target.environment
        )

    def _run_definitions(self, target: Target) -> Ran:
        """Tables and all that comes before data, by way of text, for what this server does not know."""
        script = f"{' '.join(_WHAT)} --section=pre-data -f - {self.dump.path}"
        command = f"set -o pipefail; pg_restore {script} | sed -E '{WITHOUT_COLUMN_VERSIONS}' | {_PSQL}"
        return target.tools.run(["bash", "-c", command], environment=target.environment)

    def failure(self, ran: Ran) -> CxError:
        message = first_error(ran.errors)
        if "No space left on device" in message:
            return NoSpace(
                f"the previews' server has no space left for {self.dump.origin}",
                remedy="remove previews (cx list, cx delete) or give its volume more disk",
            )
        if any(text in message for text in ("server closed the connection", "connection to server", "PQ")):
            return ServerUnavailable(f"the previews' server went away ({message})", remedy="cx doctor")
        if any(text in message for text in _UNREADABLE):
            return unreadable(self.dump.origin, ran)
        return RestoreFailed(
            f"{self.dump.origin} does not restore ({message})", remedy="the golden that was there serves on"
        )


_PSQL = "psql -X -q -w -v ON_ERROR_STOP=1 -d service=target -f - >/dev/null"


def _tail(text: str, parts: Mapping[str, sql.Composable]) -> sql.Composable:
    return sql.SQL(text).format(**parts)


def lines_of(statements: Sequence[sql.Composable]) -> bytes:
    """The statements as a script for psql."""
    return b"".join(part.as_bytes(None) + b";\n" for part in statements)
