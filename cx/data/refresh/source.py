"""A live source: how PostgreSQL's programs reach it, whether it can be dumped, and the dump."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
from psycopg.conninfo import conninfo_to_dict

from cx.core.errors import CxError, Invalid
from cx.data.errors import SourceRefused, SourceUnavailable
from cx.data.masking.dialects.postgres.expressions import KEY_SETTING
from cx.data.masking.foreign import Foreign
from cx.data.refresh.archive import Locale
from cx.data.values import Progress, Source
from cx.data.workbench.tools import WORK, Ran, Tools
from cx.redaction import Redactor

_PASSED = re.compile(
    "host|hostaddr|port|dbname|user|options|connect_timeout|target_session_attrs|keepalives"
    "|sslmode|sslnegotiation|channel_binding|gssencmode|require_auth"
)
_FILES = ("sslrootcert", "sslcert", "sslkey", "sslcrl")
_CONNECT_TIMEOUT_S = "15"
_VARIABLES = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "password": "PGPASSWORD", "dbname": "PGDATABASE"}

# One read-only look. What differs between versions is read by to_jsonb, which takes the columns there are.
# Extensions' own tables (deptype e) are not dumped.
_LOOK = """
WITH mine AS (
  SELECT c.oid, c.relkind, n.oid AS schema_oid, format('%I.%I', n.nspname, c.relname) AS name
  FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p', 'S') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
    AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.classid = 'pg_class'::regclass
                    AND d.objid = c.oid AND d.deptype = 'e'))
SELECT jsonb_build_object(
  'version', current_setting('server_version_num')::int,
  'version_text', current_setting('server_version'),
  'database', (SELECT to_jsonb(d) - 'datacl' FROM pg_database AS d WHERE datname = current_database()),
  'encoding', getdatabaseencoding(),
  'size_bytes', pg_database_size(current_database()),
  'tables', (SELECT count(*) FROM mine WHERE relkind = 'r'),
  'unreadable', (SELECT jsonb_agg(name) FROM (SELECT name FROM mine
     WHERE NOT (has_schema_privilege(schema_oid, 'USAGE') AND has_table_privilege(oid, 'SELECT'))
     ORDER BY name LIMIT 4) AS u),
  'hidden', (SELECT jsonb_agg(name) FROM (SELECT name FROM mine
     WHERE relkind = 'r' AND row_security_active(oid) ORDER BY name LIMIT 4) AS h),
  'unreadable_objects', (SELECT count(*) FROM pg_largeobject_metadata
     WHERE NOT current_setting('lo_compat_privileges')::boolean AND NOT pg_has_role(lomowner, 'USAGE')
       AND NOT EXISTS (SELECT FROM aclexplode(lomacl) WHERE privilege_type = 'SELECT'
                       AND (grantee = 0 OR pg_has_role(grantee, 'USAGE')))
       AND NOT CASE WHEN current_setting('server_version_num')::int >= 190000
                    THEN pg_has_role('pg_read_all_data', 'USAGE') ELSE false END),
  'settings', (SELECT to_jsonb(setconfig) FROM pg_db_role_setting AS s JOIN pg_database AS d
     ON d.oid = s.setdatabase WHERE s.setrole = 0 AND d.datname = current_database()))
