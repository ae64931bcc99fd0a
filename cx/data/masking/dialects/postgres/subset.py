"""Which rows come along, so that no foreign key is left pointing nowhere.

A subset begins with the newest rows of the tables that say so. Then
- down: the rows that point to a chosen row come along, and those that point to them, and so on;
- up: all that a chosen row points to comes along, and what that points to, and so on;
- the rest: other tables that point into the subset keep the rows whose every reference is there; tables without such
  references are whole.
Rows are named by their place (ctid), which the held snapshot keeps; the source does the joins, and nothing is made
there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from cx.data.masking import reaching
from cx.data.masking.catalog import Reference, Table, quoted
from cx.data.masking.checking import Plan
from cx.data.masking.dialects.postgres.columns import literal
from cx.data.masking.dialects.postgres.reading import Reading

_PART = 100_000  # rows that one statement names


@dataclass(frozen=True)
class Chosen:
    """The rows of each table: by place in `places`, of those tables that do not come along as a whole."""

    plan: Plan
    places: Mapping[int, frozenset[int]] = field(default_factory=dict)

    def conditions(self, table: Table) -> Iterator[list[str]]:
        """Conditions in SQL, a list for each part of the table's rows."""
        rows = self.plan.rows[table.oid]
        if table.oid not in self.places:
            yield [rows.where] if rows.where else []
            return
        for part in _parts(sorted(self.places[table.oid])):
            yield [f"t.ctid = ANY ({_array(part)})"]

    def share(self, table: Table) -> float:
        """About how much of the table comes along."""
        if table.oid not in self.places or not table.rows:
            return 1.0
        return min(1.0, len(self.places[table.oid]) / table.rows)


def choose(reading: Reading, plan: Plan) -> Chosen:
    """What comes along of each table."""
    if not any(rows.where or rows.newest or rows.keep == "none" for rows in plan.rows.values()):
        return Chosen(plan)
    return _Choosing(reading, plan).run()


