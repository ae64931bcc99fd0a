"""Documents checked against a struct: every problem in words, with its file and its key."""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, Union

import msgspec

from cx.core.errors import Invalid
from cx.core.names import shown
from cx.schema.types import alternatives, expected, fields_of, is_struct, kind_of, unwrapped
from cx.schema.values import FromEnvironment, Problem, Rule, Secret, Wrong

T = TypeVar("T")


def decode(
    document: Mapping[str, Any],
    type_: type[T],
    *,
    where: str,
    base: Path | None = None,
    environ: Mapping[str, str] | None = None,
) -> T:
    """`document` as a `type_`. Relative paths are relative to `base`.

    Raises Invalid for the first problem; its `log` has all of them, one line each.
    """
    reader = _Reader(where, base, environ or {})
    value = reader.read(document, type_, "")
    if reader.problems:
        found = [
            Invalid(problem.where or where, problem.key, problem.text, remedy=problem.remedy)
            for problem in reader.problems
        ]
        if len(found) > 1:
            found[0].log = tuple(str(one) for one in found)
        raise found[0]
    return typing.cast(T, value)


def joined(key: str, part: str) -> str:
    return f"{key}.{part}" if key else part


_MISSING = object()


@dataclass
class _Reader:
    where: str
    base: Path | None
    environ: Mapping[str, str]

    def __post_init__(self) -> None:
        self.problems: list[Problem] = []

    def wrong(self, key: str, text: str, remedy: str = "", where: str = "") -> Any:
        self.problems.append(Problem(key, text, remedy, where))
        return _MISSING

    def read(self, value: Any, type_: Any, key: str) -> Any:
        plain, rules, whole = unwrapped(type_)
        rules = [*rules, *_rules_within(plain, value)]
        chosen = _chosen(value, plain)
        if is_struct(chosen):
            result = self._struct(value, chosen, key)
        elif typing.get_origin(chosen) in (dict, Mapping) and isinstance(value, Mapping):
            result = self._table(value, chosen, key)
        elif typing.get_origin(chosen) in (list, tuple) and isinstance(value, list):
            result = self._list(value, chosen, key)
        else:
            result = self._leaf(value, whole, plain, key)
        if result is not _MISSING:
            where = value.variable if isinstance(value, FromEnvironment) else ""
            for rule in rules if result is not None else ():
                try:
                    rule.check(result)
                except Wrong as exc:
                    return self.wrong(joined(key, exc.key) if exc.key else key, str(exc), exc.remedy, where)
                except ValueError as exc:
                    return self.wrong(key, str(exc), where=where)
        return result

    def _struct(self, value: Any, type_: Any, key: str) -> Any:
        if not isinstance(value, Mapping):
            return self.wrong(key, f"should be a table, is {kind_of(value)}")
        before = len(self.problems)
        fields = {field.name: field for field in fields_of(type_)}
        for name in value:
            if name not in fields:
                near = difflib.get_close_matches(name, fields, 1)
                hint = f"did you mean {near[0]}?" if near else f"it may be: {', '.join(fields)}"
                self.wrong(joined(key, shown(name)), f"is not a known key; {hint}")
        found = {}
        for name, field in fields.items():
            if name in value:
                found[name] = self.read(value[name], field.type, joined(key, name))
            elif field.required:
                self.wrong(joined(key, name), "is missing")
        if len(self.problems) > before:
            return _MISSING
        try:
            return type_(**found)
        except Wrong as exc:
            return self.wrong(joined(key, exc.key) if exc.key else key, str(exc), exc.remedy)

    def _table(self, value: Mapping[str, Any], type_: Any, key: str) -> Any:
        of_key, of_value = typing.get_args(type_)
        found = {}
        for name, one in value.items():
            good = self.read(name, of_key, joined(key, shown(name)))
            got = self.read(one, of_value, joined(key, shown(name)))
            if good is not _MISSING:
                found[name] = got
        return _MISSING if _MISSING in found.values() else found

    def _list(self, value: Sequence[Any], type_: Any, key: str) -> Any:
        inner = typing.get_args(type_)[0]
        found = [self.read(one, inner, f"{key}[{number}]") for number, one in enumerate(value)]
        if any(one is _MISSING for one in found):
            return _MISSING
        return tuple(found) if typing.get_origin(type_) is tuple else found

    def _leaf(self, value: Any, type_: Any, plain: Any, key: str) -> Any:
        where = ""
        strict = True
        if isinstance(value, FromEnvironment):
            where, strict, value = value.variable, False, value.text
            origins = {typing.get_origin(one) for one in alternatives(plain)}
            if origins & {list, tuple}:
                value = [word.strip() for word in value.split(",") if word.strip()]
                inner = next(one for one in alternatives(plain) if typing.get_origin(one) in (list, tuple))
                return self._list(value, inner, key)
        special = next((one for one in alternatives(plain) if one in (Path, Secret)), None)
        if special:
            if not isinstance(value, str) or not value or "\0" in value:
                return self.wrong(key, f"should be a string that is not empty, is {kind_of(value)}", where=where)
            if special is Secret:
                return Secret(value, self.environ, f"{where or self.where}: {key}")
            path = Path(value).expanduser()
            return path if path.is_absolute() or not self.base else self.base / path
        try:
            result = msgspec.convert(value, type_, strict=strict)
        except msgspec.ValidationError as exc:
            is_what = shown(value) if where else kind_of(value)
            return self.wrong(key, _in_words(str(exc), value, plain, is_what), where=where)
        if isinstance(result, float) and not -1e300 < result < 1e300:
            return self.wrong(key, "should be a number, is infinite or none", where=where)
        return result


def _rules_within(plain: Any, value: Any) -> list[Rule]:
    """The rules of that member of a union which `value` is for, by its type."""
    found = []
    for member in typing.get_args(plain) if typing.get_origin(plain) in (Union, types.UnionType) else ():
        base, rules, _ = unwrapped(member)
        if rules and isinstance(base, type) and isinstance(value, base):
            found += rules
    return found


def _chosen(value: Any, plain: Any) -> Any:
    """Of a union, what fits the shape of `value`; else the type itself."""
    options = alternatives(plain)
    if len(options) == 1:
        return plain
    for one in options:
        if isinstance(value, Mapping) and (is_struct(one) or typing.get_origin(one) in (dict, Mapping)):
            return one
        if isinstance(value, list) and typing.get_origin(one) in (list, tuple):
            return one
    return plain


def _in_words(message: str, value: Any, plain: Any, is_what: str) -> str:
    main, _, at = message.partition(" - at ")
    if main.startswith("Invalid enum value"):
        return f"should be {expected(plain)}, is {shown(str(value))}"
    if ">=" in main:
        return f"should be at least {main.rpartition('>= ')[2].strip('`')}, is {shown(str(value))}"
    if "<=" in main and "length" not in main:
        return f"should be at most {main.rpartition('<= ')[2].strip('`')}, is {shown(str(value))}"
    if "length <=" in main:
        return f"is longer than {main.rpartition('<= ')[2]}"
    if "length >=" in main:
        return "should not be empty"
    if "matching regex" in main:
        return f"has characters that do not belong there: {shown(str(value))}"
    return f"should be {expected(plain)}, is {is_what}{' at ' + at.strip('`$') if at else ''}"
