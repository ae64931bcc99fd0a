"""Columns that look personal: by name and type, and by a sample of what they hold, which the source itself looks at.

Nothing that is sampled leaves the source: it answers with counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cx.data.masking.catalog import Column, Table
from cx.data.masking.checking import Plan
from cx.data.masking.dialects.postgres.columns import as_text, literal
from cx.data.masking.dialects.postgres.expressions import Row
from cx.data.masking.dialects.postgres.reading import Reading
from cx.data.masking.personal import CONTENT, OURS, Suspect, by_counts, by_name, collected, looked_into
from cx.data.masking.vocabulary import words

_SAMPLE = 1000  # values of a column
_READ = 100_000  # rows; of a larger table, blocks with about so many are read


def suspects(reading: Reading, plan: Plan) -> tuple[Suspect, ...]:
    """The columns that come along, have no rule, and look personal; partitions are told of by their root."""
    return collected(plan, (*by_name(plan), *_by_content(reading, plan)))


def _by_content(reading: Reading, plan: Plan) -> Iterator[Suspect]:
    statements, asked = [], {}
    for table in plan.moved:
        if looked := looked_into(plan, table):
            asked[table.oid] = table
            statements += list(_questions(plan, table, looked))
    for line in reading.lines(statements) if statements else ():
        oid, number, *counts = (int(part) for part in line.split("\t"))
        table = asked[oid]
        column = next(one for one in table.columns.values() if one.number == number)
        yield from by_counts(table, column, counts)


def _questions(plan: Plan, table: Table, columns: Sequence[Column]) -> Iterator[str]:
    """One row for each column that holds anything: oid, number, sampled, and how many of those each test fits.

    The sample is of the values that are there, so that a column that is mostly empty is looked into as well.
    """
    share = f" TABLESAMPLE SYSTEM ({100 * _READ / table.rows:.4f})" if table.rows > _READ else ""
    row = Row(table.columns)
    names = "{" + ",".join(one.lower() for one in words("first")) + "}"
    tests = [f"c ~ {literal(pattern)}" for _, pattern, _ in CONTENT]
    tests.append(f"c LIKE '% %' AND lower(split_part(c, ' ', 1)) = ANY ({literal(names)}::text[])")
    tests.append(f"lower(c) = ANY ({literal(names)}::text[])")
    counts = ", ".join(f"count(*) FILTER (WHERE {test})" for test in tests)
    for one in columns:
        rule = plan.rules[table.oid].get(one.name)
        value = as_text(row.masked(one, rule))
        if rule:  # what is left beside our own fakes
            value = f"regexp_replace({value}, {literal(OURS)}, '', 'g')"
        there = f"SELECT {row.column(one)} FROM ONLY {table.quoted} AS t{share} WHERE {row.column(one)}::text <> ''"
        picked = f"SELECT {value} AS c FROM ({there} ORDER BY random() LIMIT {_SAMPLE}) AS t OFFSET 0"
        yield f"SELECT {table.oid}, {one.number}, count(*), {counts} FROM ({picked}) AS picked HAVING count(*) > 0"
