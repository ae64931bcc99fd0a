"""Canaries: raw values, picked at random, that must not be in the golden. They are in the container's memory only."""

from __future__ import annotations

from collections.abc import Iterator

from cx.adapters.engines.mariadb.catalog import literal, quoted
from cx.adapters.engines.mariadb.expressions import text
from cx.adapters.engines.values import GOLDEN
from cx.adapters.masking.catalog import Column, Table
from cx.adapters.masking.checking import Plan
from cx.adapters.masking.searching import CANARIES, MAX_LENGTH, MIN_LENGTH, SHM, Leak, hides, like_chance, search
from cx.adapters.masking.vocabulary import common
from cx.adapters.postgres.tools import WORK, Tools
from cx.errors import Terminal
from cx.settings.masking import Masked, steps_of, worded

CANDIDATES = f"{SHM}/candidates"
_EACH = 200
_SPARE = 4  # candidates for each, as some are too short or too common

# Of each value its longest part without quotes, ends of lines and backslashes, which files have in other ways. Not
# those that a fake may be by chance: of nothing but words of the vocabulary.
_PICK = f"""
NR == FNR {{ word[$0]; next }}
{{
  count = split($3, part, /(\\\\n|\\\\t|\\\\0|\\r|["\\47])+/); best = ""
  for (n = 1; n <= count; n++) if (length(part[n]) > length(best) && !index(part[n], "\\\\")) best = part[n]
  if (length(best) < {MIN_LENGTH}) next
  if ($2) {{
    plain = tolower(best); gsub(/[^a-z]+/, " ", plain); count = split(plain, part, " "); known = 1
    for (n = 1; n <= count; n++) if (!(part[n] in word)) known = 0
    if (known) next
  }}
  line = $1 "\\t" substr(best, 1, {MAX_LENGTH})
  if (!(line in seen) && picked[$1]++ < {_EACH}) print line
  seen[line]
}}"""


def candidates(plan: Plan) -> Iterator[str]:
    """Statements for values of each masked column of all tables, those that are left out too: its name, whether a fake
    may be the same by chance, and a value."""
    for table in plan.catalog.stored:
        for column in table.columns.values():
            rule = plan.rules[table.oid].get(column.name)
            if rule and rule.canary and hides(rule):
                yield from _of(table, column, rule)


def _of(table: Table, column: Column, rule: Masked) -> Iterator[str]:
    name = f"t.{quoted(column.name)}"
    if rule.json is not None:
        for path, word in rule.json.items():
            if worded(word).do != "keep":
                way = "$" + "".join("[*]" if step is None else f'."{step}"' for step in steps_of(path))
                yield _values(table, column, rule, f"JSON_EXTRACT({name}, {literal(way)})")
    elif column.holds_text or column.base in ("uuid", "inet"):
        yield _values(table, column, rule, text(column, name))


def _values(table: Table, column: Column, rule: Masked, value: str) -> str:
    said = literal(f"{table.said}.{column.name}".replace("\t", " "))
    return (
        f"SELECT {said}, {int(like_chance(rule))}, v FROM (SELECT {value} AS v FROM {quoted(table.name)} AS t) AS t"
        f" WHERE CHAR_LENGTH(v) >= {MIN_LENGTH} ORDER BY RAND() LIMIT {_SPARE * _EACH}"
    )


def release(tools: Tools) -> int:
    """Of the candidates in the container's memory, those that are fit are canaries; how many."""
    tools.put(f"{WORK}/pick.awk", _PICK.encode())
    tools.put(f"{WORK}/words", "\n".join(sorted(common())).encode() + b"\n")
    script = f"set -e; export LC_ALL=C; awk -F '\\t' -f {WORK}/pick.awk {WORK}/words {CANDIDATES} > {CANARIES}"
    ran = tools.run(["bash", "-c", f"{script}; rm {CANDIDATES}; wc -l < {CANARIES}"])
    if not ran.ok:
        raise Terminal(f"canaries could not be picked ({' '.join(ran.errors[-1:])})")
    return int(ran.output)


def scan(tools: Tools, dump: str) -> Leak | None:
    """The canaries that are in the golden's files, or in the dump that it was filled from."""
    data = f"{GOLDEN}/data"
    listed = tools.run(["find", data, "-type", "f"])
    if not listed.ok or not listed.output:
        raise Terminal("the golden's files cannot be read, so that nobody knows what is in them")
    found = search(tools, [dump, *listed.output.splitlines()])
    if found is None:
        return None
    where = (path.removeprefix(f"{data}/") if path != dump else "its dump" for path in found.where)
    return Leak(found.columns, tuple(sorted(where)))
