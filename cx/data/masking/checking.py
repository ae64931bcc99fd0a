"""Rules held against a source's schema: what each table's rows become, or what is wrong, at which key."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from cx.core.errors import Invalid
from cx.core.names import shown
from cx.data.masking.catalog import Catalog, Column, Reference, Table
from cx.data.masking.vocabulary import DISTINCT, HASHED, LENGTHS
from cx.data.values import Masks
from cx.settings.masking import Masked, Rows

_ALL = Rows()
_DATES = ("date", "timestamp", "timestamptz")


@dataclass(frozen=True)
class Plan:
    """What becomes of each table: `rules` by table and column, `rows` by table; both by oid, leaves included."""

    catalog: Catalog
    rules: Mapping[int, Mapping[str, Masked]]
    rows: Mapping[int, Rows]
    roots: tuple[int, ...] = ()  # tables that a subset begins with
    whole: tuple[int, ...] = ()  # tables that are said to be whole

    @property
    def moved(self) -> tuple[Table, ...]:
        """The tables whose rows come along, largest first."""
        kept = [one for one in self.catalog.stored if self.rows[one.oid].keep == "all"]
        return tuple(sorted(kept, key=lambda one: -one.bytes))

    @property
    def left_out(self) -> tuple[Table, ...]:
        return tuple(one for oid, one in self.catalog.tables.items() if self.rows[oid].keep == "left out")

    @property
    def broken(self) -> tuple[Reference, ...]:
        """Foreign keys that go, as a table at one of their ends does."""
        gone = {one.oid for one in self.left_out}
        return tuple(one for one in self.catalog.references if one.to in gone or one.table in gone)

    def into(self, table: Table) -> str:
        """Where the rows of `table` go: to a partition's root where the rules may move them to another partition."""
        above = [one for one in self.catalog.ancestors(table) if one.kind == "p"] if table.is_partition else []
        changed = {name for name, rule in self.rules.get(table.oid, {}).items() if rule.do not in ("keep", "script")}
        if any(changed & set(one.split_by) for one in above):
            return above[-1].quoted
        return table.quoted


def checked(name: str, masks: Masks, catalog: Catalog) -> Plan:
    """Raises Invalid: its first problem; its `log` has all of them."""
    checking = _Checking(name, masks, catalog)
    problems = list(checking.problems())
    if problems:
        if len(problems) > 1:
            problems[0].log = tuple(str(one) for one in problems)
        raise problems[0]
    return Plan(catalog, checking.by_leaf(), checking.rows_by_leaf(), *checking.said())


