"""Columns that look personal by what a sample of them holds. The scratch server looks, and answers with counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from cx.data.masking.catalog import Column, Table
from cx.data.masking.checking import Plan
from cx.data.masking.content import KEYS, LONGEST, LOOKS, OURS, SEPARATORS
from cx.data.masking.dialects.mariadb.catalog import literal, quoted
from cx.data.masking.dialects.mariadb.expressions import Row, text
from cx.data.masking.personal import Suspect, by_counts, by_name, collected, looked_into
from cx.data.masking.vocabulary import words

_SAMPLE = 1000  # values of a column
_READ = 100_000  # rows, of a larger table
_FEW = 1000  # characters: a longer text has words that are names of people, too
_BEGIN, _END = f"(^|{SEPARATORS}[[:space:]]*)", f"[[:space:]]*({SEPARATORS}|$)"

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
    value = _text(column, row.masked(column, rule))
    if rule:  # what is left beside our own fakes
        value = f"REGEXP_REPLACE({value}, {literal(OURS)}, '')"
    if column.shape == "parts":
        value = f"REGEXP_REPLACE({value}, {literal(KEYS)}, '')"
    counts = ", ".join(f"COALESCE(SUM({test}), 0)" for test in _tests(column))
    name = f"t.{quoted(column.name)}"
    share = f" AND RAND() < {_READ / table.rows:.6f}" if table.rows > _READ else ""
    there = f"SELECT {name} FROM {quoted(table.name)} AS t WHERE LENGTH({name}) > 0{share}"
    picked = f"SELECT {value} COLLATE utf8mb4_bin AS c FROM ({there} ORDER BY RAND() LIMIT {_SAMPLE}) AS t"
    return f"SELECT {column.number}, COUNT(*), {counts} FROM ({picked}) AS picked HAVING COUNT(*) > 0"


def _text(column: Column, value: str) -> str:
    """The value as a text that patterns are held against; of what is long the beginning."""
    if column.shape == "bytes":  # each byte is a letter of this encoding
        return f"CONVERT(CONVERT(LEFT({value}, {LONGEST}) USING latin1) USING utf8mb4)"
    return f"LEFT({text(column, value)}, {LONGEST})"


def _tests(column: Column) -> list[str]:
    """Conditions for the text `c`: that it fits each of LOOKS, is a name, a first name."""
    begin, end = (_BEGIN, _END) if column.shape == "parts" else ("^", "$")
    tests = [f"c REGEXP {literal(one.between(begin, end))}" if one.concerns(column) else "0" for one in LOOKS]
    listed = [one.lower() for one in words("first")]
    if column.shape in ("number", "bytes"):
        return [*tests, "0", "0"]
    if column.shape == "parts":
        few = f"CHAR_LENGTH(c) < {_FEW} AND LOWER(c) REGEXP "
        name = f"{_BEGIN}({'|'.join(listed)})"
        return [*tests, f"{few}{literal(f'{name} [[:alpha:]]')}", f"{few}{literal(f'{name}{_END}')}"]
    names = ", ".join(literal(one) for one in listed)
    return [*tests, f"c LIKE '% %' AND LOWER(SUBSTRING_INDEX(c, ' ', 1)) IN ({names})", f"LOWER(c) IN ({names})"]
