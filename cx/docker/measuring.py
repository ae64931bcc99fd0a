"""What containers use now, as the engine measures it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from requests.exceptions import JSONDecodeError

from cx.core.state import Container
from cx.docker.connection import Engine, Gone, translated


@dataclass(frozen=True)
class Use:
    """`cpu` in percent of one core."""

    memory_bytes: int = 0
    cpu: float = 0.0


def measured(engine: Engine, one: Container) -> Use:
    """Nothing is used by a container that does not run, or that has stopped or gone while it was measured."""
    if not one.running:
        return Use()
    try:
        with translated(f"measure {one.name}"):
            try:
                found = engine.api.stats(one.id, stream=False)
            except JSONDecodeError:  # removed between two samples: the engine's answer is empty
                return Use()
    except Gone:
        return Use()
    return use_of(found)


def use_of(found: Mapping[str, Any]) -> Use:
    """By what the engine gives; what it leaves out counts as nothing."""
    now, before = found.get("cpu_stats") or {}, found.get("precpu_stats") or {}
    passed = now.get("system_cpu_usage", 0) - before.get("system_cpu_usage", 0)
    cpu = 100.0 * max(0, _spent(now) - _spent(before)) / passed * now.get("online_cpus", 1) if passed > 0 else 0.0
    return Use((found.get("memory_stats") or {}).get("usage", 0), cpu)


def _spent(stats: Mapping[str, Any]) -> int:
    return int((stats.get("cpu_usage") or {}).get("total_usage", 0))
