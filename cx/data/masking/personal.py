"""Columns that look personal: by name and type, and by what is said of a sample of what they hold."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from cx.core.names import shown
from cx.data.errors import Unmasked
from cx.data.masking.catalog import Column, Reference, Table
from cx.data.masking.checking import Plan
from cx.data.masking.content import likeness
from cx.data.masking.vocabulary import DISTINCT, HASHED
from cx.data.masking.words import meaning, names_somebody, plain


@dataclass(frozen=True)
class Suspect:
    """A column that looks personal: why, and the rule that is proposed."""

    table: Table
    column: Column
    why: str
    rule: str

    @property
    def said(self) -> str:
        return f"{self.table.said}.{self.column.name}"


def collected(plan: Plan, found: Iterable[Suspect]) -> tuple[Suspect, ...]:
    """Each column once, in order; partitions are told of by their root."""
    first: dict[tuple[int, str], Suspect] = {}
    for one in found:
        above = plan.catalog.ancestors(one.table)
        root = next((table for table in reversed(above) if one.column.name in table.columns), one.table)
        first.setdefault((root.oid, one.column.name), Suspect(root, root.columns[one.column.name], one.why, one.rule))
    return tuple(sorted(first.values(), key=lambda one: (one.table.schema, one.table.name, one.column.number)))


def unmasked(name: str, found: Sequence[Suspect]) -> Unmasked:
    columns = ", ".join(f"{one.said} ({one.why})" for one in found[:20])
    more = f" and {len(found) - 20} more" if len(found) > 20 else ""
    error = Unmasked(
        f"source {name}: no rule for what looks personal: {columns}{more}",
        remedy=f'`cx db classify {name}` proposes rules; "keep" is one. The golden that was there serves on',
    )
    error.log = tuple(f"{one.said}: {one.why}; proposed: {one.rule}" for one in found)
    return error


def looked_into(plan: Plan, table: Table) -> list[Column]:
    """The columns whose values say whether they are personal: those without a rule, and the paths without one."""
    keys = {name for one in plan.catalog.references for name in _ends(plan, one, table)} | {*table.primary}

    def is_one(column: Column) -> bool:
        rule = plan.rules[table.oid].get(column.name)
        if column.generated or not column.shape or (rule and rule.json is None):
            return False
        is_id = column.name in keys or f"_{plain(column.name)}".endswith("_id")
        return not (column.shape.startswith("number") and is_id)

    return [one for one in table.columns.values() if is_one(one)]


def _ends(plan: Plan, one: Reference, table: Table) -> Iterator[str]:
    """The columns of `table` that the key has at either end."""
    for oid, columns in ((one.table, one.columns), (one.to, one.to_columns)):
        if oid == table.oid or any(above.oid == oid for above in plan.catalog.ancestors(table)):
            yield from columns


def by_name(plan: Plan) -> Iterator[Suspect]:
    for table in plan.moved:
        for column in table.columns.values():
            if column.name in plan.rules[table.oid] or column.generated:
                continue
            if rule := named(table.name, column):
                yield Suspect(table, column, "its name", fitting(table, column, rule))
            elif column.base in ("inet", "cidr", "macaddr", "macaddr8"):
                yield Suspect(table, column, "its type", fitting(table, column, "null"))


def named(table: str, column: Column) -> str:
    """The rule that the column's name calls for, or ""."""
    known = meaning(column.name)
    rule = known.rule if known else "fake name" if names_somebody(table, column.name) else ""
    match column.category:
        case "B" | "T":
            return ""
        case "D":
            return rule if rule.startswith("shift") else ""
        case "E":
            return rule if known and known.of_labels else ""
        case "G":
            return rule if known and known.of_numbers else ""
        case "N" if not column.element:
            return rule if known and known.of_numbers and not plain(column.name).endswith("_id") else ""
    return rule


def fitting(table: Table, column: Column, rule: str) -> str:
    """`rule`, or where the column cannot take it what comes nearest."""
    unique = (column.name,) in table.unique
    if unique and rule.startswith("fake ") and rule[5:] not in DISTINCT:
        rule = "hash"
    if rule.startswith("fake ") and not column.holds_text:
        rule = "hash"
    if rule == "hash" and not (column.holds_text or column.base in HASHED):
        rule = "null"
    if rule.startswith("shift") and column.base not in ("date", "timestamp", "timestamptz"):
        rule = "null"
    if rule == "null" and column.not_null:
        return "hash" if column.holds_text or column.base in HASHED else "keep"
    return rule


def by_counts(table: Table, column: Column, fits: Sequence[int]) -> Iterator[Suspect]:
    """`fits` are as for `likeness`."""
    if like := likeness(column, fits):
        rule, says = like
        yield Suspect(table, column, f"what it holds looks like {says}", fitting(table, column, rule))


# --- as configuration


def proposal(source: str, found: Sequence[Suspect]) -> str:
    """TOML for the host's configuration."""
    lines: list[str] = []
    last = None
    for one in found:
        if one.table != last:
            lines += ([""] if lines else []) + [f"[databases.{source}.mask.{_toml_key(one.table.said)}]"]
            last = one.table
        lines.append(f'{_toml_key(one.column.name)} = "{one.rule}"  # {one.why}; {shown(one.column.type)}')
    return "\n".join(lines)


def _toml_key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name, ensure_ascii=False)
