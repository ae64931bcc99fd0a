"""What names of columns and tables say, by the word table (words.toml)."""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Meaning:
    """Columns whose names fit `pattern` are proposed to have `rule`; where it is said, numbers and enums as well."""

    rule: str
    pattern: re.Pattern[str]
    of_numbers: bool = False
    of_labels: bool = False


def meaning(name: str) -> Meaning | None:
    """What a column of this name holds, as far as it is personal."""
    text = plain(name)
    return next((one for one in _meanings() if one.pattern.search(text)), None)


def of_people(table: str) -> bool:
    return bool(_any(*_table()["people"].values()).search(plain(table)))


def names_somebody(table: str, column: str) -> bool:
    """Whether the column holds names of people: it is called `name` in a table of theirs, or it says whose."""
    text, words = plain(column), _table()["columns"]
    if _any(f"^{words['name']}$").search(text):
        return of_people(table)
    whose = _any(f"(^|_){words['name']}{words['of']}_(?=.)").search(text)
    return bool(whose and _any(*(f"^({one})" for one in _table()["people"].values())).search(text[whose.end() :]))


def keeps_keys(column: str) -> bool:
    return bool(_any(_table()["columns"]["keys"]).search(plain(column)))


def counts(column: str) -> bool:
    return bool(_any(_table()["columns"]["counts"]).search(plain(column)))


def plain(name: str) -> str:
    """Small letters without accents; what is no letter, mark or digit, and where a capital begins a word, is a `_`."""
    text = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    kept = (one if unicodedata.category(one)[0] in "LMN" else "_" for one in _folded(text))
    return re.sub("_+", "_", "".join(kept)).strip("_")


def _folded(text: str) -> str:
    """Without case and, in Latin, Greek and Cyrillic, without accents; marks of other scripts are letters of theirs."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return unicodedata.normalize("NFC", re.sub("[\u0300-\u036f]", "", decomposed))


@cache
def _table() -> Mapping[str, Any]:
    return tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))


@cache
def _meanings() -> tuple[Meaning, ...]:
    return tuple(
        Meaning(one["rule"], _any(*one["words"].values()), one.get("numbers", False), one.get("labels", False))
        for one in _table()["meanings"]
    )


@cache
def _any(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{_folded(one)})" for one in patterns))
