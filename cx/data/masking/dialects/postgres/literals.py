"""Which words of a schema are values of masked columns: the source says so, with numbers of columns and of words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from cx.data.masking.checking import Plan
from cx.data.masking.dialects.postgres.columns import literal
from cx.data.masking.dialects.postgres.leaks import Watched, watched
from cx.data.masking.dialects.postgres.reading import Reading

_SAMPLE = 100_000  # rows, of columns whose parts it takes long to get at
_SETTING = "cx.words"  # of the session: each statement reads them there
_APART = "\x01"
_WORDS = f"string_to_array(current_setting('{_SETTING}'), E'\\x01')"


def values(reading: Reading, plan: Plan, spelled: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Column and word of each spelling that is a value of a masked column, in any table that there is."""
    columns, spellings = list(watched(plan)), list(spelled)
    if not columns or not spellings:
        return
    statements = [f"SET {_SETTING} = {literal(_APART.join(spellings))}"]
    numbered = list(enumerate(columns))
    statements += [_held([one], _SAMPLE) for one in numbered if one[1].slow]
    rest = (one for one in numbered if not one[1].slow)
    statements += [_held(list(group)) for _, group in groupby(rest, key=lambda one: one[1].table.oid)]
    for line in reading.lines(statements):
        column, word = (int(part) for part in line.split("\t"))
        yield columns[column].said, spelled[spellings[word - 1]]


def _held(numbered: Sequence[tuple[int, Watched]], most: int = 0) -> str:
    """One look at a table, or at blocks with about `most` rows of it: the columns are compared with a table of hashes,
    and only rows that hold a word go further."""
    table = numbered[0][1].table
    share = f" TABLESAMPLE SYSTEM ({100 * most / table.rows:.4f})" if 0 < most < table.rows else ""
    among = f"IN (SELECT unnest({_WORDS}))"
    tests, rows = [], []
    for number, one in numbered:
        if one.single:
            tests.append(f"{one.single} {among}")
            rows.append(f"SELECT {number}, {one.single}")
        else:
            tests.append(f"EXISTS (SELECT FROM {one.values} AS v(v) WHERE v {among})")
            rows.append(f"SELECT {number}, v FROM {one.values} AS v(v)")
    return (
        f"SELECT DISTINCT x.k, w.n FROM ONLY {table.quoted} AS t{share}"
        f" CROSS JOIN LATERAL ({' UNION ALL '.join(rows)}) AS x(k, v)"
        f" JOIN unnest({_WORDS}) WITH ORDINALITY AS w(v, n) ON w.v = x.v WHERE {' OR '.join(tests)}"
    )
