"""Rules by which a source's rows are sanitised on their way to the previews: `[databases.NAME.mask]` and `rows`.

[databases.app.mask.customer]
email = "fake email"
born = "shift 30 days"
profile = { json = { "contacts[*].phone" = "fake phone" } }

[databases.app.rows]
audit_log = "none"
orders = { newest = 10000 }
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Literal, get_args

from msgspec import Meta, Struct

from cx.core.names import shown
from cx.schema import Rule, Wrong

Fake = Literal[
    "name",
    "first name",
    "last name",
    "email",
    "username",
    "phone",
    "address",
    "street",
    "city",
    "postcode",
    "company",
]
Word = Literal["keep", "null", "hash", "shuffle", "script"]
FAKES: tuple[str, ...] = get_args(Fake)
WORDS: tuple[str, ...] = get_args(Word)
_SHIFT = re.compile(r"shift ([1-9][0-9]{0,4}) days?")
_STEP = re.compile(r"(?P<key>[^.\[\]]+)|\[\*\]")
_PATH = re.compile(r"[^.\[\]]+(?:\.[^.\[\]]+|\[\*\])*|\[\*\](?:\.[^.\[\]]+|\[\*\])*")


class Masked(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What becomes of a column's values; exactly one of the first five."""

    do: Word | None = None
    fake: Fake | None = None
    constant: str | int | float | bool | None = None
    shift_days: Annotated[int, Meta(ge=1, le=99_999)] | None = None
    json: dict[str, str] | None = None  # path -> "fake email", "hash", "null"
    by: str | None = None  # the column whose value decides; default: its own
    canary: bool = True  # the leak scan looks for its values

    def __post_init__(self) -> None:
        given = [name for name in ("do", "fake", "constant", "shift_days", "json") if getattr(self, name) is not None]
        if len(given) != 1:
            raise Wrong("", "should have exactly one of do, fake, constant, shift_days and json")
        if self.by and not (self.fake or self.shift_days or self.do == "hash"):
            raise Wrong("by", "goes with fake, shift_days and hash")
        for path, word in (self.json or {}).items():
            try:
                steps_of(path)
                inner = worded(word)
            except ValueError as exc:
                raise Wrong(f"json.{shown(path)}", str(exc)) from exc
            if inner.do in ("shuffle", "script") or inner.shift_days:
                raise Wrong(f"json.{shown(path)}", "may be keep, null, hash, or fake ...")

    @property
    def says(self) -> str:
        """The rule in words, for messages and for comparing two."""
        if self.fake:
            return f"fake {self.fake}"
        if self.constant is not None:
            return "constant"
        if self.shift_days:
            return f"shift {self.shift_days} days"
        return "json" if self.json is not None else str(self.do)


def worded(text: str) -> Masked:
    """The rule that `text` is short for. Raises ValueError."""
    if found := _SHIFT.fullmatch(text):
        return Masked(shift_days=int(found[1]))
    if text in WORDS:
        return Masked(do=text)  # type: ignore[arg-type]
    if text.startswith("fake ") and text[5:] in FAKES:
        return Masked(fake=text[5:])  # type: ignore[arg-type]
    may = ", ".join([*WORDS, *(f"fake {kind}" for kind in FAKES), "shift N days"])
    raise ValueError(f"is no rule: {shown(text)}; it may be {may}, or a table")


def steps_of(path: str) -> tuple[str | None, ...]:
    """The keys of a path such as `items[*].email`; None for `[*]`. Raises ValueError."""
    path = path.removeprefix("$").removeprefix(".")
    if not _PATH.fullmatch(path):
        raise ValueError("is no path such as contact.email or items[*].email")
    return tuple(step["key"] for step in _STEP.finditer(path))


class Rows(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which rows of a table come along."""

    keep: Literal["all", "none", "left out"] = "all"
    where: Annotated[str, Meta(min_length=1)] | None = None  # a condition in SQL, on the source's own values
    newest: Annotated[int, Meta(ge=1, le=100_000_000)] | None = None
    by: str | None = None  # `newest` by this column; default: the primary key

    def __post_init__(self) -> None:
        if self.keep != "all" and (self.where or self.newest):
            raise Wrong("keep", f"{self.keep} goes with neither where nor newest")
        if self.by and not self.newest:
            raise Wrong("by", "goes with newest")

    @property
    def whole(self) -> bool:
        return self.keep == "all" and not self.where and not self.newest


def _is_table(text: str) -> None:
    if not re.fullmatch(r'[^."\x00-\x1f]{1,63}(?:\.[^."\x00-\x1f]{1,63})?', text):
        raise ValueError(f"is not the name of a table, or schema.table: {shown(text)}")


ColumnRule = Annotated[str, Rule(worded)] | Masked
RowRule = Annotated[Literal["all", "none", "left out"], Meta()] | Rows
TableName = Annotated[str, Rule(_is_table)]
Mask = dict[TableName, dict[str, ColumnRule]]
TableRows = dict[TableName, RowRule]


def masked(rules: Mapping[str, Mapping[str, str | Masked]]) -> dict[str, dict[str, Masked]]:
    return {
        table: {column: worded(one) if isinstance(one, str) else one for column, one in columns.items()}
        for table, columns in rules.items()
    }


def rows(rules: Mapping[str, str | Rows]) -> dict[str, Rows]:
    return {
        table: Rows(keep=one) if isinstance(one, str) else one  # type: ignore[arg-type]
        for table, one in rules.items()
    }
