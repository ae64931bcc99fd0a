"""Programs in containers that wait for the word."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
from live import Cx

from cx.docker.connection import Engine
from cx.docker.held import HeldExec

MARK = "/tmp/cx-went"


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = Engine()
    yield engine
    engine.close()


def ran(cx: Cx, engine: Engine, *argv: str) -> int:
    return int(engine.client.containers.get(f"{cx.instance}-router").exec_run([*argv]).exit_code)


def test_it_does_nothing_before_the_word_and_all_at_the_word(cx: Cx, engine: Engine) -> None:
    held = HeldExec(engine, f"{cx.instance}-router", ["touch", MARK])
    assert ran(cx, engine, "test", "-e", MARK) == 1
    assert held.go()
    assert ran(cx, engine, "rm", MARK) == 0


def test_a_failure_is_told(cx: Cx, engine: Engine) -> None:
    assert not HeldExec(engine, f"{cx.instance}-router", ["false"]).go()


def test_who_dies_before_the_word_has_changed_nothing_and_leaves_nothing(cx: Cx, engine: Engine) -> None:
    held = HeldExec(engine, f"{cx.instance}-router", ["touch", MARK])

    def there() -> bool:
        rows = engine.client.containers.get(f"{cx.instance}-router").top()["Processes"]
        return any(MARK in row[-1] for row in rows)

    assert becomes(there, True)
    held.close()  # as the kernel does for one that was killed
    assert becomes(there, False)
    assert ran(cx, engine, "test", "-e", MARK) == 1


def becomes(seen: Callable[[], bool], wanted: bool) -> bool:
    until = time.monotonic() + 10
    while seen() is not wanted and time.monotonic() < until:
        time.sleep(0.05)
    return seen() is wanted
