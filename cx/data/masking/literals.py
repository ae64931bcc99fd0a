"""Raw values that a schema holds itself: in bounds of partitions, views, conditions, defaults, labels, functions.

The definitions are few and the values many, so the search goes from the definitions to the source: literals, remarks
and quoted names become words, the source says which of them are values of masked columns, and then it is plain which
definitions hold those. A word is a whole literal, or a part of one that may be somebody's: with a digit, with an @, or
several parts with a capital.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from cx.data.errors import LeakFound
from cx.data.masking.catalog import Table
from cx.data.masking.checking import Plan
from cx.data.masking.content import personal
from cx.data.masking.searching import MIN_LENGTH, hides

_LONGEST = 400  # characters of a word
_TOGETHER = 6  # parts of a literal that are one word: a name, an address


def _lexer(plain: str) -> re.Pattern[str]:
    """Of SQL in which a quoted text has what `plain` says, for a quote Q, between its doubled quotes."""
    quoted = "|".join(
        f"{q}(?P<{name}>{plain.replace('Q', q)}){q}" for name, q in (("text", "'"), ("name", '"'), ("tick", "`"))
    )
    return re.compile(
        rf"\$(?P<tag>\w*)\$(?P<body>.*?)\$(?P=tag)\$|--(?P<remark>[^\n]*)|/\*(?P<block>.*?)\*/|{quoted}"
        r"|(?<![\w.])(?P<number>[0-9]{9,})(?![\w.])",
        re.DOTALL,
    )


_SQL = _lexer("[^Q]*(?:QQ[^Q]*)*")
_ESCAPED = _lexer(r"[^Q\\]*(?:(?:QQ|\\.)[^Q\\]*)*")
_QUOTES = {"text": "'", "name": '"', "tick": "`"}
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}
_PART = re.compile(r"""[^\s"'`(){}\[\],;<>|=]*[^\s"'`(){}\[\],;<>|=.:!?]""")
_CONSTANT = re.compile("[a-z_]+|[A-Z_]+")  # of a program: `pending`
_ROUND = re.compile(r"[0-9]+0000|9+|2147483647|4294967295|9223372036854775807|18446744073709551615")


@dataclass(frozen=True)
class Definition:
    """One thing of a schema: what it is, how it is called, and its SQL."""

    kind: str
    name: str
    text: str

    def said(self, hidden: Iterable[str]) -> str:
        """For people; a name that holds a value itself does not show it."""
        name = self.name
        for word in sorted(hidden, key=len, reverse=True):
            name = re.sub(re.escape(word), "***", name, flags=re.IGNORECASE)
        return f"{self.kind} {name}"


@dataclass(frozen=True)
class Literals:
    """Columns with a rule of which definitions hold values: for each, which definitions."""

    found: Mapping[str, tuple[str, ...]]

    def __str__(self) -> str:
        def told(places: Sequence[str]) -> str:
            more = f" and {len(places) - 4} more" if len(places) > 4 else ""
            return f"{', '.join(places[:4])}{more}"

        return "; ".join(f"{column} in {told(places)}" for column, places in sorted(self.found.items()))


def refuse(source: str, found: Literals | None) -> None:
    """Raises LeakFound."""
    if found:
        raise LeakFound(
            f"source {source}: its schema holds raw values of {found}",
            remedy="change or drop that there, or in a sanitise script, or give the column canary = false where its"
            " values may be known; the golden that was there serves on",
            log=[f"{column}: {place}" for column, places in sorted(found.found.items()) for place in places],
        )


@dataclass
class Words:
    """What of the definitions may be a value, in the spellings that a value may have: `spelled`, by word."""

    definitions: Sequence[Definition]
    held: dict[str, set[int]] = field(default_factory=dict)  # word -> definitions, by their place

    def __post_init__(self) -> None:
        for place, one in enumerate(self.definitions):
            for word in words(one.text):
                self.held.setdefault(word, set()).add(place)

    @property
    def spelled(self) -> Mapping[str, str]:
        spellings: dict[str, str] = {}
        for word in self.held:
            for one in (word, word.lower(), word.upper(), word.title(), word.capitalize()):
                spellings.setdefault(one, word)
        return spellings

    def found(self, plan: Plan, values: Iterable[tuple[str, str]]) -> Literals | None:
        """What is told of `values`, columns and words that are values of theirs; and of what looks personal by itself
        where it stands beside a masked column."""
        places: dict[str, dict[str, None]] = {}
        hidden: dict[int, set[str]] = {}
        hits = [(column, word, place) for column, word in values for place in sorted(self.held[word])]
        hits += by_themselves(self.definitions, plan)
        for _, word, place in hits:
            hidden.setdefault(place, set()).add(word)
        for column, _, place in hits:
            places.setdefault(column, {})[self.definitions[place].said(hidden[place])] = None
        return Literals({column: tuple(names) for column, names in places.items()}) if places else None


# --- from SQL to words


def words(sql: str) -> set[str]:
    """The words of all literals, remarks and quoted names in `sql`, and its long numbers."""
    meant = {one for literal in {*literals(sql)} for one in _meant(literal)}
    found = {word for one in meant for word in _parts(one)}
    return {word for word in found if MIN_LENGTH <= len(word) <= _LONGEST and not _ROUND.fullmatch(word)}


def literals(sql: str, depth: int = 3) -> Iterator[str]:
    """Literals, remarks, quoted names and long numbers; what stands in literals of literals, too.

    Languages differ in what a backslash is, and the bodies of functions are of any: both ways are gone.
    """
    found = {(str(one.lastgroup), one[str(one.lastgroup)]) for one in _SQL.finditer(sql)}
    if "\\" in sql:
        found |= {(str(one.lastgroup), one[str(one.lastgroup)]) for one in _ESCAPED.finditer(sql)}
    for kind, text in found:
        if kind == "body":
            yield from literals(text, depth)
            continue
        if quote := _QUOTES.get(kind):
            text = text.replace(quote * 2, quote)
        if text:
            yield text
        if depth and any(quote in text for quote in "'\"`"):
            yield from literals(text, depth - 1)


def _meant(literal: str) -> Iterator[str]:
    """The literal, and what it is in bytes, in JSON, in a pattern, in HTML, without escapes."""
    yield literal
    if "\\" in literal:
        if re.fullmatch(r"\\x(?:[0-9a-fA-F]{2})+", literal):
            yield bytes.fromhex(literal[2:]).decode(errors="replace")
        yield re.sub(r"\\(.)", lambda one: _ESCAPES.get(one[1], one[1]), literal)
        yield re.sub(r"\\(.)", r"\1", literal)
    if literal[0] in '{["':
        with suppress(ValueError):  # it is not JSON
            yield from _leaves(json.loads(literal))
    if "&" in literal:
        yield html.unescape(literal)


def _leaves(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield str(key)
            yield from _leaves(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner)
    elif isinstance(value, str):
        yield value


def _parts(text: str) -> Iterator[str]:
    """The whole text, without what makes it a pattern, and what stands together in its lines."""
    for whole in {text.strip(), text.strip(" ^$%*_")}:
        if not _CONSTANT.fullmatch(whole):
            yield whole
    for line in text.splitlines():
        found = list(_PART.finditer(line))
        for number, first in enumerate(found):
            if _tells(first[0]):
                yield first[0]
            before = first
            for last in found[number + 1 : number + _TOGETHER]:
                together, gap = line[first.start() : last.end()], line[before.end() : last.start()]
                if len(together) > _LONGEST or not re.fullmatch(r"[\s,.:]{1,3}", gap):
                    break
                before = last
                if re.search(r"[0-9@]|[^\W\d_](?<![a-z])", together):
                    yield together


def _tells(part: str) -> bool:
    return bool(re.search("[0-9@]", part))


# --- what needs no look at the source


def by_themselves(definitions: Sequence[Definition], plan: Plan) -> Iterator[tuple[str, str, int]]:
    """Column, word, and place of each literal that looks personal and stands beside a masked column: in a bound of a
    partition, a default, a condition. Nobody need have it any more."""
    masked = [(one, names) for one in plan.catalog.tables.values() if (names := _masked(plan, one))]
    for place, one in enumerate(definitions):
        found = [(line, text) for line in one.text.splitlines() for text in literals(line) if _is_personal(text)]
        if not found or any(kind in one.kind for kind in ("function", "procedure", "comment", "aggregate")):
            continue
        for table, names in masked:
            if not _mentions(one.text, table.name):
                continue
            for line, text in found:
                for name in names:
                    if _mentions(line, name) or ("partition" in one.kind and _splits(table, name)):
                        yield f"{table.said}.{name}", text, place


def _masked(plan: Plan, table: Table) -> list[str]:
    return [name for name, rule in plan.rules[table.oid].items() if rule.canary and hides(rule)]


def _is_personal(text: str) -> bool:
    return personal(text.strip(" ^$%*_")) and not text.endswith(("@example.com", "@example.org", "@example.net"))


def _mentions(text: str, name: str) -> bool:
    return bool(re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text))


def _splits(table: Table, column: str) -> bool:
    """Whether partitions of the table may be by this column; an expression has no name."""
    return column in table.split_by or "" in table.split_by
