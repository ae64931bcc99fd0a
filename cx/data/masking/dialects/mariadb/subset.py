"""Which rows come along of a subset, in the scratch server: a column of each table that it reaches says in which round
a row was chosen. The rules are those of PostgreSQL's subsets (cx/data/masking/dialects/postgres/subset.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from cx.data.masking import reaching
from cx.data.masking.catalog import Reference, Table
from cx.data.masking.checking import Plan
from cx.data.masking.dialects.mariadb.catalog import quoted

ROUND = quoted("cx round")  # 0: not chosen, or not yet; -1: nor will it be for what it points to
_NEW = quoted("cx subset")

Ask = Callable[[Sequence[str]], list[str]]  # what statements print


@dataclass
class Subset:
    """`next`: the number that a table's AUTO_INCREMENT comes to next."""

    plan: Plan
    ask: Ask
    next: Mapping[str, int]

    def choose(self) -> set[int]:
        """Of the tables that the subset reaches only its rows are there; those tables."""
        plan = self.plan
        if not plan.roots:
            return set()
        known = reaching.references(plan)
        below = reaching.below(plan, known)
        reached = {*plan.roots, *below, *reaching.above(plan, known, {*plan.roots, *below})}
        reached = {oid for oid in reached if plan.rows[oid].keep == "all"}
        self.ask([*self._columns(reached), *self._never(below), *self._newest()])
        number = 1
        while any(int(count) for count in self.ask(list(self._round(known, reached, below, number)))):
            number += 1
        self.ask([one for oid in sorted(reached) for one in self._only_chosen(plan.catalog.tables[oid])])
        return reached

    def _columns(self, reached: set[int]) -> Iterator[str]:
        for oid in sorted(reached):
            name = quoted(self.plan.catalog.tables[oid].name)
            yield f"ALTER TABLE {name} ADD COLUMN {ROUND} INT NOT NULL DEFAULT 0"

    def _never(self, below: set[int]) -> Iterator[str]:
        """Rows that a condition leaves out come only where a chosen one points to them."""
        for oid in sorted(below):
            if where := self.plan.rows[oid].where:
                table = self.plan.catalog.tables[oid]
                yield f"UPDATE {quoted(table.name)} AS t SET {_set('t', table, -1)} WHERE ({where}\n) IS NOT TRUE"

    def _newest(self) -> Iterator[str]:
        for root in self.plan.roots:
            table, rows = self.plan.catalog.tables[root], self.plan.rows[root]
            order = ", ".join(f"{quoted(name)} DESC" for name in ((rows.by,) if rows.by else table.primary))
            where = f" WHERE ({rows.where}\n)" if rows.where else ""
            name = quoted(table.name)
            yield f"UPDATE {name} SET {_set('', table, 1)}{where} ORDER BY {order} LIMIT {rows.newest}"

    def _round(self, known: Sequence[Reference], reached: set[int], below: set[int], number: int) -> Iterator[str]:
        """What the rows of round `number` bring: rows that they point to, and rows that point to them; each statement
        with one that says how many."""
        tables = self.plan.catalog.tables
        down_from = {*self.plan.roots, *below}
        for one in known:
            if not {one.table, one.to} <= reached:
                continue
            child, parent = tables[one.table], tables[one.to]
            same = f"UPDATE {quoted(child.name)} AS c JOIN {quoted(parent.name)} AS p ON {_equal(one)}"
            yield f"{same} SET {_set('p', parent, number + 1)} WHERE p.{ROUND} <= 0 AND c.{ROUND} = {number}"
            yield "SELECT ROW_COUNT()"
            if one.table in below and one.to in down_from:
                yield f"{same} SET {_set('c', child, number + 1)} WHERE c.{ROUND} = 0 AND p.{ROUND} = {number}"
                yield "SELECT ROW_COUNT()"

    def _only_chosen(self, table: Table) -> Iterator[str]:
        """The table is emptied and filled, as most of its rows go."""
        name = quoted(table.name)
        names = ", ".join(quoted(one.name) for one in table.columns.values() if not one.generated)
        yield f"CREATE TABLE {_NEW} LIKE {name}"
        yield f"INSERT INTO {_NEW} ({names}) SELECT {names} FROM {name} WHERE {ROUND} > 0"
        yield f"TRUNCATE TABLE {name}"
        yield f"INSERT INTO {name} ({names}) SELECT {names} FROM {_NEW}"
        yield f"DROP TABLE {_NEW}"
        yield f"ALTER TABLE {name} DROP COLUMN {ROUND}"
        if table.name in self.next:
            yield f"ALTER TABLE {name} AUTO_INCREMENT = {self.next[table.name]}"


def _set(alias: str, table: Table, number: int) -> str:
    """The row's round, and time stamps as they are: some are set by each change of their row that says nothing else."""
    before = f"{alias}." if alias else ""
    kept = [quoted(one.name) for one in table.columns.values() if one.category == "D" and not one.generated]
    return ", ".join([f"{before}{ROUND} = {number}", *(f"{before}{name} = {before}{name}" for name in kept)])


def _equal(one: Reference) -> str:
    pairs = zip(one.to_columns, one.columns, strict=True)
    return " AND ".join(f"p.{quoted(its)} = c.{quoted(mine)}" for its, mine in pairs)
