"""Typed documents: one struct is the check, the reference page and the JSON schema of a TOML file.

A struct's fields carry `Annotated[..., Meta(description=...), Rule(...)]`.

reading     TOML files, within bounds
checking    a document as its struct, or every problem in words
describing  the reference page and the JSON schema
"""

from cx.schema.checking import decode, joined
from cx.schema.describing import json_schema, leaves, reference
from cx.schema.reading import parse_toml, read_toml
from cx.schema.types import alternatives, meta, unwrapped
from cx.schema.values import FromEnvironment, Rule, Secret, Wrong

__all__ = [
    "FromEnvironment",
    "Rule",
    "Secret",
    "Wrong",
    "alternatives",
    "decode",
    "joined",
    "json_schema",
    "leaves",
    "meta",
    "parse_toml",
    "read_toml",
    "reference",
    "unwrapped",
]
