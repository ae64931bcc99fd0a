"""What a dump says of itself, and what of it may be restored: text in, values out.

The list is what `pg_restore --list` prints, one entry a line:
    `215; 1259 16390 TABLE public orders postgres`. What an entry is called was chosen by the source: it is
read, never run; names are quoted again before they become part of a statement.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

_ENTRY = re.compile(r"(?P<id>\d+); \d+ \d+ (?P<rest>.+)")

# Left out, with a note where a person would miss it.
LEFT_OUT = (
    "EVENT TRIGGER",
    "SUBSCRIPTION TABLE",
    "SUBSCRIPTION",
    "PUBLICATION TABLES IN SCHEMA",
    "PUBLICATION TABLE",
    "PUBLICATION",
    "FOREIGN DATA WRAPPER",
    "FOREIGN SERVER",
    "SERVER",
    "USER MAPPING",
    "FOREIGN TABLE",
    "PROCEDURAL LANGUAGE",
)
_SILENTLY = (
    "DEFAULT ACL",
    "ACL LANGUAGE",
    "ACL",
    "DATABASE PROPERTIES",
    "DATABASE",
    "SECURITY LABEL",
    "SHSECLABEL",
    "STATISTICS DATA",
    "COMMENT - DATABASE",
    "COMMENT - EXTENSION",
    "COMMENT - EVENT TRIGGER",
    "COMMENT - SUBSCRIPTION",
    "COMMENT - PUBLICATION",
    "COMMENT - SERVER",
    "COMMENT - FOREIGN DATA WRAPPER",
    "COMMENT - LANGUAGE",
    "COMMENT - PROCEDURAL LANGUAGE",
)

# Jobs that would run on the previews' server: rows of tables that belong to extensions.
JOBS = ("cron job", "cron job_run_details", "pgagent", "timetable")

# What else of a dump is a foreign table's, which is left out: by its schema and name.
_OF_FOREIGN = (
    "COMMENT {schema} FOREIGN TABLE {name} ",
    "COMMENT {schema} COLUMN {name}.",
    "DEFAULT {schema} {name} ",
    "TRIGGER {schema} {name} ",
    "CONSTRAINT {schema} {name} ",
    "CHECK CONSTRAINT {schema} {name} ",
)

_IDENTIFIER = r'(?:"(?:[^"]|"")+"|[\w$]+)'
_EXTENSION = re.compile(
    rf"^CREATE EXTENSION (?:IF NOT EXISTS )?(?P<name>{_IDENTIFIER}) WITH SCHEMA (?P<schema>{_IDENTIFIER});$"
)
_POLICY = re.compile(
    rf"^CREATE POLICY {_IDENTIFIER} ON (?:ONLY )?{_IDENTIFIER}(?:\.{_IDENTIFIER})?"
    rf"(?: AS \w+)?(?: FOR \w+)? TO (?P<roles>{_IDENTIFIER}(?:, {_IDENTIFIER})*)"
)
# Since the minor releases of November 2026 a server may note a version on each column, as an option that an
# older minor release of the next major version does not know; pg_dump passes it on.
_COLUMN_VERSION = re.compile(r"^ALTER TABLE ONLY .+ ALTER COLUMN .+ SET \(.*\bpg_attver=\d+.*\);$", re.MULTILINE)
WITHOUT_COLUMN_VERSIONS = (
    "/^ALTER TABLE ONLY .+ ALTER COLUMN .+ SET \\(.*pg_attver=[0-9]+.*\\);$/"
    "{ s/pg_attver=[0-9]+(, )?//; s/, \\);$/);/; / SET \\(\\);$/d }"
)  # for sed -E

_LOCALE = re.compile(r"\b([A-Z_]+) = ('(?:[^']|'')*'|\w+)")


@dataclass(frozen=True)
class Contents:
    """A dump's list, sorted: `keep` are the lines to restore, `notes` say what is left out."""

    keep: tuple[str, ...]
    extensions: Mapping[str, str]  # name -> its line
    schemas: Mapping[str, str]
    policies: tuple[str, ...]
    tables: int
    notes: tuple[str, ...]


