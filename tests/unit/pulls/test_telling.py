"""Reports on their way: the end before progress, the newest of it, and nothing in the way of anybody."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import pytest

from cx import logs
from cx.core.errors import Retryable, Terminal
from cx.pulls import Gauge
from cx.pulls.budget import Early, Urgency
from cx.pulls.statuses import Status
from cx.pulls.telling import QUIET_S, Telling
from cx.pulls.values import Phase, PullId, Report

SEVEN = Report(PullId("acme/shop", 7), "preview-7", "1" * 40, Phase.BUILDING)
EIGHT = replace(SEVEN, pull=PullId("acme/shop", 8))
READY = replace(SEVEN, phase=Phase.READY)
PUSHED = replace(SEVEN, head="2" * 40)


@dataclass
class Board:
    """GitHub, and a clock. `room`: so many writes fit; `fails`: so many times it does not answer."""

    now: float = 1000.0
    room: int = 99
    fails: int = 0
    shown: list[Report] = field(default_factory=list)
    statuses: list[tuple[str, Status]] = field(default_factory=list)
    reactions: list[tuple[int, str]] = field(default_factory=list)
    urgencies: list[Urgency] = field(default_factory=list)

    def announce(self, report: Report, urgency: Urgency) -> None:
        self._write()
        self.urgencies.append(urgency)
        self.shown.append(report)

    def status(self, pull: PullId, sha: str, status: Status, urgency: Urgency) -> None:
        self._write()
        self.urgencies.append(urgency)
        self.statuses.append((sha, status))

    def wait_s(self, urgency: Urgency) -> float:
        return 0.0 if self.room > (0 if urgency is Urgency.FINAL else 10) else 30.0

    def gauges(self) -> Sequence[Gauge]:
        return ()

    def react(self, repository: str, comment: int, reaction: str) -> None:
        self._write()
        self.reactions.append((comment, reaction))

    def _write(self) -> None:
        if self.fails:
            self.fails -= 1
            raise Retryable("GitHub answers 502")
        if not self.room:
            raise Early(30.0)
        self.room -= 1

    def of(self, report: Report) -> list[Phase]:
        return [one.phase for one in self.shown if one.pull == report.pull]


@pytest.fixture
def board() -> Board:
    return Board()


@pytest.fixture
def telling(board: Board) -> Telling:
    return Telling(board, clock=lambda: board.now)


def never() -> None:
    raise AssertionError("it was not told")


def work(telling: Telling) -> None:
    while telling.turn():
        pass


def test_progress_is_told_every_few_seconds_and_of_it_the_newest(telling: Telling, board: Board) -> None:
    telling.soon(SEVEN)
    work(telling)
    telling.soon(replace(SEVEN, phase=Phase.CLONING))
    telling.soon(replace(SEVEN, phase=Phase.STARTING))
    board.now += QUIET_S[Urgency.PROGRESS] - 0.1
    work(telling)
    assert board.of(SEVEN) == [Phase.BUILDING]
    board.now += 0.1
    work(telling)
    assert board.of(SEVEN) == [Phase.BUILDING, Phase.STARTING]


def test_the_end_is_told_at_once_and_what_was_to_be_told_before_is_not(telling: Telling, board: Board) -> None:
    told: list[int] = []
    telling.soon(SEVEN)
    work(telling)
    telling.soon(replace(SEVEN, phase=Phase.STARTING))
    telling.surely(READY, lambda: told.append(1))
    assert telling.waits(SEVEN.pull)
    work(telling)
    assert board.of(SEVEN) == [Phase.BUILDING, Phase.READY]
    assert told == [1]
    assert not telling.waits(SEVEN.pull)


def test_one_that_waits_keeps_no_other_waiting(telling: Telling, board: Board) -> None:
    telling.soon(SEVEN)
    work(telling)
    telling.soon(replace(SEVEN, phase=Phase.STARTING))
    telling.soon(EIGHT)
    work(telling)
    assert (board.of(SEVEN), board.of(EIGHT)) == ([Phase.BUILDING], [Phase.BUILDING])


def test_ends_come_first_in_their_order_then_the_newest_progress(telling: Telling, board: Board) -> None:
    def of(number: int, phase: Phase) -> Report:
        return replace(SEVEN, pull=PullId("acme/shop", number), phase=phase)

    for number in (1, 2, 3):
        telling.soon(of(number, Phase.BUILDING))
    for number in (4, 5):
        telling.surely(of(number, Phase.READY), lambda: None)
    work(telling)
    assert [one.pull.number for one in board.shown] == [4, 5, 3, 2, 1]


def test_where_somebody_stands_in_the_queue_is_told_rarely_and_last(telling: Telling, board: Board) -> None:
    queued = replace(SEVEN, phase=Phase.QUEUED, position=20)
    telling.soon(queued)
    work(telling)
    telling.soon(replace(queued, position=10))
    board.now += 59
    work(telling)
    assert [one.position for one in board.shown] == [20]
    telling.soon(replace(queued, position=5))
    board.now += 1
    work(telling)
    assert [one.position for one in board.shown] == [20, 5]
    assert board.urgencies == [Urgency.PROGRESS, Urgency.POSITION]


def test_progress_leaves_room_for_the_end(telling: Telling, board: Board) -> None:
    board.room = 10
    telling.soon(EIGHT)
    telling.surely(READY, lambda: None)
    work(telling)
    assert (board.of(SEVEN), board.of(EIGHT)) == ([Phase.READY], [])
    assert telling.waiting() == {Urgency.FINAL: 0, Urgency.PROGRESS: 1, Urgency.POSITION: 0}
    board.room = 99
    work(telling)
    assert board.of(EIGHT) == [Phase.BUILDING]


def test_an_end_is_told_however_long_that_takes(telling: Telling, board: Board) -> None:
    told: list[int] = []
    board.fails = 3
    telling.surely(READY, lambda: told.append(1))
    work(telling)
    assert telling.untold() == ["acme/shop#7: not told yet: GitHub answers 502"]
    assert telling.pending(3600) is False  # it has failed: who waits for all that is new waits no longer
    for _ in range(4):
        board.now += 3600
        work(telling)
    assert (board.of(SEVEN), told, telling.untold()) == ([Phase.READY], [1], [])


def test_when_the_budget_is_used_up_in_the_middle_the_rest_is_told_when_there_is_room(
    telling: Telling, board: Board
) -> None:
    board.room, board.wait_s = 0, lambda urgency: 0.0  # another process was quicker
    told: list[int] = []
    telling.surely(READY, lambda: told.append(1))
    telling.soon(EIGHT)
    work(telling)
    assert told == []
    assert telling.pending(30)
    assert not telling.pending(29)
    board.room, board.now = 99, board.now + 30
    work(telling)
    assert (told, board.of(EIGHT)) == ([1], [Phase.BUILDING])


def test_of_the_reports_of_one_pull_request_the_newest_is_told(telling: Telling, board: Board) -> None:
    """How the commit before ended its status says."""
    telling.surely(READY, never)
    telling.soon(PUSHED)
    work(telling)
    assert board.shown == [PUSHED]


def test_a_report_that_comes_while_an_older_one_is_told_takes_its_place(telling: Telling, board: Board) -> None:
    real = board.announce

    def announce(report: Report, urgency: Urgency) -> None:
        if report is READY:
            telling.soon(PUSHED)
            raise Retryable("GitHub answers 502")
        real(report, urgency)

    board.announce = announce
    telling.surely(READY, never)
    for _ in range(2):
        work(telling)
        board.now += 60
    assert board.shown == [PUSHED]


def test_reactions_wait_for_room_as_well(telling: Telling, board: Board) -> None:
    board.room = 0
    telling.react(SEVEN.pull, 5, "rocket")
    telling.react(SEVEN.pull, 5, "rocket")
    work(telling)
    assert board.reactions == []
    board.room, board.now = 99, board.now + 30
    work(telling)
    assert board.reactions == [(5, "rocket")]


@pytest.mark.parametrize("wrong", [Terminal("no such disk"), ZeroDivisionError()])
def test_what_cannot_be_written_down_is_told_again(telling: Telling, board: Board, wrong: Exception) -> None:
    """GitHub shows it already then, and nothing is written there."""
    asked: list[int] = []

    def told() -> None:
        asked.append(1)
        if len(asked) == 1:
            raise wrong

    telling.surely(READY, told)
    work(telling)
    board.now += 60
    work(telling)
    assert asked == [1, 1]


def test_what_github_does_not_take_ends_nothing(
    telling: Telling, board: Board, caplog: pytest.LogCaptureFixture
) -> None:
    board.fails = 1
    with caplog.at_level("INFO", "cx"):
        with logs.about(delivery="d-1"):
            telling.soon(SEVEN)
        work(telling)
        telling.soon(EIGHT)
        work(telling)
    assert (board.of(SEVEN), board.of(EIGHT)) == ([], [Phase.BUILDING])
    (line,) = caplog.records
    facts = line.facts  # type: ignore[attr-defined]
    assert (line.getMessage(), facts["delivery"], facts["pull"]) == ("progress not told", "d-1", "acme/shop#7")


def test_its_thread_tells_what_comes_and_outlives_a_budget_that_cannot_be_read(board: Board) -> None:
    telling = Telling(board, clock=lambda: board.now)
    wrong = [Terminal("the disk is full")]

    def wait_s(urgency: Urgency) -> float:
        if wrong:
            telling.wake()
            raise wrong.pop()
        return 0.0

    board.wait_s = wait_s
    thread = threading.Thread(target=telling.run)
    thread.start()
    telling.surely(READY, lambda: None)
    until(lambda: not wrong)
    telling.wake()
    until(lambda: board.of(SEVEN) == [Phase.READY])
    telling.stop()
    thread.join(5)
    assert not thread.is_alive()


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)
