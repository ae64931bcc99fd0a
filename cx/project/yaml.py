"""Reads the YAML of a project ourselves, strictly, so that nobody behind us reads anything else out of it.

Values as Compose's own reader takes them (YAML 1.2 with octal numbers): `22:22`, `yes` and `2024-01-01` are text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import yaml
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from cx.core.errors import Invalid
from cx.core.names import shown

NODES_MAX = 20_000  # with every alias counted as often as it is used
TEXT_MAX = 4 * 1024 * 1024
DEPTH_MAX = 32

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEAN = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER = re.compile(r"[-+]?(?:0b[01_]+|0o?[0-7_]+|0x[0-9a-fA-F_]+|[1-9][0-9_]*|0)")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_STANDARD = "tag:yaml.org,2002:"
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_MERGE = object()  # the key `<<`


@dataclass
class _Open:
    """A list or mapping that is not closed yet."""

    value: Any
    key: str
    anchor: str | None
    nodes: int = 1
    text: int = 0
    pending: Any = None  # the mapping's key that waits for its value
    waiting: bool = False
    merges: list[Any] = field(default_factory=list)
    seen: set[Any] = field(default_factory=set)


@dataclass
class _Anchored:
    value: Any
    nodes: int
    text: int


class _Reader:
    def __init__(self, where: str) -> None:
        self.where = where
        self.stack: list[_Open] = []
        self.anchors: dict[str, _Anchored | None] = {}
        self.result: Any = None
        self.line = 1
        self.nodes = 0
        self.text = 0

    def wrong(self, problem: str, key: str = "") -> Invalid:
        return Invalid(f"{self.where}:{self.line}", key, problem)

    def take(self, event: yaml.Event) -> None:
        if event.start_mark:
            self.line = event.start_mark.line + 1
        if isinstance(event, ScalarEvent):
            self.anchor(event.anchor, self.scalar(event), 1, len(event.value))
        elif isinstance(event, AliasEvent):
            name = event.anchor or ""
            known = self.anchors.get(name)
            if known is None:
                inside = name in self.anchors
                raise self.wrong(f"*{shown(name)} {'refers to itself' if inside else 'is not defined'}")
            self.add(known.value, known.nodes, known.text)
        elif isinstance(event, MappingStartEvent | SequenceStartEvent):
            self.open(event)
        elif isinstance(event, MappingEndEvent | SequenceEndEvent):
            self.close()

    def open(self, event: MappingStartEvent | SequenceStartEvent) -> None:
        mapping = isinstance(event, MappingStartEvent)
        self.check_tag(event.tag, ("map",) if mapping else ("seq",))
        if len(self.stack) >= DEPTH_MAX:
            raise self.wrong(f"is nested more than {DEPTH_MAX} deep", self.path())
        if self.stack and isinstance(self.stack[-1].value, dict) and not self.stack[-1].waiting:
            raise self.wrong("has a key that is not text", self.path())
        if event.anchor:
            self.anchors[event.anchor] = None
        self.stack.append(_Open({} if mapping else [], self.path_below(), event.anchor))

    def close(self) -> None:
        done = self.stack.pop()
        if isinstance(done.value, dict):
            for merged in done.merges:
                for source in merged if isinstance(merged, list) else [merged]:
                    if not isinstance(source, dict):
                        raise self.wrong("<< takes a mapping, or a list of them", done.key)
                    for name, value in source.items():
                        done.value.setdefault(name, value)
        self.anchor(done.anchor, done.value, done.nodes, done.text)

    def anchor(self, anchor: str | None, value: Any, nodes: int, text: int) -> None:
        if anchor:
            self.anchors[anchor] = _Anchored(value, nodes, text)
        self.add(value, nodes, text)

    def add(self, value: Any, nodes: int, text: int) -> None:
        if not self.stack:
            self.result = value
            return
        top = self.stack[-1]
        top.nodes += nodes
        top.text += text
        if top.nodes > NODES_MAX or top.text > TEXT_MAX:
            raise self.wrong("is too large once its aliases are written out", self.path())
        if isinstance(top.value, list):
            top.value.append(value)
        elif not top.waiting:
            self.name(top, value)
        else:
            top.waiting = False
            if top.pending is _MERGE:
                top.merges.append(value)
            else:
                top.value[top.pending] = value

    def name(self, top: _Open, value: Any) -> None:
        if not isinstance(value, _Key):
            raise self.wrong("has a key that is not text", self.path())
        name: Any = _MERGE if value.merge else str(value)
        if name in top.seen and name is not _MERGE:
            raise self.wrong("is there twice", f"{top.key}.{shown(str(value))}".lstrip("."))
        top.seen.add(name)
        top.pending, top.waiting = name, True

    def scalar(self, event: ScalarEvent) -> Any:
        text = event.value
        if _CONTROL.search(text):
            raise self.wrong("holds a control character", self.path_below())
        self.check_tag(event.tag, ("str", "int", "float", "bool", "null", "merge"))
        top = self.stack[-1] if self.stack else None
        if top and isinstance(top.value, dict) and not top.waiting:
            plain = event.implicit[0] and not event.style
            return _Key(text, merge=plain and text == "<<")
        if event.tag and event.tag != "!":
            kind = event.tag.removeprefix(_STANDARD)
            value = text if kind == "str" else _resolved(text)
            if kind != "str" and _kind(value) != kind and not (kind == "float" and isinstance(value, int)):
                raise self.wrong(f"is no {kind}: {shown(text)}", self.path_below())
            return value
        return _resolved(text) if event.implicit[0] else text

    def check_tag(self, tag: str | None, known: tuple[str, ...]) -> None:
        if tag and tag != "!" and tag.removeprefix(_STANDARD) not in known:
            raise self.wrong(
                f"has the tag {shown(tag.replace(_STANDARD, '!!'))}, which cx does not read", self.path_below()
            )

    def path(self) -> str:
        return self.stack[-1].key if self.stack else ""

    def path_below(self) -> str:
        if not self.stack:
            return ""
        top = self.stack[-1]
        if isinstance(top.value, list):
            return f"{top.key}[{len(top.value)}]"
        if not top.waiting or top.pending is _MERGE:
            return top.key
        return f"{top.key}.{shown(top.pending)}".lstrip(".")


class _Key(str):
    """A mapping's key, always text, as it is written."""

    merge: bool

    def __new__(cls, text: str, merge: bool = False) -> _Key:
        key = super().__new__(cls, text)
        key.merge = merge
        return key


