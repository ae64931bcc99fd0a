"""What an inspection is told, and what it finds: all of it, not only the first."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from cx.core.names import shown
from cx.core.sizes import size_bytes

FINDINGS_MAX = 100


@dataclass(frozen=True)
class Caps:
    """The most that one container, or one project, gets."""

    memory: str = "512m"
    cpus: float = 1.0
    pids: int = 256
    replicas: int = 3
    services: int = 20

    @property
    def memory_bytes(self) -> int:
        return size_bytes(self.memory)


@dataclass(frozen=True)
class Grants:
    """The single things that the host's owner allows one project: `env_file`, `cap_add:NET_ADMIN`, ..."""

    words: frozenset[str] = frozenset()

    @classmethod
    def of(cls, words: Iterable[str]) -> Grants:
        return cls(frozenset(words))

    def allow(self, word: str) -> bool:
        return word in self.words

    def raised(self, caps: Caps) -> Caps:
        """`caps`, or more where a grant such as `memory:2g` says so."""
        memory, cpus, pids, replicas = caps.memory, caps.cpus, caps.pids, caps.replicas
        for word in sorted(self.words):
            what, _, value = word.partition(":")
            if what == "memory" and size_bytes(value) > size_bytes(memory):
                memory = value
            elif what == "cpus":
                cpus = max(cpus, float(value))
            elif what == "pids":
                pids = max(pids, int(value))
            elif what == "replicas":
                replicas = max(replicas, int(value))
        return Caps(memory, cpus, pids, replicas, caps.services)


@dataclass
class Look:
    """One inspection of one model: what holds for it, and what it has found so far."""

    checkout: Path
    instance: str
    grants: Grants
    caps: Caps
    base: str = "."  # the folder of the checkout that paths of the Compose file are relative to
    reasons: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    services: frozenset[str] = frozenset()
    volumes: dict[str, None] = field(default_factory=dict)  # named ones, in order
    mounted: dict[str, None] = field(default_factory=dict)  # paths of the checkout, in order

    def refuse(self, key: str, why: str) -> None:
        if len(self.reasons) < FINDINGS_MAX:
            self.reasons.append(f"{key}: {why}")

    def note(self, key: str, what: str) -> None:
        line = f"{key}: {what}"
        if line not in self.notes and len(self.notes) < FINDINGS_MAX:
            self.notes.append(line)


def at(key: str, part: object) -> str:
    """The key of `part` in what is at `key`, safe to print."""
    name = shown(str(part))
    return f"{key}.{name}" if key else name


def plain(text: str) -> bool:
    """True for text that a process may be given: no control characters but tab and line ends."""
    return not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]", text)
