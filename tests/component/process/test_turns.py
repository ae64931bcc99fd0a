"""One scope at a time: by processes that queue, die and give up."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import pytest

from cx.core.errors import Busy, Retryable
from cx.process import turns as turning
from cx.process.turns import AFTERMATH_S, Turns

WORK = """
import sys
from pathlib import Path
from cx.process.turns import Turns
folder, scope, who, *child = sys.argv[1:]
say = lambda text: print(text, flush=True)
with Turns(Path(folder)).turn(scope, who, wait_s=60, waiting=lambda other: say(f"waits for {other}")) as descriptor:
    if child:
        import subprocess
        inside = "import sys; print('begun', flush=True); sys.stdin.read()"
        with subprocess.Popen([sys.executable, "-c", inside], pass_fds=[descriptor]) as process:
            process.wait()
    say("begun")
    sys.stdin.readline()
say("ended")
"""
Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def turns(tmp_path: Path) -> Turns:
    return Turns(tmp_path / "turns")


@pytest.fixture
def start(turns: Turns) -> Iterator[Start]:
    """Starts a process that takes a turn, for a scope; it ends its turn when it is told a line."""
    processes: list[subprocess.Popen[str]] = []

    def started(scope: str, who: str, *child: str) -> subprocess.Popen[str]:
        argv = [sys.executable, "-c", WORK, str(turns.folder), scope, who, *child]
        processes.append(subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        return processes[-1]

    yield started
    for process in processes:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            assert pipe
            pipe.close()


def heard(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline().strip()


def end(process: subprocess.Popen[str]) -> None:
    assert process.stdin
    process.stdin.write("\n")
    process.stdin.flush()
    assert heard(process) == "ended"


def left(turns: Turns) -> list[str]:
    return sorted(path.name for path in turns.folder.iterdir())


def test_another_scope_waits_until_all_of_the_first_have_ended(turns: Turns, start: Start) -> None:
    first = start("a", "preview-1")
    assert heard(first) == "begun"
    beside = start("a", "preview-2")
    assert heard(beside) == "begun"
    other = start("b", "preview-3")
    assert heard(other) == "waits for preview-1 and 1 more"
    end(first)
    assert heard(other) == "waits for preview-2"
    end(beside)
    assert heard(other) == "begun"
    end(other)
    assert left(turns) == []


def test_who_comes_again_stands_behind_those_that_wait(start: Start) -> None:
    first = start("a", "preview-1")
    assert heard(first) == "begun"
    other = start("b", "preview-2")
    assert heard(other) == "waits for preview-1"
    again = start("a", "preview-3")
    assert heard(again) == "waits for preview-2"
    end(first)
    assert heard(other) == "begun"
    end(other)
    assert heard(again) == "begun"


@pytest.mark.parametrize("dies", ["the holder", "one that waits"])
def test_a_turn_dies_with_its_process(turns: Turns, start: Start, dies: str) -> None:
    first = start("a", "preview-1")
    assert heard(first) == "begun"
    second = start("b", "preview-2")
    assert heard(second) == "waits for preview-1"
    third = start("c", "preview-3")
    assert heard(third) == "waits for preview-1 and 1 more"
    dead, next_ = (first, second) if dies == "the holder" else (second, third)
    dead.kill()
    dead.wait()
    if dies == "the holder":
        assert heard(next_) == "begun"
    else:
        assert heard(next_) == "waits for preview-1"
        end(first)
        assert heard(next_) == "begun"


def test_a_child_of_the_dead_keeps_the_turn_that_it_has_inherited(start: Start) -> None:
    first = start("a", "preview-1", "child")
    assert heard(first) == "begun"
    second = start("b", "preview-2")
    assert heard(second) == "waits for preview-1"
    first.kill()
    first.wait()
    third = start("c", "preview-3")
    assert heard(third) == "waits for preview-1 and 1 more"
    assert first.stdin
    first.stdin.close()  # by which the child ends
    assert heard(second) == "begun"


def test_a_turn_that_ended_badly_is_given_a_moment(turns: Turns, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it has begun elsewhere may go on for as long."""
    now = count(0, 0.25)
    slow = Turns(turns.folder, clock=lambda: next(now))
    looks: list[str] = []
    monkeypatch.setattr(turning.time, "sleep", lambda _: looks.append("again"))
    with pytest.raises(ZeroDivisionError), slow.turn("a", "preview-1", wait_s=9):
        raise ZeroDivisionError
    with slow.turn("a", "preview-2", wait_s=9):
        assert looks == []  # of its own scope nobody need be afraid
    with pytest.raises(ZeroDivisionError), slow.turn("a", "preview-1", wait_s=9):
        raise ZeroDivisionError
    with slow.turn("b", "preview-3", wait_s=9, waiting=looks.append):
        assert looks[0] == "preview-1"
        assert len(looks) > 1
    assert left(turns) == []
    assert AFTERMATH_S >= 0.5


def test_what_the_dead_have_left_does_not_grow(turns: Turns) -> None:
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), turns.turn("a", "preview-1", wait_s=0):
            raise ZeroDivisionError
        assert len(left(turns)) == 1
    with turns.turn("a", "preview-1", wait_s=0):
        pass
    assert left(turns) == []


def test_waiting_has_an_end(turns: Turns) -> None:
    waited: list[str] = []
    with turns.turn("a", "preview-1", wait_s=0):
        waiting = turns.turn("b", "preview-2", wait_s=0.1, waiting=waited.append)
        with pytest.raises(Busy, match=r"preview-2: it waited 0 s for preview-1"), waiting:
            raise AssertionError
        assert len(left(turns)) == 1
    assert waited == ["preview-1"]


def test_what_is_not_wanted_any_more_does_not_wait(turns: Turns) -> None:
    def unwanted() -> None:
        raise Retryable("something else is wanted by now")

    with turns.turn("a", "preview-1", wait_s=0):
        waiting = turns.turn("b", "preview-2", wait_s=60, meanwhile=unwanted)
        with pytest.raises(Retryable, match="something else is wanted"), waiting:
            raise AssertionError
        assert len(left(turns)) == 1


def test_never_two_scopes_at_once(turns: Turns) -> None:
    """Threads of one process, as of a pass that builds several images, in an order that nobody has chosen."""
    inside: list[str] = []
    seen: list[frozenset[str]] = []
    guard = threading.Lock()

    def work(scope: str, who: str) -> None:
        for _ in range(4):
            with turns.turn(scope, who, wait_s=60):
                with guard:
                    inside.append(scope)
                    seen.append(frozenset(inside))
                os.sched_yield()
                with guard:
                    inside.remove(scope)

    with ExitStack() as stack:
        for number in range(9):
            thread = threading.Thread(target=work, args=("abc"[number % 3], f"preview-{number}"))
            thread.start()
            stack.callback(thread.join)
    assert len(seen) == 36
    assert all(len(scopes) == 1 for scopes in seen)
    assert left(turns) == []


def test_a_file_that_is_half_written_belongs_to_somebody_else(turns: Turns) -> None:
    with turns.turn("a", "preview-1", wait_s=0):
        (path,) = turns.folder.glob("*.ticket")
        path.write_text("")
        with pytest.raises(Busy, match="for another process"), turns.turn("a", "preview-2", wait_s=0):
            raise AssertionError
