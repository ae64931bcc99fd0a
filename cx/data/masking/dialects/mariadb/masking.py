"""A dump's rows, masked in a scratch server that has no network and is thrown away: only its own dump goes on."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cx.data.masking import reaching
from cx.data.masking.auditing import CANARIES, Audit, Compared
from cx.data.masking.catalog import Reference, Table
from cx.data.masking.checking import Plan, checked
from cx.data.masking.dialects.mariadb import leaks
from cx.data.masking.dialects.mariadb.catalog import QUERY, Schema, quoted, read
from cx.data.masking.dialects.mariadb.dialect import Dialect
from cx.data.masking.dialects.mariadb.expressions import FUNCTIONS, KEY, Row, changed, fill, vocabulary
from cx.data.masking.dialects.mariadb.personal import suspects
from cx.data.masking.dialects.mariadb.subset import Subset
from cx.data.masking.personal import Suspect, unmasked
from cx.data.masking.searching import SHM, in_both, search_output
from cx.data.values import Masks
from cx.data.workbench.tools import WORK, Ran, Tools

if TYPE_CHECKING:
    from cx.data.workbench.making import Making
    from cx.data.workbench.values import Volume

_NEW = "cx masked"  # a table beside the source's own, while one is filled anew
_PROLOGUE = """SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO,STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION',
  foreign_key_checks = 0, time_zone = '+00:00', optimizer_switch = 'derived_merge=off';
