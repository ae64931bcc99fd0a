"""Columns that look personal by what a sample of them holds. The scratch server looks, and answers with counts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from cx.data.masking.catalog import Column, Table
from cx.data.masking.checking import Plan
from cx.data.masking.dialects.mariadb.catalog import literal, quoted
from cx.data.masking.dialects.mariadb.expressions import Row, text
from cx.data.masking.personal import CONTENT, OURS, Suspect, by_counts, by_name, collected, looked_into
from cx.data.masking.vocabulary import words

_SAMPLE = 1000  # values of a column
_READ = 100_000  # rows, of a larger table
_LONGEST = 20_000  # characters of a value

Ask = Callable[[Sequence[str], Row], list[str]]  # what statements print, which may use a row's functions


def suspects(plan: Plan, ask: Ask) -> tuple[Suspect, ...]:
    """The columns that come along, have no rule, and look personal."""
    return collected(plan, (*by_name(plan), *_by_content(plan, ask)))


def _by_content(plan: Plan, ask: Ask) -> Iterator[Suspect]:
    for table in plan.moved:
        row = Row(table.columns)
        looked = {one.number: one for one in looked_into(plan, table)}
        statements = [_question(plan, table, one, row) for one in looked.values()]
        for line in ask(statements, row) if statements else ():
            number, *counts = (int(part) for part in line.split("\t"))
            yield from by_counts(table, looked[number], counts)


def _question(plan: Plan, table: Table, column: Column, row: Row) -> str:
    """One row where the column holds anything: its number, the size of the sample, and how many fit each test."""
    rule = plan.rules[table.oid].get(column.name)
    value = text(column, row.masked(column, rule))
    if rule:  # what is left beside our own fakes
        value = f"REGEXP_REPLACE({value}, {literal(OURS)}, '')"
    tests = [f"c REGEXP {literal(pattern)}" for pattern in (re.sub(r"\\[mM]", r"\\b", one) for _, one, _ in CONTENT)]
    names = ", ".join(literal(one.lower()) for one in words("first"))
    tests += [f"c LIKE '% %' AND LOWER(SUBSTRING_INDEX(c, ' ', 1)) IN ({names})", f"LOWER(c) IN ({names})"]
    counts = ", ".join(f"COALESCE(SUM({test}), 0)" for test in tests)
    name = f"t.{quoted(column.name)}"
    share = f" AND RAND() < {_READ / table.rows:.6f}" if table.rows > _READ else ""
    there = f"SELECT {name} FROM {quoted(table.name)} AS t WHERE CHAR_LENGTH({name}) > 0{share}"
    picked = (
        f"SELECT LEFT({value}, {_LONGEST}) COLLATE utf8mb4_bin AS c FROM ({there} ORDER BY RAND() LIMIT {_SAMPLE}) AS t"
    )
    return f"SELECT {column.number}, COUNT(*), {counts} FROM ({picked}) AS picked HAVING COUNT(*) > 0"
