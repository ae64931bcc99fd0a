"""Reports on their way: progress every few seconds, the newest of it, and the end at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import pytest

from cx import logs
from cx.core.errors import Retryable
from cx.pulls.telling import Telling
from cx.pulls.values import Phase, PullId, Report

SEVEN = Report(PullId("acme/shop", 7), "preview-7", "1" * 40, Phase.BUILDING)
EIGHT = replace(SEVEN, pull=PullId("acme/shop", 8))


@dataclass
class Board:
    shown: list[Report] = field(default_factory=list)
    fails: int = 0

    def announce(self, report: Report) -> None:
        if self.fails:
            self.fails -= 1
            raise Retryable("GitHub answers 502")
        self.shown.append(report)

    def react(self, repository: str, comment: int, reaction: str) -> None:
        raise NotImplementedError

    def of(self, report: Report) -> list[Phase]:
        return [one.phase for one in self.shown if one.pull == report.pull]


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)


@pytest.fixture
def board() -> Board:
    return Board()


@pytest.fixture
def telling(board: Board) -> Iterator[Telling]:
    telling = Telling(board, quiet_s=0.5)
    thread = threading.Thread(target=telling.run)
    thread.start()
    yield telling
    telling.stop()
    thread.join(5)
    assert not thread.is_alive()


def test_progress_is_told_every_few_seconds_and_of_it_the_newest(telling: Telling, board: Board) -> None:
    began = time.monotonic()
    telling.soon(SEVEN)
    until(lambda: board.of(SEVEN) == [Phase.BUILDING])
    telling.soon(replace(SEVEN, phase=Phase.CLONING))
    telling.soon(replace(SEVEN, phase=Phase.STARTING))
    until(lambda: len(board.of(SEVEN)) > 1)
    assert time.monotonic() - began >= 0.5
    assert board.of(SEVEN) == [Phase.BUILDING, Phase.STARTING]


def test_the_end_is_told_at_once_and_what_was_to_be_told_before_is_not(telling: Telling, board: Board) -> None:
    telling.quiet_s = 60
    telling.soon(SEVEN)
    until(lambda: board.of(SEVEN) == [Phase.BUILDING])
    telling.soon(replace(SEVEN, phase=Phase.STARTING))
    telling.now(replace(SEVEN, phase=Phase.READY))
    assert board.of(SEVEN) == [Phase.BUILDING, Phase.READY]


def test_one_that_waits_keeps_no_other_waiting(telling: Telling, board: Board) -> None:
    telling.quiet_s = 60
    telling.soon(SEVEN)
    until(lambda: board.of(SEVEN) == [Phase.BUILDING])
    telling.soon(replace(SEVEN, phase=Phase.STARTING))
    telling.soon(EIGHT)
    until(lambda: board.of(EIGHT) == [Phase.BUILDING])
    assert board.of(SEVEN) == [Phase.BUILDING]


def test_what_github_does_not_take_ends_nothing(
    telling: Telling, board: Board, caplog: pytest.LogCaptureFixture
) -> None:
    board.fails = 1
    with caplog.at_level("INFO", "cx"):
        with logs.about(delivery="d-1"):
            telling.soon(SEVEN)
        until(lambda: board.fails == 0)
        telling.soon(EIGHT)
        until(lambda: board.of(EIGHT) == [Phase.BUILDING])
    (line,) = caplog.records
    facts = line.facts  # type: ignore[attr-defined]
    assert (line.getMessage(), facts["delivery"], facts["pull"]) == ("progress not told", "d-1", "acme/shop#7")