def contents(listing: str) -> Contents:
    keep: list[str] = []
    extensions: dict[str, str] = {}
    schemas: dict[str, str] = {}
    policies: list[str] = []
    left_out: dict[str, list[str]] = {}
    foreign: list[str] = []
    tables = 0
    for line in listing.splitlines():
        entry = _ENTRY.fullmatch(line.strip())
        if entry is None:
            continue
        rest = entry["rest"]
        if any(rest.startswith(f"{kind} ") for kind in _SILENTLY):
            continue
        if kind := next((kind for kind in LEFT_OUT if rest.startswith(f"{kind} ")), None):
            left_out.setdefault(kind.lower(), []).append(_tag(rest.removeprefix(f"{kind} ")))
            if kind == "FOREIGN TABLE":
                foreign += of_foreign(rest.split(" ")[2], _tag(rest.removeprefix(f"{kind} ")))
            continue
        if rest.startswith(tuple(foreign)):
            continue
        if (data := rest.removeprefix("TABLE DATA ")) != rest and any(data.startswith(f"{job} ") for job in JOBS):
            left_out.setdefault("jobs of", []).append(" ".join(data.split(" ")[:2]))
            continue
        if rest.startswith("EXTENSION - "):
            extensions[_tag(rest.removeprefix("EXTENSION "))] = line
        elif rest.startswith("SCHEMA - "):
            schemas[_tag(rest.removeprefix("SCHEMA "))] = line
        elif rest.startswith("POLICY "):
            policies.append(line)
        elif rest.startswith("TABLE DATA "):
            tables += 1
        keep.append(line)
    notes = tuple(f"left out: {kind} {', '.join(sorted(tags))}" for kind, tags in sorted(left_out.items()))
    return Contents(tuple(keep), extensions, schemas, tuple(policies), tables, notes)


def of_foreign(schema: str, name: str) -> tuple[str, ...]:
    """How the entries begin that belong to this foreign table: their kind, schema and name."""
    return tuple(one.format(schema=schema, name=name) for one in _OF_FOREIGN)


def _tag(rest: str) -> str:
    """`name` of `- name owner`; without the owner, who is one word in all but odd cases."""
    words = rest.split(" ")[1:]
    return " ".join(words[:-1]) if len(words) > 1 else words[0]


# --- the statements that pg_restore prints for some entries


def extension_schemas(statements: Iterable[str]) -> Iterator[tuple[str, str]]:
    """(extension, schema) of each CREATE EXTENSION."""
    for line in statements:
        if found := _EXTENSION.match(line):
            yield unquoted(found["name"]), unquoted(found["schema"])


def policy_roles(statements: Iterable[str]) -> Iterator[str]:
    """The roles that policies name, PUBLIC not."""
    for line in statements:
        if found := _POLICY.match(line):
            yield from (unquoted(role) for role in re.findall(_IDENTIFIER, found["roles"]))


def unquoted(identifier: str) -> str:
    return identifier[1:-1].replace('""', '"') if identifier.startswith('"') else identifier


def has_column_versions(statements: str) -> bool:
    return _COLUMN_VERSION.search(statements) is not None


# --- the database's locale


@dataclass(frozen=True)
class Locale:
    """How the source's database sorts and spells; empty fields: the server's default."""

    encoding: str = ""
    provider: str = ""  # libc, icu, builtin
    collate: str = ""
    ctype: str = ""
    locale: str = ""  # of the ICU or built-in provider
    icu_rules: str = ""
    extra: Mapping[str, str] = field(default_factory=dict)

    def options(self) -> dict[str, str]:
        """CREATE DATABASE's options, by keyword."""
        options = {
            "ENCODING": self.encoding,
            "LOCALE_PROVIDER": self.provider,
            "LC_COLLATE": self.collate,
            "LC_CTYPE": self.ctype,
            "ICU_RULES": self.icu_rules,
        }
        if self.provider in ("icu", "builtin"):
            options[f"{self.provider.upper()}_LOCALE"] = self.locale
        return {key: value for key, value in options.items() if value}

    def replacement(self) -> Locale:
        """The same language by ICU, for a server whose C library does not have this locale."""
        language = re.split(r"[.@]", self.collate)[0].replace("_", "-")
        return Locale(self.encoding, "icu", "C.UTF-8" if self.encoding == "UTF8" else "C", "C", language)


def locale_of(statements: Iterable[str]) -> Locale:
    """The locale in the CREATE DATABASE that `pg_restore --create` prints; without one, the default."""
    for line in statements:
        if line.startswith("CREATE DATABASE "):
            found = {key: value.strip("'").replace("''", "'") for key, value in _LOCALE.findall(line)}
            provider = found.get("LOCALE_PROVIDER", "libc")
            both = found.get("LOCALE", "")
            return Locale(
                encoding=found.get("ENCODING", ""),
                provider=provider,
                collate=found.get("LC_COLLATE", both),
                ctype=found.get("LC_CTYPE", both),
                locale=found.get("ICU_LOCALE", found.get("BUILTIN_LOCALE", both)),
                icu_rules=found.get("ICU_RULES", ""),
            )
    return Locale()
