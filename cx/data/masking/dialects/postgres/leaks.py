"""Looking for raw values where there must be none: in a golden's files, its WAL, its statistics and its rows.

Canaries are values of the source's masked columns, picked at random. They are written to the memory of the tools
container (/dev/shm) by the source's own answer, are looked for there, and go with it: cx sees columns and counts only.
The golden's files are read by mounting the server's volumes into that container, read-only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, LiteralString

from psycopg import sql

from cx.core.errors import Terminal
from cx.data.masking.catalog import Column, Table, quoted
from cx.data.masking.checking import Plan
from cx.data.masking.content import BETWEEN, KEYS, LOOKS
from cx.data.masking.dialects.postgres.columns import as_text, literal
from cx.data.masking.dialects.postgres.expressions import digest
from cx.data.masking.dialects.postgres.reading import Reading
from cx.data.masking.searching import CANARIES, MAX_LENGTH, MIN_LENGTH, SHM, Leak, hides, like_chance, search, spell
from cx.data.masking.vocabulary import common
from cx.data.session import Session
from cx.data.workbench.tools import Tools
from cx.settings.masking import Masked, steps_of, worded

if TYPE_CHECKING:
    from docker import DockerClient

MIN_DIGITS = 11  # of a number: shorter ones are in other numbers


@dataclass(frozen=True)
class Watched:
    """A column whose values must not be in the golden: `values` is SQL for a set of texts over the row `t`; where it is
    of one text, `single` is that. `shortest` is how many characters of a text are not there by chance. It takes long to
    get at the parts of a value: `slow`."""

    table: Table
    column: Column
    values: str
    by_chance: bool  # a fake may be the same as somebody's value
    single: str = ""
    shortest: int = MIN_LENGTH
    slow: bool = False

    @property
    def said(self) -> str:
        return f"{self.table.said}.{self.column.name}"


def watched(plan: Plan) -> Iterator[Watched]:
    """The columns that are masked and hold text, of all tables that there are: of those left out as well."""
    for table in plan.catalog.stored:
        for column in table.columns.values():
            rule = plan.rules[table.oid].get(column.name)
            if rule and rule.canary and hides(rule):
                yield from _of(table, column, rule)


def _of(table: Table, column: Column, rule: Masked) -> Iterator[Watched]:
    value = f"t.{quoted(column.name)}"
    by_chance = like_chance(rule)
    if rule.json is not None:
        for path, word in rule.json.items():
            if worded(word).do == "keep":
                continue
            way = "lax $" + "".join("[*]" if step is None else f".{_json_key(step)}" for step in steps_of(path))
            inner = f"SELECT x #>> '{{}}' FROM jsonb_path_query({value}::jsonb, {literal(way)}) AS x"
            yield Watched(table, column, f"({inner})", True)
    elif column.element and column.shape in ("parts", "numbers"):
        inner = "encode(x, 'escape')" if column.element == "bytea" else as_text("x")
        shortest = MIN_DIGITS if column.shape == "numbers" else MIN_LENGTH
        yield Watched(table, column, f"(SELECT {inner} FROM unnest({value}) AS x)", by_chance, shortest=shortest)
    elif column.shape == "parts" and column.base != "xml":
        parts = f"regexp_split_to_table(regexp_replace({as_text(value)}, {literal(KEYS)}, '', 'g'), {literal(BETWEEN)})"
        some = " OR ".join(f"p ~ {literal(one.between('^', '$'))}" for one in LOOKS if one.of == "texts")
        yield Watched(table, column, f"(SELECT p FROM {parts} AS p WHERE {some})", by_chance, slow=True)
    elif one := _single(column, value):
        yield Watched(table, column, f"(SELECT {one[0]})", by_chance, *one)


def _single(column: Column, value: str) -> tuple[str, int] | None:
    """The value as a text, where it is one, and how many characters of one are not there by chance."""
    match column.shape:
        case "bytes":
            return f"encode({value}, 'escape')", MIN_LENGTH
        case "number":
            return as_text(value), MIN_DIGITS
    if column.is_text or column.base in ("uuid", "inet", "cidr", "macaddr", "macaddr8", "xml"):
        return as_text(value), MIN_LENGTH
    return None


def _json_key(step: str) -> str:
    return '"' + step.replace("\\", "\\\\").replace('"', '\\"') + '"'


# --- canaries


def release(reading: Reading, plan: Plan, each: int) -> int:
    """At most `each` canaries of every watched column are in the container's memory; how many in all.

    Not those that are short, nor those that fakes may be by chance. Of a text of several lines, the longest.
    """
    statements = [_canaries(one, each) for one in watched(plan)]
    if statements:
        reading.lines(statements, to=CANARIES)
    else:
        reading.origin.tools.run(["truncate", "--size=0", CANARIES])
    return spell(reading.origin.tools)


def _canaries(one: Watched, each: int) -> str:
    sample = ""
    if one.table.rows > 40 * each:
        sample = f" TABLESAMPLE SYSTEM ({min(100.0, 100 * 20 * each / one.table.rows):.4f})"
    rows = f"FROM ONLY {one.table.quoted} AS t{sample}"
    lines = f"SELECT v, line FROM (SELECT unnest(array(SELECT v FROM {one.values} AS x(v))) AS v {rows}) AS r"
    lines += " CROSS JOIN LATERAL (SELECT line FROM regexp_split_to_table(v, E'[\\\\r\\\\n\\\\t]+') AS line"
    lines += " ORDER BY length(line) DESC LIMIT 1) AS l"
    told = literal(one.said.replace("\t", " "))
    return (
        f"SELECT {told}, left(line, {MAX_LENGTH}) FROM ({lines}) AS picked WHERE length(line) >= {one.shortest}"
        f" AND strpos(line, E'\\\\') = 0{_unlike_fakes(one, 'v')}"
        f" GROUP BY 2 ORDER BY random() LIMIT {each}"
    )


def _unlike_fakes(one: Watched, value: str) -> str:
    """A condition: not all of the value's words are words of the vocabulary, or numbers."""
    if not one.by_chance:
        return ""
    words = literal("{" + ",".join(sorted(word for word in common() if word.isalpha())) + "}")
    parts = f"regexp_split_to_table(lower({value}), E'[^[:alpha:]]+') AS w"
    return f" AND EXISTS (SELECT FROM {parts} WHERE w <> '' AND NOT w = ANY ({words}::text[]))"


