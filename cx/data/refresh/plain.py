"""A plain SQL dump on its way to psql: what a preview's server must not run is left out, line by line.

This keeps an honest dump restorable by a role that owns nothing yet. It is no wall against a hostile one:
that is the role itself, and psql's restricted mode.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from cx.data.refresh.archive import JOBS, LEFT_OUT, extension_schemas, has_column_versions, of_foreign, policy_roles

_SECTION = re.compile(rb"-- (?:Data for )?Name: (?P<name>.*); Type: (?P<kind>[^;]+); Schema: (?P<schema>[^;]*)")
_COPY = re.compile(rb"COPY .* FROM stdin;\r?\n?")
_OWNER = re.compile(rb'ALTER [A-Z ]+ .+ OWNER TO (?:"(?:[^"]|"")+"|[\w$]+);\r?\n?')
_COMMENT = re.compile(rb"COMMENT ON (?:EXTENSION|DATABASE|LANGUAGE|EVENT TRIGGER|PUBLICATION|SERVER) ")
_LEFT_OUT = frozenset((*LEFT_OUT, "ACL", "DEFAULT ACL", "DATABASE", "DATABASE PROPERTIES", "SECURITY LABEL"))
_BEGIN = b"-- PostgreSQL database dump\n"
_END = b"-- PostgreSQL database dump complete"
_CLUSTER = b"-- PostgreSQL database cluster dump"
_META = (rb"\restrict ", rb"\unrestrict ", rb"\connect ")


@dataclass
class Reading:
    """What was seen so far while `filtered` runs."""

    lines: int = 0
    begun: bool = False
    ended: bool = False
    cluster: bool = False
    in_data: bool = False
    in_jobs: bool = False
    roles: set[str] = field(default_factory=set)
    extensions: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, set[str]] = field(default_factory=dict)
    foreign: list[str] = field(default_factory=list)

    @property
    def cut(self) -> bool:
        """Whether the dump's end is missing."""
        return self.in_data or (self.begun and not self.ended)

    @property
    def notes(self) -> tuple[str, ...]:
        return tuple(f"left out: {k.lower()} {', '.join(sorted(v))}" for k, v in sorted(self.left_out.items()))


def filtered(lines: Iterable[bytes], reading: Reading) -> Iterator[bytes]:
    """The lines to run, while `reading` fills."""
    skipping = False
    for line in lines:
        reading.lines += 1
        if reading.in_data:
            reading.in_data = line.rstrip(b"\r\n") != rb"\."
            if not reading.in_jobs:
                yield line
            continue
        if line.startswith(b"--"):
            skipping = _section(line, reading, skipping)
            continue
        if line.startswith(_META) or _OWNER.fullmatch(line) or _COMMENT.match(line):
            continue
        if has_column_versions(line.decode(errors="replace")):
            continue
        reading.in_jobs = skipping
        if skipping and not line.startswith(b"SET default_"):
            reading.in_data = _COPY.fullmatch(line) is not None
            continue
        if line.startswith(b"CREATE SCHEMA "):  # may be there already, for an extension's sake
            line = line.replace(b"CREATE SCHEMA ", b"CREATE SCHEMA IF NOT EXISTS ", 1)
        _note(line, reading)
        reading.in_data = _COPY.fullmatch(line) is not None
        yield line


def _section(line: bytes, reading: Reading, skipping: bool) -> bool:
    """Whether what follows this comment is left out."""
    reading.begun = reading.begun or line.rstrip(b"\r\n") + b"\n" == _BEGIN
    reading.ended = reading.ended or line.startswith(_END)
    reading.cluster = reading.cluster or line.startswith(_CLUSTER)
    found = _SECTION.match(line)
    if found is None:
        return skipping
    kind, schema, name = (found[part].decode(errors="replace") for part in ("kind", "schema", "name"))
    table = f"{schema} {name}"
    if kind == "TABLE DATA" and any(f"{table} ".startswith(f"{job} ") for job in JOBS):
        reading.left_out.setdefault("jobs of", set()).add(table)
        return True
    if kind in LEFT_OUT:
        reading.left_out.setdefault(kind, set()).add(name)
    if kind == "FOREIGN TABLE":
        reading.foreign += of_foreign(schema, name)
    return kind in _LEFT_OUT or f"{kind} {table} ".startswith(tuple(reading.foreign))


def _note(line: bytes, reading: Reading) -> None:
    if line.startswith(b"CREATE "):
        text = [line.decode(errors="replace").rstrip()]
        reading.roles.update(policy_roles(text))
        reading.extensions.update(extension_schemas(text))
