"""A lock says who holds it, and dies with its process."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from cx.core.errors import Busy
from cx.process.locks import held

HOLD = """
import sys
from pathlib import Path
from cx.process.locks import held
with held(Path(sys.argv[1]), "deploy abc"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "locks" / "preview-1.lock"


@pytest.fixture
def holder(path: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()
    process.stdin.close()


def test_the_file_is_there_while_it_is_held_and_gone_after(path: Path) -> None:
    with held(path, "x"):
        assert path.exists()
    assert not path.exists()
    with held(path, "again"):
        pass


def test_the_file_is_gone_after_an_error(path: Path) -> None:
    with pytest.raises(ZeroDivisionError), held(path, "x"):
        raise ZeroDivisionError
    assert not path.exists()


def test_busy_says_who_holds_it_and_why(path: Path, holder: subprocess.Popen[str]) -> None:
    with pytest.raises(Busy) as caught, held(path, "x"):
        pytest.fail("two hold it")
    assert f"preview-1: held by process {holder.pid} (deploy abc) since " in str(caught.value)
    assert caught.value.exit_code == 75
    assert path.exists()


def test_it_dies_with_its_process(path: Path, holder: subprocess.Popen[str]) -> None:
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    assert path.exists()
    with held(path, "x"):
        pass
    assert not path.exists()


def test_one_waits_for_it_and_is_told_of_the_holder_once(path: Path, holder: subprocess.Popen[str]) -> None:
    told: list[str] = []

    def waiting(who: str) -> None:
        told.append(who)
        holder.stdin.close()

    with held(path, "x", wait_s=30, waiting=waiting):
        assert path.exists()
    assert len(told) == 1
    assert "deploy abc" in told[0]


def test_two_locks_do_not_mind_each_other(path: Path) -> None:
    with held(path, "x"), held(path.with_name("other.lock"), "y"):
        pass


def test_a_file_that_says_nothing_of_use(path: Path, holder: subprocess.Popen[str]) -> None:
    path.write_text("[]")
    with pytest.raises(Busy, match="held by another process"), held(path, "x"):
        pass


def test_a_file_that_its_holder_removes_before_it_is_locked_is_no_lock(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opened, then removed by the holder that leaves, then locked: that locks nothing which anybody else would see."""
    locked: list[int] = []

    def flock(descriptor: int, how: int) -> None:
        if not locked:
            path.unlink()
        locked.append(descriptor)
        fcntl.flock(descriptor, how)

    monkeypatch.setattr("cx.process.locks.fcntl", SimpleNamespace(**vars(fcntl) | {"flock": flock}))
    with held(path, "x"):
        assert len(locked) == 2
        with pytest.raises(Busy), held(path, "y"):
            pytest.fail("two hold it")


def test_never_two_at_once_although_the_file_goes_each_time(path: Path) -> None:
    inside, most = 0, 0
    guard = threading.Lock()

    def work() -> None:
        nonlocal inside, most
        for _ in range(10):
            with held(path, "x", wait_s=60):
                with guard:
                    inside += 1
                    most = max(most, inside)
                with guard:
                    inside -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


def test_the_file_is_for_its_owner_only(path: Path) -> None:
    with held(path, "x"):
        assert path.stat().st_mode & 0o077 == 0
        assert path.parent.stat().st_mode & 0o077 == 0