# --- where they are looked for


@dataclass(frozen=True)
class Place:
    """One database on the previews' server, and the stretch of WAL that it was made in."""

    database: str
    begin: str  # log sequence numbers; "" for none
    end: str


def scan(tools: Tools, connection: Session, inside: Session, place: Place) -> Leak | None:
    """What is found in the files, the statistics and the WAL. `inside` is a session in the database.

    Raises Terminal where the files cannot be read: what was not looked at is not clean.
    """
    connection.execute("CHECKPOINT")
    names, folder = _relations(inside), _folder(connection, place.database)
    data = PurePosixPath(_one(connection, "SHOW data_directory"))
    listed = tools.run(["bash", "-c", 'cd "$1" && ls -S', "bash", str(data / folder)])
    if not listed.ok or not listed.output:
        raise Terminal(
            "the previews' server's files cannot be read, so that nobody knows what is in them",
            remedy="the server's data must be in a volume that other containers can mount",
        )
    files = [str(data / folder / name) for name in listed.output.split()]
    statistics = f"{SHM}/statistics"
    tools.put("/cx/statistics", _statistics(inside))
    tools.run(["cp", "/cx/statistics", statistics])
    files += [statistics, *_wal(tools, connection, data, place)]
    found = search(tools, files)
    if found is None:
        return None
    return Leak(found.columns, tuple(sorted({_told(path, names, data) for path in found.where})))


