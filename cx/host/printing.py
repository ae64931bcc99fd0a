"""Events on standard output: one JSON object in a line, for programs."""

from __future__ import annotations

import threading

import msgspec

from cx.core.events import AnyEvent


class Printed:
    """Prints each event as a line of its own; threads of a pass may call it side by side."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def __call__(self, event: AnyEvent) -> None:
        with self._lock:
            print(msgspec.json.encode(event).decode(), flush=True)
