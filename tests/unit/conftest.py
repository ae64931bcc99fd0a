"""Unit tests take seconds: none of them starts a process or a server. What needs one is in tests/component."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

PROCESSES = ("subprocess.Popen", "os.posix_spawn", "os.fork", "os.system")
PROBE = ("::1", 0)  # urllib3 tries it when it is imported
started: list[str] = []


def note(event: str, facts: tuple[object, ...]) -> None:
    if event in PROCESSES:
        started.append(f"{event} {facts[:1]!r}")  # a fork has no facts
    elif event == "socket.bind" and facts[1] != PROBE:
        started.append(f"{event} {facts[1]!r}")


sys.addaudithook(note)


@pytest.fixture(autouse=True)
def without_processes() -> Iterator[None]:
    started.clear()
    yield
    if started:
        pytest.fail(f"a unit test starts no process and no server ({started[0]}); this one belongs in tests/component")
