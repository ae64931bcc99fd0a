"""What a database's schema says, in the words of PostgreSQL's types, in which the rules are checked."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cx.data.masking.catalog import Catalog, Column, Reference, Table

_MINE = "TABLE_SCHEMA = DATABASE()"
# One JSON object in each line. What makes a column JSON in MariaDB is a constraint that says json_valid(`c`), which
# the dialect asks for; in MySQL its type.
QUERY = f"""
SELECT JSON_OBJECT('is', 'table', 'table', TABLE_NAME, 'rows', TABLE_ROWS, 'bytes', DATA_LENGTH, 'next', AUTO_INCREMENT)
FROM information_schema.TABLES WHERE {_MINE} AND TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED') ORDER BY TABLE_NAME;
SELECT JSON_OBJECT('is', 'column', 'table', TABLE_NAME, 'name', COLUMN_NAME, 'number', ORDINAL_POSITION,
  'kind', DATA_TYPE, 'type', COLUMN_TYPE, 'length', CHARACTER_MAXIMUM_LENGTH, 'nullable', IS_NULLABLE, 'extra', EXTRA)
FROM information_schema.COLUMNS WHERE {_MINE} ORDER BY TABLE_NAME, ORDINAL_POSITION;
SELECT JSON_OBJECT('is', 'key', 'table', TABLE_NAME, 'name', INDEX_NAME, 'column', COLUMN_NAME)
FROM information_schema.STATISTICS WHERE {_MINE} AND NON_UNIQUE = 0 ORDER BY TABLE_NAME, INDEX_NAME, SEQ_IN_INDEX;
SELECT JSON_OBJECT('is', 'reference', 'table', TABLE_NAME, 'name', CONSTRAINT_NAME, 'column', COLUMN_NAME,
  'to', REFERENCED_TABLE_NAME, 'to_column', REFERENCED_COLUMN_NAME)
FROM information_schema.KEY_COLUMN_USAGE WHERE {_MINE} AND REFERENCED_TABLE_NAME IS NOT NULL
ORDER BY TABLE_NAME, CONSTRAINT_NAME, ORDINAL_POSITION;
SELECT JSON_OBJECT('is', 'trigger', 'name', TRIGGER_NAME)
FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = DATABASE();
"""

_TYPES: Mapping[str, tuple[str, str]] = {
    **dict.fromkeys(("char", "varchar"), ("varchar", "S")),
    **dict.fromkeys(("tinytext", "text", "mediumtext", "longtext"), ("text", "S")),
    **dict.fromkeys(("tinyint", "smallint", "mediumint", "int", "year"), ("int4", "N")),
    **dict.fromkeys(("decimal", "float", "double"), ("numeric", "N")),
    **dict.fromkeys(("binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob"), ("bytea", "U")),
    **dict.fromkeys(("inet4", "inet6"), ("inet", "I")),
    **dict.fromkeys(("enum", "set"), ("enum", "E")),
    **dict.fromkeys(("geometry", "linestring", "multipoint", "multilinestring", "multipolygon"), ("geometry", "G")),
    **dict.fromkeys(("point", "polygon", "geometrycollection", "geomcollection"), ("geometry", "G")),
    "vector": ("vector", "V"),
    "bigint": ("int8", "N"),
    "json": ("json", "U"),
    "bit": ("bit", "V"),
    "date": ("date", "D"),
    "datetime": ("timestamp", "D"),
    "timestamp": ("timestamptz", "D"),
    "time": ("time", "D"),
    "uuid": ("uuid", "U"),
}


@dataclass
class Schema:
    """`next`: the number that a table's AUTO_INCREMENT comes to next."""

    catalog: Catalog
    next: Mapping[str, int] = field(default_factory=dict)
    triggers: tuple[str, ...] = ()


def read(lines: Iterable[str]) -> Schema:
    """What QUERY's answer says."""
    said: dict[str, list[dict[str, Any]]] = {}
    for line in lines:
        one = json.loads(line)
        said.setdefault(one["is"], []).append(one)
    valid = {
        (one["table"], found[1].replace("``", "`"))
        for one in said.get("check", ())
        if (found := re.fullmatch(r"\s*json_valid\(`((?:[^`]|``)+)`\)\s*", one["clause"], re.IGNORECASE))
    }
    columns: dict[str, dict[str, Column]] = {}
    for one in said.get("column", ()):
        is_json = (one["table"], one["name"]) in valid
        columns.setdefault(one["table"], {})[one["name"]] = _column(one, is_json=is_json)
    keys: dict[str, dict[str, list[str]]] = {}
    of_expressions = {(one["table"], one["name"]) for one in said.get("key", ()) if one["column"] is None}
    for one in said.get("key", ()):
        if (one["table"], one["name"]) in of_expressions:
            continue
        keys.setdefault(one["table"], {}).setdefault(one["name"], []).append(one["column"])
    tables = {}
    for oid, one in enumerate(said.get("table", ()), 1):
        name, mine = one["table"], keys.get(one["table"], {})
        tables[oid] = Table(
            oid,
            "",
            name,
            "r",
            float(one["rows"] or 0),
            int(one["bytes"] or 0),
            (),
            False,
            columns.get(name, {}),
            tuple(mine.get("PRIMARY", ())),
            tuple(tuple(names) for names in mine.values()),
        )
    next_ = {one["table"]: int(one["next"]) for one in said.get("table", ()) if one["next"]}
    triggers = tuple(one["name"] for one in said.get("trigger", ()))
    catalog = Catalog(tables, tuple(_references(said.get("reference", ()), tables)), (), (), 0)
    return Schema(catalog, next_, triggers)


def _references(found: Iterable[Mapping[str, Any]], tables: Mapping[int, Table]) -> Iterable[Reference]:
    oids = {one.name: oid for oid, one in tables.items()}
    together: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for one in found:
        if one["table"] in oids and one["to"] in oids:
            together.setdefault((one["table"], one["name"]), []).append(one)
    for (table, name), parts in together.items():
        mine, theirs = (tuple(str(part[key]) for part in parts) for key in ("column", "to_column"))
        yield Reference(name, oids[table], mine, oids[parts[0]["to"]], theirs)


def _column(one: Mapping[str, Any], *, is_json: bool) -> Column:
    base, category = ("json", "U") if is_json else _TYPES.get(one["kind"], (one["kind"], "U"))
    limited = one["kind"] in ("char", "varchar", "binary", "varbinary")
    return Column(
        int(one["number"]),
        one["name"],
        "json" if is_json else one["type"],
        base,
        category,
        one["nullable"] == "NO",
        bool(re.search(r"(VIRTUAL|STORED|PERSISTENT) GENERATED", one["extra"].upper())),
        int(one["length"] or 0) if limited else 0,
    )


def quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def literal(text: str) -> str:
    """`text` as a literal of SQL, where backslashes escape."""
    plain = text.replace("\\", "\\\\").replace("'", "''").replace("\n", "\\n").replace("\0", "\\0")
    return f"'{plain}'"