@dataclass
class _Choosing:
    reading: Reading
    plan: Plan
    places: dict[int, set[int]] = field(default_factory=dict)  # by leaf

    def run(self) -> Chosen:
        catalog, rows = self.plan.catalog, self.plan.rows
        references = reaching.references(self.plan)
        restricted = {oid for oid, one in rows.items() if one.newest or one.where or one.keep == "none"}
        restricted = {leaf.oid for oid in restricted for leaf in catalog.leaves(oid)}
        for root in self.plan.roots:
            for leaf in catalog.leaves(root):
                self.places[leaf.oid] = set()
        fresh = self._newest()
        for oid in restricted - set(self.places):
            if rows[oid].keep == "none":
                self.places[oid] = set()
        below = reaching.below(self.plan, references)
        above = reaching.above(self.plan, references, {*self.plan.roots, *below})
        for oid in {*below, *above}:
            for leaf in catalog.leaves(oid):
                self.places.setdefault(leaf.oid, set())
        while fresh:
            fresh = self._round(references, below, above, fresh)
        self._settle(references, restricted)
        return Chosen(self.plan, {oid: frozenset(places) for oid, places in self.places.items()})

    def _whole(self, oid: int) -> bool:
        return oid not in self.places

    # --- the subset

    def _newest(self) -> dict[int, set[int]]:
        statements = []
        for root in self.plan.roots:
            table, rows = self.plan.catalog.tables[root], self.plan.rows[root]
            order = ", ".join(f"{quoted(name)} DESC NULLS LAST" for name in ((rows.by,) if rows.by else table.primary))
            where = f" WHERE ({rows.where})" if rows.where else ""
            statements.append(
                f"SELECT tableoid::bigint, ctid FROM {table.quoted}{where} ORDER BY {order} LIMIT {rows.newest}"
            )
        return self._add(self.reading.lines(statements)) if statements else {}

    def _round(
        self, references: Sequence[Reference], below: set[int], above: set[int], fresh: Mapping[int, set[int]]
    ) -> dict[int, set[int]]:
        """What the `fresh` rows bring: rows that they point to, and rows that point to them."""
        catalog = self.plan.catalog
        statements = []
        down_from = {*self.plan.roots, *below}
        for one in references:
            child, parent = catalog.tables[one.table], catalog.tables[one.to]
            same = _equal(one)
            if any(not self._whole(leaf.oid) for leaf in catalog.leaves(one.to)):
                for leaf in catalog.leaves(one.table):
                    for part in _parts(sorted(fresh.get(leaf.oid, ()))):
                        statements.append(
                            f"SELECT p.tableoid::bigint, p.ctid FROM {parent.quoted} AS p WHERE EXISTS"
                            f" (SELECT FROM ONLY {leaf.quoted} AS c WHERE c.ctid = ANY ({_array(part)}) AND {same})"
                        )
            if one.table in below and one.to in down_from:
                where = self.plan.rows[one.table].where
                also = f" AND ({where})" if where else ""
                for leaf in catalog.leaves(one.to):
                    for part in _parts(sorted(fresh.get(leaf.oid, ()))):
                        statements.append(
                            f"SELECT c.tableoid::bigint, c.ctid FROM {child.quoted} AS c WHERE EXISTS"
                            f" (SELECT FROM ONLY {leaf.quoted} AS p WHERE p.ctid = ANY ({_array(part)})"
                            f" AND {same}){also}"
                        )
        return self._add(self.reading.lines(statements)) if statements else {}

    def _add(self, lines: Iterable[str]) -> dict[int, set[int]]:
        fresh: dict[int, set[int]] = {}
        for line in lines:
            oid, _, place = line.partition("\t")
            if int(oid) not in self.places or self.plan.rows[int(oid)].keep != "all":
                continue
            number = _number(place)
            if number not in self.places[int(oid)]:
                self.places[int(oid)].add(number)
                fresh.setdefault(int(oid), set()).add(number)
        return fresh

    # --- the rest

    def _settle(self, references: Sequence[Reference], restricted: set[int]) -> None:
        """No row is left that points to one that does not come along."""
        catalog = self.plan.catalog
        for oid in restricted - set(self.places):  # a condition of its own
            table, where = catalog.tables[oid], self.plan.rows[oid].where
            found = self.reading.lines([f"SELECT t.ctid FROM ONLY {table.quoted} AS t WHERE ({where})"])
            self.places[oid] = _numbers(found)
        dangling = True
        while dangling:
            dangling = False
            for one in references:
                parents = catalog.leaves(one.to)
                if not one.enforced or all(self._whole(parent.oid) for parent in parents):
                    continue
                for leaf in catalog.leaves(one.table):
                    dangling |= self._drop_dangling(one, leaf, parents)

    def _drop_dangling(self, one: Reference, leaf: Table, parents: Sequence[Table]) -> bool:
        """Whether rows of `leaf` were taken out because what they point to does not come along."""
        if leaf.oid in self.places and not self.places[leaf.oid]:
            return False
        free = " OR ".join(f"c.{quoted(name)} IS NULL" for name in one.columns)
        among = f"{self._among('c', leaf)} AND NOT ({free})"
        missing = self._not_covered(one, parents) if one.period else self._not_there(one, parents)
        lines = self.reading.lines([f"SELECT c.ctid FROM ONLY {leaf.quoted} AS c WHERE {among} AND {missing}"])
        if not lines:
            return False
        if leaf.oid not in self.places:
            self.places[leaf.oid] = _numbers(self.reading.lines([f"SELECT t.ctid FROM ONLY {leaf.quoted} AS t"]))
        self.places[leaf.oid] -= _numbers(lines)
        return True

    def _not_there(self, one: Reference, parents: Sequence[Table]) -> str:
        """A condition: what the row `c` points to does not come along."""
        mine = ", ".join(f"c.{quoted(name)}" for name in one.columns)
        there = [f"SELECT {self._keys(one, parent)}" for parent in parents]
        return f"({mine}) NOT IN ({' UNION ALL '.join(there)})"

    def _not_covered(self, one: Reference, parents: Sequence[Table]) -> str:
        """As `_not_there` for a key with a period, which several rows may cover together."""
        names = [f"k{number}" for number in range(len(one.columns))]
        there = " UNION ALL ".join(f"SELECT {self._keys(one, parent)}" for parent in parents)
        *keys, period = zip(names, one.columns, strict=True)
        same = " AND ".join(f"p.{name} = c.{quoted(mine)}" for name, mine in keys)
        covered = f"SELECT range_agg(p.{period[0]}) FROM ({there}) AS p({', '.join(names)}) WHERE {same}"
        return f"(c.{quoted(period[1])} <@ ({covered})) IS NOT TRUE"

    def _keys(self, one: Reference, parent: Table) -> str:
        names = ", ".join(f"p.{quoted(name)}" for name in one.to_columns)
        some = " AND ".join(f"p.{quoted(name)} IS NOT NULL" for name in one.to_columns)
        return f"{names} FROM ONLY {parent.quoted} AS p WHERE {self._among('p', parent)} AND {some}"

    def _among(self, name: str, table: Table) -> str:
        if table.oid not in self.places:
            return "true"
        return f"{name}.ctid = ANY ({_array(sorted(self.places[table.oid]))})"


def _equal(one: Reference) -> str:
    """A condition: the row `c` points to `p`, or with a period to `p` among others."""
    operators = ["="] * len(one.columns)
    operators[-1] = "&&" if one.period else "="
    pairs = zip(one.to_columns, operators, one.columns, strict=True)
    return " AND ".join(f"p.{quoted(mine)} {operator} c.{quoted(theirs)}" for mine, operator, theirs in pairs)


def _number(place: str) -> int:
    block, _, line = place.strip("()").partition(",")
    return int(block) << 16 | int(line)


def _numbers(lines: Iterable[str]) -> set[int]:
    return {_number(line) for line in lines}


def _array(numbers: Sequence[int]) -> str:
    places = ",".join(f'"({one >> 16},{one & 0xFFFF})"' for one in numbers)
    return f"{literal('{' + places + '}')}::tid[]"


def _parts(numbers: Sequence[int]) -> Iterator[Sequence[int]]:
    for begin in range(0, len(numbers), _PART):
        yield numbers[begin : begin + _PART]
