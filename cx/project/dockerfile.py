"""What a Dockerfile says about its image without building it: the ports that it exposes."""

from __future__ import annotations

import re
from collections import ChainMap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

_ESCAPE = re.compile(r"#\s*escape\s*=\s*([\\`])\s*$", re.IGNORECASE)
_DIRECTIVE = re.compile(r"#\s*[a-z]+\s*=", re.IGNORECASE)
_HEREDOC = re.compile(r"<<(-?)([\"']?)([A-Za-z_][A-Za-z0-9_]*)\2")
_VARIABLE = re.compile(r"\$(?:\{([A-Za-z_]\w{0,254})(?:(:?[-+])([^}]{0,1024}))?\}|([A-Za-z_]\w*))")
_FILLED_MAX = 1024  # characters that variables add to one text: no port and no stage is told by more
_HEREDOC_INSTRUCTIONS = ("RUN", "COPY", "ADD")


def instructions(text: str) -> Iterator[tuple[str, str]]:
    """Each instruction in upper case with its arguments: comments gone, lines joined, heredocs skipped.

    https://docs.docker.com/reference/dockerfile/#format
    """
    escape = "\\"
    lines = iter(text.splitlines())
    head = True
    joined = ""
    for line in lines:
        stripped = line.strip()
        if head and (match := _ESCAPE.match(stripped)):
            escape = match[1]
        head = head and bool(_DIRECTIVE.match(stripped))
        if stripped.startswith("#") or (not stripped and joined):
            continue
        if stripped.endswith(escape):
            joined += stripped[:-1] + " "
            continue
        name, _, rest = (joined + stripped).strip().partition(" ")
        joined = ""
        if not name:
            continue
        name = name.upper()
        if name in _HEREDOC_INSTRUCTIONS:
            for dash, _, end in _HEREDOC.findall(rest):
                for inner in lines:
                    if (inner.lstrip("\t") if dash else inner) == end:
                        break
        yield name, rest.strip()
    if joined.strip():
        name, _, rest = joined.strip().partition(" ")
        yield name.upper(), rest.strip()


@dataclass(frozen=True)
class _Stage:
    base: _Stage | None
    ports: list[int] = field(default_factory=list)


def exposed(text: str, *, target: str | None = None, args: dict[str, str] | None = None) -> list[int]:
    """The TCP ports that the last stage (or `target`) exposes, its own and those of the stages it is from.

    What variables hold is cut: each may be twice the one before it.
    """
    given = args or {}
    defaults: dict[str, str] = {}
    stages: dict[str, _Stage] = {}
    values: dict[str, str] = {}
    stage, number = "", -1
    for name, rest in instructions(text):
        if name == "FROM":
            words = [word for word in rest.split() if not word.startswith("--")]
            if not words:
                continue
            number += 1
            named = len(words) >= 3 and words[1].upper() == "AS"
            if target is not None and stage == target.lower():
                break
            base = _filled(words[0], defaults).lower()
            stage = words[2].lower() if named else str(number)
            stages[stage] = _Stage(stages.get(base))
            values = {}
        elif name == "ARG":
            for word in rest.split():
                key, _, default = word.partition("=")
                chosen = given.get(key, _filled(default.strip("\"'"), ChainMap(values, defaults)))
                if number < 0:
                    defaults[key] = chosen
                else:
                    values[key] = chosen or defaults.get(key, "")
        elif name == "ENV" and number >= 0:
            values.update(_environment(rest, values))
        elif name == "EXPOSE" and number >= 0:
            for word in _filled(rest, values).split():
                port, _, protocol = word.partition("/")
                first = port.partition("-")[0]
                if first.isascii() and first.isdigit() and 0 < int(first) < 65536 and protocol.lower() in ("", "tcp"):
                    stages[stage].ports.append(int(first))
    found: list[list[int]] = []
    last = stages.get(target.lower() if target is not None and target.lower() in stages else stage)
    while last:
        found.insert(0, last.ports)
        last = last.base
    return [port for ports in found for port in ports]


def _environment(rest: str, values: dict[str, str]) -> dict[str, str]:
    first = rest.split(maxsplit=1)
    if first and "=" not in first[0]:
        return {first[0]: _filled(first[1] if len(first) > 1 else "", values)}
    pairs = re.findall(r"(?<!\w)([A-Za-z_]\w*)=(\"[^\"]*\"|'[^']*'|\S*)", rest)
    return {key: _filled(value.strip("\"'"), values) for key, value in pairs}


def _filled(text: str, values: Mapping[str, str]) -> str:
    room = _FILLED_MAX

    def value(match: re.Match[str]) -> str:
        nonlocal room
        name, operator, other = match[1] or match[4], match[2] or "", match[3] or ""
        found = values.get(name, "")
        chosen = (other if found else "") if operator.endswith("+") else found or other
        chosen = chosen[:room]
        room -= len(chosen)
        return chosen

    return _VARIABLE.sub(value, text)
