"""Typed documents: one struct is the check, the reference page and the JSON schema of a TOML file.

A struct's fields carry `Annotated[..., Meta(description=...), Rule(...)]`. `decode` reads a document into it
and says of every problem, in a person's words, in which file and at which key it is.
"""

from __future__ import annotations

import difflib
import json
import re
import tomllib
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, Union

import msgspec

from cx.core.errors import Invalid
from cx.core.names import shown

T = TypeVar("T")

DEPTH_MAX = 16
_PART = r"""(?:[A-Za-z0-9_-]++|"[^"\n]*+"|'[^'\n]*+')"""
# A key of so many parts takes tomllib minutes and gigabytes.
_LONG_KEY = re.compile(rf"(?<![A-Za-z0-9_-]){_PART}(?:[ \t]*+\.[ \t]*+{_PART}){{{4 * DEPTH_MAX}}}")
REQUIRED = msgspec.NODEFAULT

_KINDS = {
    "int": "an integer",
    "float": "a number",
    "str": "a string",
    "bool": "true or false",
    "array": "a list",
    "object": "a table",
    "null": "nothing",
    "datetime": "a date and time",
    "date": "a date",
    "time": "a time",
}
_SCALARS = (str, int, float, bool)


@dataclass(frozen=True)
class Rule:
    """A check that a type cannot say. `check` raises ValueError with what is wrong."""

    check: Callable[[Any], object]


class Wrong(ValueError):
    """Raised by a struct's `__post_init__`: what is at `key` (below the struct) does not go with the rest."""

    def __init__(self, key: str, problem: str, remedy: str = "") -> None:
        super().__init__(problem)
        self.key = key
        self.remedy = remedy


class Secret:
    """A value that is never printed. `env:NAME` stands for what the environment holds when it is needed."""

    __slots__ = ("_environ", "_text", "_where")

    def __init__(self, text: str, environ: Mapping[str, str] | None = None, where: str = "") -> None:
        self._text = text
        self._environ = environ or {}
        self._where = where

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)

    @property
    def variable(self) -> str:
        """The name of the environment variable that holds it, or ""."""
        return self._text.removeprefix("env:") if self._text.startswith("env:") else ""

    def reveal(self) -> str:
        """The value. Raises Invalid when the variable that it names is not set."""
        if not self.variable:
            return self._text
        value = self._environ.get(self.variable, "")
        if not value:
            raise Invalid(self._where or "environment", self.variable, "is not set", remedy="export it, and run again")
        return value


@dataclass(frozen=True)
class FromEnvironment:
    """A value that came from the environment variable `variable`, as text."""

    variable: str
    text: str


@dataclass(frozen=True)
class Problem:
    key: str
    text: str
    remedy: str = ""
    where: str = ""


def read_toml(path: Path, *, where: str, size_max: int = 262_144) -> dict[str, Any]:
    """The document at `path`. Raises Invalid: not there, too long, not UTF-8, bad TOML (line and column)."""
    try:
        with path.open("rb") as file:
            content = file.read(size_max + 1)
    except OSError as exc:
        raise Invalid(where, "", f"cannot be read: {(exc.strerror or 'error').lower()}") from exc
    if len(content) > size_max:
        raise Invalid(where, "", f"is longer than {size_max // 1024} KiB")
    return parse_toml(content, where=where)


def parse_toml(content: bytes, *, where: str) -> dict[str, Any]:
    try:
        text = content.decode()
        if _LONG_KEY.search(text):
            raise Invalid(where, "", f"is nested more than {DEPTH_MAX} deep")
        document = tomllib.loads(text)
    except UnicodeDecodeError as exc:
        line = content[: exc.start].count(b"\n") + 1
        raise Invalid(f"{where}:{line}", "", "is not UTF-8 text") from exc
    except ValueError as exc:  # TOMLDecodeError, or a number of more digits than Python reads
        raise Invalid(where, "", f"is not TOML: {shown(str(exc), 200)}") from exc
    except RecursionError as exc:
        raise Invalid(where, "", "is nested too deeply") from exc
    if depth(document) > DEPTH_MAX:
        raise Invalid(where, "", f"is nested more than {DEPTH_MAX} deep")
    return document


def depth(value: Any) -> int:
    deepest, level = 0, [value]
    while level:
        deepest += 1
        level = [
            inner
            for one in level
            if isinstance(one, dict | list)
            for inner in (one.values() if isinstance(one, dict) else one)
        ]
    return deepest


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


@cache
def fields_of(type_: Any) -> tuple[msgspec.structs.FieldInfo, ...]:
    return msgspec.structs.fields(type_)


def unwrapped(type_: Any) -> tuple[Any, list[Rule], Any]:
    """The type below its annotations; its rules; the type as msgspec knows it."""
    if typing.get_origin(type_) is typing.Annotated:
        plain, *extra = typing.get_args(type_)
        return plain, [one for one in extra if isinstance(one, Rule)], type_
    return type_, [], type_


