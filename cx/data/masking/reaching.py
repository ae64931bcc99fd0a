"""Which tables a subset reaches by foreign keys. Rows, and how they are named, are each engine's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cx.data.masking.catalog import Reference
from cx.data.masking.checking import Plan


def references(plan: Plan) -> tuple[Reference, ...]:
    """Those between tables that are not left out."""
    gone = {one.oid for one in plan.left_out}
    return tuple(one for one in plan.catalog.references if one.table not in gone and one.to not in gone)


def below(plan: Plan, known: Sequence[Reference]) -> set[int]:
    """Tables whose rows come because they point to chosen ones; the roots themselves are limited."""
    found: set[int] = set()
    wanted = set(plan.roots)
    while wanted:
        parent = wanted.pop()
        for one in known:
            mine = one.table not in found and one.table not in plan.roots
            if one.to == parent and mine and plan.rows[one.table].keep == "all":
                found.add(one.table)
                wanted.add(one.table)
    return found


def above(plan: Plan, known: Sequence[Reference], begin: Iterable[int]) -> set[int]:
    """Tables of which rows come because they are pointed to; one that is said to be whole is."""
    found: set[int] = set()
    wanted = set(begin)
    known_already = {*wanted, *plan.whole}
    while wanted:
        child = wanted.pop()
        for one in known:
            if one.table == child and one.to not in {*found, *known_already}:
                found.add(one.to)
                wanted.add(one.to)
    return found