"""


@dataclass
class Masking:
    """`tools` has the scratch server running, with the dump in it as `database`."""

    making: Making
    tools: Tools
    database: str
    masks: Masks
    dialect: Dialect
    notes: list[str] = field(default_factory=list)

    def suspects(self) -> tuple[Suspect, ...]:
        """The columns that look personal and have no rule. Raises Invalid."""
        return suspects(self._begin()[1], self._ask_with)

    def run(self) -> None:
        """No row is in the scratch server that the rules do not let through, and no value that they change.

        Canaries are in the memory of `tools`. Raises Invalid, Unmasked, FillFailed.
        """
        name = self.making.spec.name
        self.making.progress(f"{name}: holding the rules against its schema")
        schema, plan = self._begin()
        if found := suspects(plan, self._ask_with):
            raise unmasked(name, found)
        self.making.progress(f"{name}: {self._release(plan, leaks.EACH)} of its values are canaries")
        self._leave_out(plan)
        self._make("triggers")  # they would run by what the rules change
        self._ask(f"DROP TRIGGER IF EXISTS {quoted(one)}" for one in schema.triggers)
        self._filter(schema, plan)
        self.making.progress(f"{name}: masking {len(plan.moved)} tables")
        for table in plan.moved:
            rules = plan.rules[table.oid]
            if changed(rules):
                self._mask(schema, plan, table)
        self._ask([f"DROP DATABASE {quoted(FUNCTIONS)}"], user=self.dialect.root)
        self._make("triggers-back")

    def _begin(self) -> tuple[Schema, Plan]:
        self.tools.put(f"{WORK}/key.sql", f"SET {KEY} = X'{self.masks.key_hex}';\n{vocabulary()}".encode())
        rights = "CREATE ROUTINE, ALTER ROUTINE, EXECUTE"
        own = [f"CREATE DATABASE {quoted(FUNCTIONS)} CHARACTER SET utf8mb4"]
        own += [f"GRANT {rights} ON {quoted(FUNCTIONS)}.* TO cx_loader@localhost"]
        self._ask(own, user=self.dialect.root)
        schema = read(self._ask([f"{QUERY}{self.dialect.checks}".strip().rstrip(";")]))
        return schema, checked(self.making.spec.name, self.masks, schema.catalog)

    def audit(self, golden: Volume, *, same_rules: bool) -> Audit:
        """What is in the golden, which `tools` have at GOLDEN, of what is in the scratch server; which is gone then.

        The masks' key is for this once. Raises Invalid, FillFailed.
        """
        name = self.making.spec.name
        _, plan = self._begin()
        count = self._release(plan, CANARIES)
        watched = [one for table in plan.catalog.stored for one in leaks.watched(plan, table)]
        self.making.progress(f"{name}: taking digests of {len(watched)} columns")
        for number, one in enumerate(watched):
            self._digests(one, f"source.{number}")
        self._make("forget")
        self.making.progress(f"{name}: looking into the golden's files")
        in_files = leaks.scan(self.tools)
        self._make("copy")
        in_rows = search_output(self.tools, *self.dialect.golden("rows", self.database), "the golden's rows")
        there = {one.oid for one in plan.moved}
        compared = []
        for number, one in enumerate(watched):
            if one.table.oid in there:
                self._digests(one, f"golden.{number}")
                found, values = in_both(self.tools, f"{SHM}/source.{number}", f"{SHM}/golden.{number}")
                compared.append(Compared(one.said, values, found))
        return Audit(golden.name, same_rules, count, in_files, in_rows, tuple(compared))

    def _release(self, plan: Plan, each: int) -> int:
        """How many canaries are in the memory of `tools`, at most `each` of every column."""
        self._ask(leaks.candidates(plan, each), to=leaks.CANDIDATES)
        return leaks.release(self.tools, each)

    def _digests(self, one: leaks.Watched, file: str) -> None:
        doing = f"read {one.said}: the golden's schema may not be the source's any more"
        self._ask([leaks.digests(one)], to=f"{SHM}/{file}", only=leaks.unlike_fakes(one), doing=doing)

    # --- rows

    def _leave_out(self, plan: Plan) -> None:
        gone = {one.oid for one in plan.left_out}
        tables = plan.catalog.tables
        broken = [one for one in plan.broken if one.table not in gone]
        self._ask(f"ALTER TABLE {quoted(tables[o.table].name)} DROP FOREIGN KEY {quoted(o.name)}" for o in broken)
        self._ask(f"DROP TABLE {quoted(one.name)}" for one in plan.left_out)
        if plan.left_out:
            self.notes.append(f"left out: table {', '.join(one.said for one in plan.left_out)}")
        if broken:
            ends = ", ".join(f"{tables[one.table].said} {one.name}" for one in broken)
            self.notes.append(f"left out: foreign key {ends}")

    def _filter(self, schema: Schema, plan: Plan) -> None:
        """No row is there that a subset or a condition leaves out, or that points to one that is not there."""
        key = f"databases.{self.making.spec.name}.rows"
        fewer = Subset(plan, lambda statements: self._ask(statements, doing=key), schema.next).choose()
        for oid, rows in plan.rows.items():
            table = plan.catalog.tables[oid]
            if rows.where and oid not in fewer:
                statement = f"DELETE FROM {quoted(table.name)} WHERE ({rows.where}\n) IS NOT TRUE"
                self._ask([statement], doing=f"{key}.{table.said}")
                fewer.add(oid)
        for oid, rows in plan.rows.items():
            if rows.keep == "none":
                self._ask([f"TRUNCATE TABLE {quoted(plan.catalog.tables[oid].name)}"])
                fewer.add(oid)
        references = reaching.references(plan)
        while fewer:
            dangling = [one for one in references if one.to in fewer]
            counts = self._ask(part for one in dangling for part in _drop_dangling(plan, one))
            fewer = {one.table for one, count in zip(dangling, counts, strict=True) if int(count) > 0}

    # --- values

    def _mask(self, schema: Schema, plan: Plan, table: Table) -> None:
        """The table's rows are what the rules make of them. It is emptied and filled: an UPDATE would set what is set
        by each change, and a shuffle would meet its own values."""
        row = Row(table.columns)
        for column in table.columns.values():
            row.masked(column, plan.rules[table.oid].get(column.name))  # says which seeds and functions there are
        names = ", ".join(quoted(one.name) for one in table.columns.values() if not one.generated)
        statements = [
            f"CREATE TABLE {quoted(_NEW)} LIKE {quoted(table.name)}",
            fill(table, plan.rules[table.oid], row, _NEW),
            f"TRUNCATE TABLE {quoted(table.name)}",
            f"INSERT INTO {quoted(table.name)} ({names}) SELECT {names} FROM {quoted(_NEW)}",
            f"DROP TABLE {quoted(_NEW)}",
        ]
        if table.name in schema.next:
            statements.append(f"ALTER TABLE {quoted(table.name)} AUTO_INCREMENT = {schema.next[table.name]}")
        self._ask_with(statements, row, doing=f"mask table {table.said}")

    # --- asking

    def _ask_with(self, statements: Sequence[str], row: Row, doing: str = "look at its columns") -> list[str]:
        """What the statements print, which may call the row's functions."""
        known = list(row.functions.values())
        made = [f"\nDELIMITER //\n{one}//\nDELIMITER " for one in known]
        gone = [f"DROP FUNCTION {quoted(FUNCTIONS)}.{quoted(f'path {number}')}" for number in range(len(known))]
        return self._ask([*made, *statements, *gone], doing=doing)

    def _ask(
        self,
        statements: Sequence[str] | Iterator[str],
        *,
        user: str = "",
        to: str = "",
        only: str = "",
        doing: str = "mask",
    ) -> list[str]:
        """What the statements print, a line for each row; into the container's file `to` if there is one, through the
        awk script `only`."""
        script = "".join(f"{one};\n" for one in statements)
        self.tools.put(f"{WORK}/ask.sql", (_PROLOGUE + self.dialect.session + script).encode())
        self.tools.put(f"{WORK}/only.awk", (only or "1").encode())
        who = (self.database, user or "cx_loader")
        ran = self._make(*(("ask-into", *who, to) if to else ("ask", *who)), doing=doing)
        return ran.output.splitlines()

    def _make(self, *argv: str, doing: str = "mask") -> Ran:
        what = argv if len(argv) > 1 else (*argv, self.database)
        command, environment = self.dialect.golden(*what)
        ran = self.tools.run(command, environment=environment)
        return self.making.must(_without_values(ran), doing)


def _drop_dangling(plan: Plan, one: Reference) -> tuple[str, str]:
    child, parent = plan.catalog.tables[one.table], plan.catalog.tables[one.to]
    pairs = [(f"c.{quoted(mine)}", f"p.{quoted(its)}") for mine, its in zip(one.columns, one.to_columns, strict=True)]
    there = " AND ".join(f"{mine} IS NOT NULL" for mine, _ in pairs)
    same = " AND ".join(f"{its} = {mine}" for mine, its in pairs)
    return (
        f"DELETE c FROM {quoted(child.name)} AS c LEFT JOIN {quoted(parent.name)} AS p ON {same}"
        f" WHERE {there} AND {pairs[0][1]} IS NULL",
        "SELECT ROW_COUNT()",
    )


_VALUE = re.compile(r"((?:entry|value:?) )'.*'", re.IGNORECASE | re.DOTALL)


def _without_values(ran: Ran) -> Ran:
    """The server quotes the value that it does not like, and its client says the whole statement first: both go."""
    errors = [line for line in ran.errors if line.startswith(("ERROR", "mariadb", "mysql", "/cx/"))] or ran.errors[-1:]
    lines = (_VALUE.sub(r"\1(not shown)", line) for line in errors)
    return Ran(ran.exit_code, ran.output if ran.ok else "", tuple(lines))
