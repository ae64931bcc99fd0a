"""A copy of the process answers, ends with whoever asks, and takes back what it was about to do."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cx.core.errors import CxError, Retryable
from cx.process.apart import Apart


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests' own threads hold nothing that a copy waits for."""
    monkeypatch.setattr(threading, "active_count", lambda: 1)


def told_its_process() -> Callable[[bytes], bytes]:
    return lambda question: question + str(os.getpid()).encode()


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_it_answers_from_another_process_and_goes_when_told(alone: None) -> None:
    apart = Apart(told_its_process)
    pid = int(apart.ask(b""))
    assert pid != os.getpid()
    assert apart.ask(b"x" * 3_000_000).endswith(str(pid).encode())
    apart.close()
    apart.close()
    assert gone(pid)


def test_who_asks_is_told_when_it_died(alone: None) -> None:
    def begin() -> Callable[[bytes], bytes]:
        return lambda _: os._exit(9)

    apart = Apart(begin)
    with pytest.raises(Retryable, match="has ended"):
        apart.ask(b"")
    apart.close()


def test_what_it_cannot_answer_is_seen_and_ends_it(alone: None, capfd: pytest.CaptureFixture[str]) -> None:
    def begin() -> Callable[[bytes], bytes]:
        def answer(_: bytes) -> bytes:
            raise ValueError("a mistake of ours")

        return answer

    apart = Apart(begin)
    with pytest.raises(Retryable):
        apart.ask(b"")
    apart.close()
    assert "ValueError: a mistake of ours" in capfd.readouterr().err


def test_an_interrupt_is_for_whoever_asks_and_its_end_takes_back(alone: None, tmp_path: Path) -> None:
    def begin() -> Callable[[bytes], bytes]:
        def answer(_: bytes) -> bytes:
            (tmp_path / "made").touch()
            try:
                time.sleep(60)
            finally:
                (tmp_path / "made").unlink()
            return b""

        (tmp_path / "pid").write_text(str(os.getpid()))
        return answer

    apart = Apart(begin)
    said: list[CxError] = []

    def ask() -> None:
        try:
            apart.ask(b"")
        except CxError as exc:
            said.append(exc)

    asked = threading.Thread(target=ask)
    asked.start()
    until = time.monotonic() + 10
    while not (tmp_path / "made").exists():
        assert time.monotonic() < until
        time.sleep(0.01)
    pid = int((tmp_path / "pid").read_text())
    ignored = int(Path(f"/proc/{pid}/status").read_text().partition("SigIgn:")[2].split()[0], 16)
    assert ignored & 1 << signal.SIGINT - 1
    apart.close()
    asked.join(10)
    assert isinstance(said[0], Retryable)
    assert gone(pid)
    assert not (tmp_path / "made").exists()


def test_it_is_not_made_where_other_threads_run() -> None:
    ended = threading.Event()
    other = threading.Thread(target=ended.wait)
    other.start()
    try:
        with pytest.raises(RuntimeError):
            Apart(told_its_process)
    finally:
        ended.set()
        other.join()