def _rules_within(plain: Any, value: Any) -> list[Rule]:
    """The rules of that member of a union which `value` is for, by its type."""
    found = []
    for member in typing.get_args(plain) if typing.get_origin(plain) in (Union, types.UnionType) else ():
        base, rules, _ = unwrapped(member)
        if rules and isinstance(base, type) and isinstance(value, base):
            found += rules
    return found


def meta(type_: Any) -> msgspec.Meta:
    if typing.get_origin(type_) is typing.Annotated:
        found = [one for one in typing.get_args(type_)[1:] if isinstance(one, msgspec.Meta)]
        return next((one for one in found if one.description), msgspec.Meta())
    return msgspec.Meta()


def alternatives(type_: Any) -> tuple[Any, ...]:
    if typing.get_origin(type_) in (Union, types.UnionType):
        return tuple(unwrapped(one)[0] for one in typing.get_args(type_))
    return (type_,)


def is_struct(type_: Any) -> bool:
    return isinstance(type_, type) and issubclass(type_, msgspec.Struct)


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


def kind_of(value: Any) -> str:
    if isinstance(value, bool):
        return _KINDS["bool"]
    for type_, name in ((str, "str"), (int, "int"), (float, "float"), (dict, "object"), (list, "array")):
        if isinstance(value, type_):
            return _KINDS[name] if value != "" else "an empty string"
    return _KINDS.get(type(value).__name__, "something else")


def expected(type_: Any) -> str:
    """What a value of `type_` may be, in words."""
    names: list[str] = []
    for one in alternatives(type_):
        origin = typing.get_origin(one)
        if origin is typing.Literal:
            names += [json.dumps(word) for word in typing.get_args(one)]
        elif one is type(None):
            continue
        elif is_struct(one) or origin in (dict, Mapping):
            names.append("a table")
        elif origin in (list, tuple):
            names.append("a list of strings")
        else:
            names.append({Path: "a path", Secret: "a string"}.get(one) or _KINDS.get(getattr(one, "__name__", ""), "?"))
    names = list(dict.fromkeys(names))
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"


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


# --- the reference page


def leaves(type_: Any, key: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every key that holds one value or a list, with its type; `*` stands for a name."""
    for field in fields_of(type_):
        plain, _, _ = unwrapped(field.type)
        options = alternatives(plain)
        inner = next((one for one in options if is_struct(one)), None)
        named = next((one for one in options if typing.get_origin(one) in (dict, Mapping)), None)
        if inner:
            yield from leaves(inner, (*key, field.name))
        elif named and is_struct(unwrapped(typing.get_args(named)[1])[0]):
            yield from leaves(unwrapped(typing.get_args(named)[1])[0], (*key, field.name, "*"))
        elif not named:
            yield (*key, field.name), field.type


def reference(type_: Any, *, placeholders: Mapping[str, str], variables: str = "") -> str:
    """The reference of a document, as Markdown. `placeholders`: table -> how its names are written."""
    return "\n".join(_sections(type_, "", placeholders, variables)).strip() + "\n"


def _sections(type_: Any, key: str, placeholders: Mapping[str, str], variables: str) -> Iterator[str]:
    yield f"### `[{key}]`" if key else "### Top level"
    yield ""
    if type_.__doc__:
        yield " ".join(type_.__doc__.split())
        yield ""
    columns = ["Key", "Type", "Default", "Meaning"] + (["Variable"] if variables else [])
    yield f"| {' | '.join(columns)} |"
    yield "|" + " --- |" * len(columns)
    below: list[tuple[str, Any]] = []
    for field in fields_of(type_):
        plain, _, _ = unwrapped(field.type)
        options = alternatives(plain)
        inner = next((one for one in options if is_struct(one)), None)
        named = next((one for one in options if typing.get_origin(one) in (dict, Mapping)), None)
        nested = unwrapped(typing.get_args(named)[1])[0] if named else None
        if inner:
            below.append((joined(key, field.name), inner))
            if len([one for one in options if one is not type(None)]) == 1:
                continue
        elif named and is_struct(nested):
            below.append((joined(key, f"{field.name}.{placeholders.get(field.name, '<name>')}"), nested))
            continue
        cells = [f"`{field.name}`", expected(plain), _default(field), meta(field.type).description or ""]
        if variables:
            variable = f"{variables}_{key}_{field.name}".replace("__", "_").replace(".", "_").upper()
            scalar = not named
            cells.append(f"`{variable.replace('<', '').replace('>', '')}`" if scalar else "")
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
    yield ""
    for inner_key, inner_type in below:
        yield from _sections(inner_type, inner_key, placeholders, variables)


def _default(field: Any) -> str:
    if field.required:
        return "required"
    value = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    if value is None or value in ([], (), {}, ""):
        return ""
    return f"`{json.dumps(value, default=str)}`"


def json_schema(type_: Any) -> dict[str, Any]:
    """The JSON schema of the document, for editors."""

    def hook(other: Any) -> dict[str, Any]:
        if other in (Path, Secret):
            return {"type": "string"}
        raise NotImplementedError

    return msgspec.json.schema(type_, schema_hook=hook)
