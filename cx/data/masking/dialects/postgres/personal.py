"""Columns that look personal: by name and type, and by a sample of what they hold, which the source itself looks at.

Nothing that is sampled leaves the source: it answers with counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cx.data.masking.catalog import Column, Table
from cx.data.masking.checking import Plan
from cx.data.masking.content import BETWEEN, KEYS, LONGEST, LOOKS, MOST_PARTS, OURS
from cx.data.masking.dialects.postgres.columns import as_text, literal
from cx.data.masking.dialects.postgres.expressions import Row
from cx.data.masking.dialects.postgres.reading import Reading
from cx.data.masking.personal import Suspect, by_counts, by_name, collected, looked_into
from cx.data.masking.vocabulary import words

_SAMPLE = 1000  # values of a column
_READ = 100_000  # rows; of a larger table, blocks with about so many are read
_EDGE = r"^\(([^()]*)$|^([^()]*)\)$"  # of a composite or a range, the first part and the last


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
    """One row for each column that holds anything: oid, number, sampled, and how many of those fit each test.

    The sample is of the values that are there, so that a column that is mostly empty is looked into as well.
    """
    share = f" TABLESAMPLE SYSTEM ({100 * _READ / table.rows:.4f})" if table.rows > _READ else ""
    row = Row(table.columns)
    for one in columns:
        rule = plan.rules[table.oid].get(one.name)
        value = _text(one, row.masked(one, rule))
        if rule:  # what is left beside our own fakes
            value = f"regexp_replace({value}, {literal(OURS)}, '', 'g')"
        there = f"FROM ONLY {table.quoted} AS t{share} WHERE {_something(one, row.column(one))}"
        rows = f"(SELECT {row.column(one)} {there} ORDER BY random() LIMIT {_SAMPLE}) AS t"
        tests = _tests(one)
        if one.shape in ("parts", "numbers"):
            named = "".join(f", bool_or({test}) AS f{number}" for number, test in enumerate(tests))
            split = f"regexp_split_to_table(regexp_replace(v, {literal(KEYS)}, '', 'g'), {literal(BETWEEN)}) AS c"
            split = f"(SELECT regexp_replace(c, {literal(_EDGE)}, '\\1\\2') AS c FROM {split} WHERE c <> '') AS c"
            rows = (
                f"(SELECT {value} AS v FROM {rows} OFFSET 0) AS picked"
                f" CROSS JOIN LATERAL (SELECT count(*) <= {MOST_PARTS} AS few{named} FROM {split}) AS parts"
            )
            of_names = len(LOOKS)
            tests = [f"f{number}{' AND few' if number >= of_names else ''}" for number in range(len(tests))]
        else:
            rows = f"(SELECT {value} AS c FROM {rows} OFFSET 0) AS picked"
        fits = ", ".join(f"count(*) FILTER (WHERE {test})" for test in tests)
        yield f"SELECT {table.oid}, {one.number}, count(*), {fits} FROM {rows} HAVING count(*) > 0"


def _text(column: Column, value: str) -> str:
    """The value as a text that patterns are held against; of what is long the beginning."""
    if column.shape == "bytes":
        return f"encode(substr({value}, 1, {LONGEST}), 'escape')"
    if column.element == "bytea":
        value = f"(SELECT string_agg(encode(e, 'escape'), ',') FROM unnest({value}) AS e)"
    return f"left({as_text(value)}, {LONGEST})"


def _something(column: Column, value: str) -> str:
    """A condition: the value is neither NULL nor an empty text."""
    if column.shape == "text":
        return f"{value}::text COLLATE pg_catalog.\"C\" <> ''"
    return f"octet_length({value}) > 0" if column.shape == "bytes" else f"{value} IS NOT NULL"


def _tests(column: Column) -> list[str]:
    """Conditions for the text `c`: that it fits each of LOOKS, is a name, a first name."""
    tests = [f"c ~ {literal(one.between('^', '$'))}" if one.concerns(column) else "false" for one in LOOKS]
    if column.shape in ("number", "numbers", "bytes"):
        return [*tests, "false", "false"]
    names = "{" + ",".join(one.lower() for one in words("first")) + "}"
    tests.append(f"c LIKE '% %' AND lower(split_part(c, ' ', 1)) = ANY ({literal(names)}::text[])")
    return [*tests, f"lower(c) = ANY ({literal(names)}::text[])"]
