"""Documents described: the reference page and the JSON schema, made from the structs that check them."""

from __future__ import annotations

import json
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from cx.schema.checking import joined
from cx.schema.types import alternatives, expected, fields_of, is_struct, meta, unwrapped
from cx.schema.values import Secret


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
