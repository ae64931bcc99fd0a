"""Canaries: raw values, picked at random, that must not be in the golden. They are in the container's memory only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cx.core.errors import Terminal
from cx.data.masking.catalog import Column, Table
from cx.data.masking.checking import Plan
from cx.data.masking.dialects.mariadb.catalog import literal, quoted
from cx.data.masking.dialects.mariadb.expressions import digest, text
from cx.data.masking.searching import CANARIES, MAX_LENGTH, MIN_LENGTH, SHM, Leak, hides, like_chance, search, spell
from cx.data.masking.vocabulary import common
from cx.data.workbench.tools import WORK, Tools
from cx.data.workbench.values import GOLDEN
from cx.settings.masking import Masked, steps_of, worded

CANDIDATES = f"{SHM}/candidates"
EACH = 200
_SPARE = 4  # candidates for each, as some are too short or too common
_WORDS = f"{WORK}/words"

# Whether a fake may be the same by chance: a text of nothing but words of the vocabulary.
_KNOWN = f"""
BEGIN {{ while ((getline line < "{_WORDS}") > 0) word[line] }}
function known(text,  count, part, n) {{
  text = tolower(text); gsub(/\\\\[nt0\\\\]/, " ", text); gsub(/[^a-z]+/, " ", text); count = split(text, part, " ")
  for (n = 1; n <= count; n++) if (!(part[n] in word)) return 0
  return 1
}}"""
# Of each value its longest part without quotes, ends of lines and backslashes, which files have in other ways.
_PICK = f"""
{{
  count = split($3, part, /(\\\\n|\\\\t|\\\\0|\\r|["\\47])+/); best = ""
  for (n = 1; n <= count; n++) if (length(part[n]) > length(best) && !index(part[n], "\\\\")) best = part[n]
  if (length(best) < {MIN_LENGTH} || $2 && known(best)) next
  line = $1 "\\t" substr(best, 1, {MAX_LENGTH})
  if (!(line in seen) && picked[$1]++ < each) print line
  seen[line]
}}"""


@dataclass(frozen=True)
class Watched:
    """Values of a masked column, or at a path of it: `values` is SQL for them, as `v`, over the table as `t`."""

    table: Table
    column: Column
    by_chance: bool  # a fake may be the same
    values: str
    each: str  # as `values`, but each element of a JSON array for itself

    @property
    def said(self) -> str:
        return f"{self.table.said}.{self.column.name}"


def watched(plan: Plan, table: Table) -> Iterator[Watched]:
    """What must not be in the golden of this table, which may be one that is left out."""
    for column in table.columns.values():
        rule = plan.rules[table.oid].get(column.name)
        if rule and rule.canary and hides(rule):
            yield from _of(table, column, rule)


def _of(table: Table, column: Column, rule: Masked) -> Iterator[Watched]:
    name, rows = f"t.{quoted(column.name)}", f"FROM {quoted(table.name)} AS t"
    if rule.json is not None:
        for path, word in rule.json.items():
            if worded(word).do != "keep":
                steps = steps_of(path)
                way = "$" + "".join("[*]" if step is None else f'."{step}"' for step in steps)
                found = f"JSON_EXTRACT({name}, {literal(way)})"
                each = f"SELECT JSON_UNQUOTE({found}) AS v {rows}"
                if None in steps:
                    parts = f"JSON_TABLE({found}, '$[*]' COLUMNS (v LONGTEXT PATH '$')) AS x"
                    each = f"SELECT x.v {rows}, {parts}"
                yield Watched(table, column, like_chance(rule), f"SELECT {found} AS v {rows}", each)
    elif column.holds_text or column.base in ("uuid", "inet"):
        values = f"SELECT {text(column, name)} AS v {rows}"
        yield Watched(table, column, like_chance(rule), values, values)


# --- canaries


def candidates(plan: Plan, each: int) -> Iterator[str]:
    """Statements for values of each masked column of all tables, those that are left out too: its name, whether a fake
    may be the same by chance, and a value."""
    for table in plan.catalog.stored:
        for one in watched(plan, table):
            said = literal(one.said.replace("\t", " "))
            yield (
                f"SELECT {said}, {int(one.by_chance)}, v FROM ({one.values}) AS t"
                f" WHERE CHAR_LENGTH(v) >= {MIN_LENGTH} ORDER BY RAND() LIMIT {_SPARE * each}"
            )


def release(tools: Tools, each: int) -> int:
    """Of the candidates in the container's memory, those that are fit are canaries; how many."""
    tools.put(f"{WORK}/pick.awk", (_KNOWN + _PICK).encode())
    tools.put(_WORDS, "\n".join(sorted(common())).encode() + b"\n")
    script = f"set -e; export LC_ALL=C; awk -F '\\t' -v each={each} -f {WORK}/pick.awk {CANDIDATES} > {CANARIES}"
    ran = tools.run(["bash", "-c", f"{script}; rm {CANDIDATES}"])
    if not ran.ok:
        raise Terminal(f"canaries could not be picked ({' '.join(ran.errors[-1:])})")
    return spell(tools)


# --- every value, by its digest


def digests(one: Watched) -> str:
    """A query for the keyed digest of each of the values that count, and the value."""
    made = f"LEFT({digest('v')}, 24)"
    return f"SELECT DISTINCT {made}, v FROM ({one.each}) AS t WHERE CHAR_LENGTH(v) >= {MIN_LENGTH}"


def unlike_fakes(one: Watched) -> str:
    """An awk script that lets through the digests of those that are no fake's by chance, and no value."""
    return f"{_KNOWN}\n!known($2) {{ print $1 }}" if one.by_chance else "{ print $1 }"


def scan(tools: Tools, dump: str = "") -> Leak | None:
    """The canaries that are in the golden's files: data, logs, statistics; or in the dump that it was filled from."""
    data = f"{GOLDEN}/data"
    listed = tools.run(["find", data, "-type", "f"])
    if not listed.ok or not listed.output:
        raise Terminal("the golden's files cannot be read, so that nobody knows what is in them")
    found = search(tools, [*([dump] if dump else []), *listed.output.splitlines()])
    if found is None:
        return None
    where = (path.removeprefix(f"{data}/") if path != dump else "its dump" for path in found.where)
    return Leak(found.columns, tuple(sorted(where)))
