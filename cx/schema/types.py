"""Types of a document's fields, taken apart and put in words."""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Union

import msgspec

from cx.schema.values import Rule, Secret

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


@cache
def fields_of(type_: Any) -> tuple[msgspec.structs.FieldInfo, ...]:
    return msgspec.structs.fields(type_)


def unwrapped(type_: Any) -> tuple[Any, list[Rule], Any]:
    """The type below its annotations; its rules; the type as msgspec knows it."""
    if typing.get_origin(type_) is typing.Annotated:
        plain, *extra = typing.get_args(type_)
        return plain, [one for one in extra if isinstance(one, Rule)], type_
    return type_, [], type_


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