def read_yaml(text: str, where: str) -> dict[str, Any]:
    """The mapping in `text`, its aliases and `<<` written out. Raises Invalid with file and line."""
    reader = _Reader(where)
    documents = 0
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            if isinstance(event, DocumentStartEvent):
                documents += 1
                reader.take(event)
                if documents > 1:
                    raise Invalid(f"{where}:{reader.line}", "", "holds more than one YAML document")
            reader.take(event)
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        line = f":{mark.line + 1}" if mark else ""
        raise Invalid(f"{where}{line}", "", f"is not YAML: {shown(exc.problem or exc.context or '?', 120)}") from exc
    except yaml.YAMLError as exc:
        raise Invalid(where, "", f"is not YAML: {shown(str(exc), 120)}") from exc
    if not isinstance(reader.result, dict):
        raise Invalid(where, "", "should be a mapping with services")
    return reader.result


def _resolved(text: str) -> Any:
    if text in _NULL:
        return None
    if text in _BOOLEAN:
        return _BOOLEAN[text]
    if _INTEGER.fullmatch(text):
        return _integer(text)
    if _FLOAT.fullmatch(text) and len(text) <= 64:
        number = float(text)
        return number if abs(number) != float("inf") else text
    return text


def _integer(text: str) -> int | str:
    digits = text.replace("_", "").lstrip("+-")
    try:
        if re.fullmatch(r"0[0-7]+", digits):
            number = int(digits, 8)
        else:
            number = int(digits, 0)
    except ValueError:
        return text
    number = -number if text.startswith("-") else number
    return number if -(2**63) <= number < 2**63 else text


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    return {bool: "bool", int: "int", float: "float"}.get(type(value), "str")