def _relations(inside: Session) -> dict[str, str]:
    """What the database's files hold, by their name."""
    rows = inside.execute(
        "SELECT pg_relation_filenode(c.oid)::text, coalesce(i.indrelid::regclass, c.oid::regclass)::text"
        " FROM pg_class AS c LEFT JOIN pg_index AS i ON i.indexrelid = c.oid"
        " WHERE pg_relation_filenode(c.oid) IS NOT NULL"
    ).fetchall()
    return dict(rows)


def _folder(connection: Session, database: str) -> str:
    row = connection.execute("SELECT oid FROM pg_database WHERE datname = %s", [database]).fetchone()
    return f"base/{row[0] if row else 0}"


def _statistics(inside: Session) -> bytes:
    """pg_statistic's values as text: in its file, long ones are compressed."""
    rows = inside.execute(
        "SELECT most_common_vals::text, histogram_bounds::text, most_common_elems::text FROM pg_stats"
    ).fetchall()
    return "\n".join(part for row in rows for part in row if part).encode()


def _wal(tools: Tools, connection: Session, data: PurePosixPath, place: Place) -> Iterator[str]:
    """The stretch's segments that are still there; of the first and the last, what belongs to the stretch.

    Segments are used again: after the stretch there is what was there long before.
    """
    if not place.begin:
        return
    size = int(_one(connection, "SELECT setting FROM pg_settings WHERE name = 'wal_segment_size'"))
    line = _one(connection, "SELECT substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)")
    begin, end = _position(place.begin), _position(place.end)
    there = set(tools.run(["ls", f"{data}/pg_wal"]).output.split())
    each = (1 << 32) // size
    for number in range(begin // size, end // size + 1):
        name = f"{line}{number // each:08X}{number % each:08X}"
        if name not in there:
            continue
        path = f"{data}/pg_wal/{name}"
        first, last = max(begin - number * size, 0), min(end - number * size, size)
        if (first, last) != (0, size):
            part = f"/cx/wal-{name}"
            cut = f'tail -c +{first + 1} "$1" | head -c {last - first} > "$2"'
            tools.run(["bash", "-c", cut, "bash", path, part])
            path = part
        yield path


def _position(lsn: str) -> int:
    high, _, low = lsn.partition("/")
    return (int(high, 16) << 32) + int(low, 16)


def _told(path: str, names: Mapping[str, str], data: PurePosixPath) -> str:
    file = PurePosixPath(path)
    if file.name == "statistics":
        return "pg_statistic"
    if "wal" in path.removeprefix(str(data)):
        return "the WAL"
    node = file.name.split(".")[0].split("_")[0]
    return names.get(node, f"the file {file.name}")


def _one(connection: Session, query: LiteralString) -> str:
    row = connection.execute(sql.SQL(query)).fetchone()
    return str(row[0]) if row else ""


def server_container(client: DockerClient, host: str) -> str:
    """The id of the container at this address. Raises Terminal."""
    for container in client.containers.list(ignore_removed=True):
        networks = container.attrs["NetworkSettings"]["Networks"].values()
        if any(one.get("IPAddress") == host for one in networks):
            return str(container.id)
    raise Terminal(
        f"no container of this engine has the address {host} of the previews' server: its files cannot be looked into"
    )


# --- every value, by its digest


def digests(one: Watched) -> str:
    """A query for the keyed digest of each of the column's values that counts."""
    value = f"unnest(array(SELECT v FROM {one.values} AS x(v)))"
    rows = f"SELECT {value} AS v FROM ONLY {one.table.quoted} AS t"
    made = f"left(encode({digest('v')}, 'hex'), 24)"
    return f"SELECT DISTINCT {made} FROM ({rows}) AS r WHERE length(v) >= {one.shortest}{_unlike_fakes(one, 'v')}"
