"""What a source's schema says: tables, columns, keys and references. How it is read is each engine's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

_NUMBERS = ("int8", "numeric", "float8")
# Types of which no value says who somebody is.
_PLAIN = (
    *("bool", "int2", "int4", "float4", "oid", "money", "bit", "varbit", "uuid", "xid", "xid8", "tid", "cid", "pg_lsn"),
    *("inet", "cidr", "macaddr", "macaddr8", "date", "time", "timetz", "timestamp", "timestamptz", "interval"),
    *("point", "lseg", "path", "box", "polygon", "line", "circle", "cube", "seg"),
    *("int4range", "int8range", "numrange", "tsrange", "tstzrange", "daterange"),
    *("int4multirange", "int8multirange", "nummultirange", "tsmultirange", "tstzmultirange", "datemultirange"),
)


@dataclass(frozen=True)
class Column:
    """`base` is the name of the type below domains, `element` of an array's elements; `length` 0: without limit.

    `base` and `category` are PostgreSQL's words, for the types of other engines those of what comes nearest.
    """

    number: int
    name: str
    type: str
    base: str
    category: str
    not_null: bool
    generated: bool
    length: int = 0
    element: str = ""

    @property
    def is_text(self) -> bool:
        return self.category == "S" and self.base != '"char"'

    @property
    def holds_text(self) -> bool:
        return self.is_text or self.element in ("text", "varchar", "bpchar", "citext", "name")

    @property
    def is_json(self) -> bool:
        return self.base in ("json", "jsonb")

    @property
    def shape(self) -> Literal["", "text", "bytes", "parts", "number", "numbers"]:
        """How its values are looked into: as a text, as parts of one, as numbers; or not at all."""
        if self.category == "A" or self.element:
            return "numbers" if self.element in _NUMBERS else "" if self.element in _PLAIN else "parts"
        if self.is_text:
            return "text"
        if self.base == "bytea":
            return "bytes"
        if self.base in _NUMBERS:
            return "number"
        return "" if self.category in "BDEGINTVZ" or self.base in _PLAIN else "parts"


@dataclass(frozen=True)
class Table:
    """`kind` is r or p (partitioned); `columns` by name, in order. `schema` is "" where the engine has none."""

    oid: int
    schema: str
    name: str
    kind: str
    rows: float
    bytes: int
    parents: tuple[int, ...]
    is_partition: bool
    columns: Mapping[str, Column]
    primary: tuple[str, ...] = ()
    unique: tuple[tuple[str, ...], ...] = ()
    split_by: tuple[str, ...] = ()

    @property
    def said(self) -> str:
        """The name as the configuration has it."""
        return self.name if self.schema in ("", "public") else f"{self.schema}.{self.name}"

    @property
    def quoted(self) -> str:
        return f"{quoted(self.schema)}.{quoted(self.name)}"


@dataclass(frozen=True)
class Reference:
    """A foreign key. One that is not `enforced` may point nowhere; the last columns of one with a `period` are ranges
    of time, of which the referenced ones together cover the referencing one.
    """

    name: str
    table: int
    columns: tuple[str, ...]
    to: int
    to_columns: tuple[str, ...]
    enforced: bool = True
    period: bool = False


@dataclass(frozen=True)
class Sequence:
    schema: str
    name: str
    owned_by: int

    @property
    def quoted(self) -> str:
        return f"{quoted(self.schema)}.{quoted(self.name)}"


@dataclass(frozen=True)
class Catalog:
    """`views` are materialised views that hold rows, as quoted names."""

    tables: Mapping[int, Table]
    references: tuple[Reference, ...]
    sequences: tuple[Sequence, ...]
    views: tuple[str, ...]
    large_objects: int
    _leaves: dict[int, tuple[Table, ...]] = field(default_factory=dict, compare=False, repr=False)

    @cached_property
    def stored(self) -> tuple[Table, ...]:
        """The tables that hold rows themselves."""
        return tuple(table for table in self.tables.values() if table.kind == "r")

    def leaves(self, oid: int) -> tuple[Table, ...]:
        """The tables whose rows a query of table `oid` gives: itself, its partitions, and who inherits from it."""
        if oid not in self._leaves:
            below = [one for one in self.tables.values() if oid in one.parents]
            own = [self.tables[oid]] if self.tables[oid].kind == "r" else []
            found = own + [leaf for one in below for leaf in self.leaves(one.oid)]
            self._leaves[oid] = tuple({leaf.oid: leaf for leaf in found}.values())
        return self._leaves[oid]

    def ancestors(self, table: Table) -> tuple[Table, ...]:
        """Nearest first."""
        found: list[Table] = []
        above = list(table.parents)
        while above:
            one = self.tables.get(above.pop(0))
            if one and one not in found:
                found.append(one)
                above += one.parents
        return tuple(found)

    def named(self, text: str) -> tuple[Table, ...]:
        """The tables that `text` may mean: `schema.table`, or `table`, then that of schema public first of all."""
        schema, _, name = text.rpartition(".")
        found = [one for one in self.tables.values() if one.name == name and (not schema or one.schema == schema)]
        public = [one for one in found if one.schema == "public"]
        return tuple(public or found)


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