@dataclass
class _Checking:
    name: str
    masks: Masks
    catalog: Catalog
    _rules: dict[int, dict[str, Masked]] = field(default_factory=dict)
    _rows: dict[int, Rows] = field(default_factory=dict)
    _keys: dict[int, str] = field(default_factory=dict)

    def problems(self) -> Iterator[Invalid]:
        for text, columns in self.masks.columns.items():
            key = f"databases.{self.name}.mask.{_key(text)}"
            table, problem = self._table(text)
            if table is None:
                yield self._wrong(key, problem)
                continue
            if table.oid in self._rules:
                yield self._wrong(key, f"{self._keys[table.oid]} is the same table")
                continue
            self._rules[table.oid], self._keys[table.oid] = dict(columns), key
            for column, rule in columns.items():
                if problem := self._column(table, column, rule):
                    yield self._wrong(f"{key}.{shown(column)}", problem)
        for text, rows in self.masks.rows.items():
            key = f"databases.{self.name}.rows.{_key(text)}"
            table, problem = self._table(text)
            if table is None:
                yield self._wrong(key, problem)
                continue
            self._rows[table.oid] = rows
            if problem := self._row(table, rows):
                yield self._wrong(key, problem)
        yield from self._references()

    def _wrong(self, key: str, problem: str) -> Invalid:
        return Invalid("host configuration", key, problem)

    def _table(self, text: str) -> tuple[Table | None, str]:
        found = self.catalog.named(text)
        if len(found) == 1:
            return found[0], ""
        if found:
            return None, f"may be {' or '.join(f'{one.schema}.{one.name}' for one in found)}: say which"
        names = [one.said for one in self.catalog.tables.values()]
        near = difflib.get_close_matches(text, names, 1)
        return None, f"the source has no such table{f'; did you mean {shown(near[0])}?' if near else ''}"

    def _column(self, table: Table, name: str, rule: Masked) -> str:
        """What is wrong with the rule, or ""."""
        column = table.columns.get(name)
        if column is None:
            near = difflib.get_close_matches(name, table.columns, 1)
            return f"{table.said} has no such column{f'; did you mean {shown(near[0])}?' if near else ''}"
        if rule.by and rule.by not in table.columns:
            return f"by: {table.said} has no column {shown(rule.by)}"
        if rule.do in ("keep", "script"):
            return ""
        if column.generated:
            return "is generated from other columns: give those a rule"
        unique = any(one.unique and (name,) in one.unique for one in (table, *self.catalog.ancestors(table)))
        if unique and (rule.constant is not None or (rule.fake and rule.fake not in DISTINCT)):
            return f"is unique, which {rule.says} is not: it may be fake email, fake username, hash or shuffle"
        if unique and rule.by and (rule.by,) not in table.unique:
            return f"is unique, which a value by {shown(rule.by)} is not"
        return _typed(column, rule)

    def _row(self, table: Table, rows: Rows) -> str:
        if rows.by and rows.by not in table.columns:
            return f"by: {table.said} has no column {shown(rows.by)}"
        if rows.newest and not rows.by and not table.primary:
            return "newest needs by: the table has no primary key"
        return ""

    def _references(self) -> Iterator[Invalid]:
        """Both ends of a foreign key must become the same."""
        for one in self.catalog.references:
            child, parent = self.catalog.tables[one.table], self.catalog.tables[one.to]
            for column, other in zip(one.columns, one.to_columns, strict=True):
                mine, theirs = self._rule(child, column), self._rule(parent, other)
                a, b = (rule.says if rule and rule.do not in ("keep", "script") else "keep" for rule in (mine, theirs))
                by = any(rule and rule.by for rule in (mine, theirs))
                if a == "null" or (a == b and not by and a != "shuffle"):
                    continue
                if a == b == "keep":
                    continue
                yield self._wrong(
                    f"databases.{self.name}.mask.{_key(child.said)}.{shown(column)}",
                    f"refers to {parent.said}.{shown(other)}, which is {b}: both should be the same, as hash is",
                )

    def _rule(self, table: Table, column: str) -> Masked | None:
        for one in (table, *self.catalog.ancestors(table)):
            if column in self._rules.get(one.oid, {}):
                return self._rules[one.oid][column]
        return None

    # --- for the tables that hold rows themselves

    def by_leaf(self) -> dict[int, dict[str, Masked]]:
        found: dict[int, dict[str, Masked]] = {}
        for table in self.catalog.tables.values():
            rules = {name: self._rule(table, name) for name in table.columns}
            found[table.oid] = {name: rule for name, rule in rules.items() if rule}
        return found

    def rows_by_leaf(self) -> dict[int, Rows]:
        found = {}
        for table in self.catalog.tables.values():
            line = (table, *self.catalog.ancestors(table))
            found[table.oid] = next((self._rows[one.oid] for one in line if one.oid in self._rows), _ALL)
        return found

    def said(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The tables that a subset begins with, and those that are said to be whole."""
        roots = tuple(oid for oid, rows in self._rows.items() if rows.newest)
        return roots, tuple(oid for oid, rows in self._rows.items() if rows.whole)


def _typed(column: Column, rule: Masked) -> str:
    """Why a column of this type cannot have the rule, or ""."""
    if rule.do == "null" and column.not_null:
        return "is NOT NULL: a constant would do"
    if rule.fake:
        if not column.holds_text:
            return f"is {column.type}, which holds no {rule.says}"
        if column.element and rule.by:
            return "is an array: by does not go with it"
        if 0 < column.length < LENGTHS[rule.fake]:
            return f"holds {column.length} characters, {rule.says} may need {LENGTHS[rule.fake]}: hash is shorter"
    if rule.do == "hash":
        if not (column.holds_text or column.base in HASHED):
            return f"is {column.type}, which holds no hash: text, bigint, uuid and bytea or varbinary do"
        if 0 < column.length < 12:
            return f"holds {column.length} characters, too few for a hash"
    if rule.shift_days and column.base not in _DATES:
        return f"is {column.type}, not a date or a time stamp"
    if rule.json is not None and not column.is_json:
        return f"is {column.type}, not json or jsonb"
    return ""


def _key(text: str) -> str:
    return f'"{text}"' if "." in text else shown(text)
