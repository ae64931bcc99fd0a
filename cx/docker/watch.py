"""Waits for containers by the engine's events: nothing is polled faster than they come."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import urllib3

from cx.docker.connection import Engine, translated

RECHECK_S = 1.0  # an event can be lost with its connection: look again at least this often


@contextmanager
def happenings(engine: Engine, labels: list[str]) -> Iterator[Callable[[float], None]]:
    """Gives `wait(at_most_s)`, which returns when something happened to a container with these labels."""
    happened = threading.Event()
    with translated("watch the engine's events"):
        stream: Any = engine.api.events(filters={"type": "container", "label": labels}, decode=True)

    def read() -> None:
        try:
            for _ in stream:
                happened.set()
        except (OSError, ValueError, AttributeError, urllib3.exceptions.HTTPError):
            return  # closing the stream ends the read with what was in flight; `wait` looks again by itself

    threading.Thread(target=read, daemon=True, name="engine-events").start()

    def wait(at_most_s: float) -> None:
        happened.wait(max(0.0, min(at_most_s, RECHECK_S)))
        happened.clear()

    try:
        yield wait
    finally:
        stream.close()