"""

# Settings of the source's database that a clone gets too: how values look and where names are found. Not
# resources, and not an application's own parameters, which may hold secrets.
_SETTINGS = re.compile(
    "search_path|timezone|datestyle|intervalstyle|bytea_output|extra_float_digits|xmloption"
    "|default_text_search_config|default_transaction_isolation",
    re.IGNORECASE,
)
# What pg_dump is told of every source.
DUMPED = (
    *("--no-sync", "--no-owner", "--no-privileges", "--no-security-labels", "--no-publications"),
    *("--no-subscriptions", "--no-tablespaces", "--lock-wait-timeout=60s"),
)
_PROVIDERS = {"c": "libc", "i": "icu", "b": "builtin"}

_UNAVAILABLE = (
    "could not connect",
    "Connection refused",
    "could not translate host name",
    "timeout expired",
    "timed out",
    "No route to host",
    "Network is unreachable",
    "server closed the connection",
    "terminating connection",
    "the database system is",
    "too many clients",
    "too many connections",
    "remaining connection slots",
    "conflict with recovery",
)
# pg_dump waits for its locks with a statement timeout, and for nothing else.
_LOCKED = ("lock timeout", "could not obtain lock", "statement timeout")

_NOT_LET_IN = re.compile(
    r"authentication|password|pg_hba|certificate|SSL|not permitted to log|FATAL:.*(?:database|role) .* does not exist"
)
_DENIED = re.compile(r"permission denied for (?P<kind>[a-z ]+?) (?P<name>[^ )]+)")
_RIGHTS = {
    "function": "EXECUTE ON FUNCTION {name}",
    "database": "CONNECT ON DATABASE {name}",
    "type": "USAGE ON TYPE {name}",
}


@dataclass(frozen=True)
class Seen:
    """What a source says of itself."""

    version: int
    version_text: str
    size_bytes: int
    tables: int
    locale: Locale
    settings: Mapping[str, str]


def connection_parts(source: Source) -> dict[str, str]:
    """libpq's parameters in the source's URL, for a session that only reads. Raises Invalid."""
    where, key = "host configuration", f"databases.{source.name}.source"
    try:
        parts = {k: str(v) for k, v in conninfo_to_dict(source.url or "").items()}
    except psycopg.ProgrammingError as exc:  # libpq's message may hold the URL, and so the password
        raise Invalid(where, key, "is no PostgreSQL URL", remedy="for example postgresql://user@host/db") from (
            None if source.url and source.url in str(exc) else exc
        )
    for name, value in parts.items():
        if not _PASSED.fullmatch(name) and name not in (*_FILES, "password"):
            raise Invalid(where, key, f"does not take {name}")
        if not value.isprintable() or value != value.strip():
            raise Invalid(where, key, f"{name} must be printable, without spaces around it")
    if not parts.get("host") and not parts.get("hostaddr"):
        raise Invalid(where, key, "names no host")
    parts.setdefault("connect_timeout", _CONNECT_TIMEOUT_S)
    parts.setdefault("user", "postgres")
    parts.setdefault("dbname", parts["user"])
    read_only = "-c default_transaction_read_only=on"
    parts["options"] = f"{parts['options']} {read_only}" if "options" in parts else read_only
    return parts


def commanded(source: Source) -> Foreign:
    """What makes the dump where the source has a command. Raises Invalid."""
    parts = connection_parts(source)
    environment = {name: parts[key] for key, name in _VARIABLES.items() if key in parts}
    hint = "pg_dump --format=custom --file=$DUMP_FILE, or a folder"
    path, password = f"{WORK}/command.dump", parts.get("password", "")
    return Foreign(
        source.name, source.command, source.command_image, path, hint, source.url or "", password, environment
    )


class LiveSource:
    """A source that is a running server, reached from within `tools`."""

    def __init__(self, source: Source, tools: Tools) -> None:
        self._source = source
        self._tools = tools
        parts = connection_parts(source)
        if source.masks:  # with the session, and so in no statement and no log
            parts["options"] += f" -c {KEY_SETTING}={source.masks.key_hex}"
        self._password = parts.pop("password", "")
        self._hide = Redactor((), (self._password, quote(self._password, safe="")))
        self._database = parts.get("dbname", "")
        self._write(parts)

    def _write(self, parts: Mapping[str, str]) -> None:
        lines = ["[source]", "application_name=cx"]
        for name, value in parts.items():
            if name in _FILES and value != "system":
                self._tools.put(f"{WORK}/{name}", self._file(name, value))
                value = f"{WORK}/{name}"
            lines.append(f"{name}={value}")
        escaped = self._password.replace("\\", "\\\\").replace(":", "\\:")
        self._tools.put(f"{WORK}/source.conf", ("\n".join(lines) + "\n").encode())
        self._tools.put(f"{WORK}/source.pass", f"*:*:*:*:{escaped}\n".encode())

    def _file(self, name: str, path: str) -> bytes:
        try:
            return Path(path).read_bytes()
        except OSError as exc:
            where = f"databases.{self._source.name}.source"
            raise Invalid("host configuration", where, f"{name}: {exc.strerror}") from exc

    @property
    def environment(self) -> Mapping[str, str]:
        return {"PGSERVICEFILE": f"{WORK}/source.conf", "PGPASSFILE": f"{WORK}/source.pass"}

    def look(self, server_version: int) -> Seen:
        """What the source holds, once it is sure that it can be dumped.

        Raises SourceUnavailable, SourceRefused.
        """
        argv = ["psql", "-XAtqw", "-v", "ON_ERROR_STOP=1", "-d", "service=source", "-c", _LOOK]
        ran = self._tools.run(argv, environment=self.environment)
        if not ran.ok:
            raise self.failure(ran)
        facts: dict[str, Any] = json.loads(ran.output)
        self._check(facts, server_version)
        database = facts["database"]
        settings = dict(entry.split("=", 1) for entry in facts["settings"] or [])
        return Seen(
            version=facts["version"],
            version_text=facts["version_text"],
            size_bytes=facts["size_bytes"],
            tables=facts["tables"],
            locale=Locale(
                encoding=facts["encoding"],
                provider=_PROVIDERS.get(database.get("datlocprovider", "c"), ""),
                collate=database["datcollate"],
                ctype=database["datctype"],
                locale=database.get("datlocale") or database.get("daticulocale") or "",
                icu_rules=database.get("daticurules") or "",
            ),
            settings={k.lower(): v for k, v in settings.items() if _SETTINGS.fullmatch(k)},
        )

    def _check(self, facts: Mapping[str, Any], server_version: int) -> None:
        name = self._source.name
        if facts["version"] // 10000 > server_version // 10000:
            raise SourceRefused(
                f"source {name} runs PostgreSQL {facts['version_text']}, newer than the previews' server"
                f" ({server_version // 10000})",
                remedy="raise the version of the previews' server in the host configuration",
            )
        if facts["unreadable"]:
            tables = ", ".join(facts["unreadable"])
            known = facts["version"] >= 140000  # the role is there
            grant = "GRANT pg_read_all_data" if known else "GRANT USAGE of the schemas and SELECT of all tables in them"
            raise SourceRefused(f"source {name}: its user may not read {tables}", remedy=f"{grant} TO that user")
        if (count := facts["unreadable_objects"]) and self._with_objects:
            raise SourceRefused(
                f"source {name}: its user may not read {count} large objects", remedy=self._remedy("large object")
            )
        if facts["hidden"]:
            tables = ", ".join(facts["hidden"])
            raise SourceRefused(
                f"source {name}: row security hides rows of {tables} from its user",
                remedy="ALTER ROLE that user BYPASSRLS",
            )

    @property
    def _with_objects(self) -> bool:
        """Whether large objects come along."""
        return self._source.masks is None or self._source.masks.large_objects

    def dump(self, seen: Seen, progress: Progress) -> str:
        """A folder in the container that holds the source as of one moment; its path."""
        path = f"{WORK}/dump"
        done = 0

        def count(line: str) -> None:
            nonlocal done
            if "dumping contents of table" in line:
                done += 1
                progress(f"{self._source.name}: reading table {done} of {seen.tables}")

        argv = [
            "pg_dump",
            "-d",
            "service=source",
            "-w",
            "-v",
            "-Fd",
            "-j",
            str(self._source.jobs),
            "-f",
            path,
        ]
        argv += ["-Z", "lz4", *DUMPED]
        ran = self._tools.run(argv, environment=self.environment, on_error_line=count)
        if not ran.ok:
            raise self.failure(ran)
        return path

    def failure(self, ran: Ran) -> CxError:
        name = self._source.name
        message = self._hide(first_error(ran.errors))
        everything = "\n".join(ran.errors)
        if "No space left on device" in message and "could not write" in message:
            return SourceUnavailable(f"source {name}: this host has no space left for its dump ({message})")
        if any(text in everything for text in _LOCKED):
            return SourceUnavailable(
                f"source {name} is busy: a table there stays locked ({message})",
                remedy=f"wait for what changes it, then: cx db refresh {name}",
            )
        if any(text in everything for text in _UNAVAILABLE):
            return SourceUnavailable(
                f"source {name} is not available ({message})",
                remedy=f"check that this host reaches it, then: cx db refresh {name}",
            )
        return SourceRefused(f"source {name} refuses ({message})", remedy=self._remedy(message))

    def _remedy(self, message: str) -> str:
        """What is missing, by what the server says."""
        key = f"databases.{self._source.name}"
        if "large object" in message:
            without = f"{key}.large_objects = false" if self._source.masks else f"rules ({key}.mask) leave them out"
            grant = "GRANT SELECT ON LARGE OBJECT of each TO that user"
            return f"{grant}, as pg_read_all_data does not reach them; or {without}"
        if found := _DENIED.search(message):
            right = _RIGHTS.get(found["kind"], "pg_read_all_data")
            return f"GRANT {right.format(name=found['name'])} TO that user"
        if "row-level security" in message:
            return "ALTER ROLE that user BYPASSRLS"
        if _NOT_LET_IN.search(message):
            return f"check {key}.source"
        return (
            f"no right of that user is missing: look at {key}.mask and rows" if self._source.masks else f"check {key}"
        )


_ROW = re.compile(r'(COPY failed for table "[^"]*": ERROR:\s*[^:"]*).*')


def first_error(lines: tuple[str, ...]) -> str:
    """The line that says what went wrong: without what quotes rows."""
    said = [line for line in lines if "error:" in line.lower() or "fatal:" in line.lower()]
    line = " ".join((said or [line for line in lines if line] or ["it says nothing"])[0].split())
    return _ROW.sub(r"\1", line)
