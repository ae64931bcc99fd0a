"""One budget for all that is written to GitHub: never more than it takes, and always room for how things ended."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cx.pulls.budget import WINDOWS, Budget, Early, Memory, Urgency, wait_s
from cx.pulls.pauses import PAUSES_S, SPREAD, pause_s
from cx.store import Database
from cx.store.writes import WritesTable


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(tmp_path / "cx.db")
    yield database
    database.close()


def take(budget: Budget, urgency: Urgency = Urgency.FINAL, lasting_s: float = 0.0) -> float:
    """0 where a write was made; else how many seconds it is too early."""
    try:
        with budget.write(urgency):
            budget.clock.now += lasting_s
    except Early as exc:
        return exc.retry_after_s
    return 0.0


def fill(budget: Budget, urgency: Urgency = Urgency.FINAL) -> int:
    """How many writes fit at once."""
    count = 0
    while not take(budget, urgency):
        count += 1
    return count


@given(
    waits=st.lists(st.tuples(st.floats(0, 60), st.sampled_from(Urgency), st.floats(0, 1)), max_size=200),
    eager=st.booleans(),
    lasting_s=st.floats(0, 20),
)
def test_no_window_ever_holds_more_than_github_takes(
    waits: list[tuple[float, Urgency, float]], eager: bool, lasting_s: float
) -> None:
    """Whenever it counts one, between the moments at which it was sent and answered."""
    clock = Clock()
    budget = Budget(Memory(), clock)
    written: list[float] = []
    for pause, urgency, when in waits:
        clock.now += pause
        for _ in range(20 if eager else 3):
            began = clock.now
            if not take(budget, urgency, lasting_s):
                written.append(began + when * lasting_s)
    for length_s, limit in ((60, 80), (3600, 500)):
        for at in written:
            assert sum(at <= other < at + length_s for other in written) <= limit


@given(
    times=st.lists(st.floats(0, 3700), max_size=600).map(sorted),
    urgency=st.sampled_from(Urgency),
)
def test_what_it_says_to_wait_is_enough_and_not_too_much(times: list[float], urgency: Urgency) -> None:
    early_s = wait_s(times, 3700.0, urgency)
    assert wait_s(times, 3700.0 + early_s + 1e-6, urgency) == 0
    if early_s:
        assert wait_s(times, 3700.0 + early_s - 1e-3, urgency) > 0


def test_progress_uses_a_part_and_the_end_all_of_it(clock: Clock) -> None:
    budget = Budget(Memory(), clock)
    assert fill(budget, Urgency.POSITION) == 20
    assert fill(budget, Urgency.PROGRESS) == 20
    assert fill(budget) == 40
    assert budget.left() == {"minute": 0, "hour": 420}
    assert budget.wait_s(Urgency.FINAL) == 61
    clock.now += 61
    assert budget.left()["minute"] == 80


def test_a_restart_gives_no_new_budget(clock: Clock, database: Database) -> None:
    assert fill(Budget(WritesTable(database), clock)) == 80
    again = Budget(WritesTable(Database(database.path)), clock)
    assert take(again, Urgency.FINAL) == pytest.approx(61)
    again.writes.database.close()
    hour = 80
    for _ in range(20):
        clock.now += 61
        hour += fill(Budget(WritesTable(database), clock))
    assert hour == 500
    clock.now += WINDOWS["hour"][0]
    assert fill(Budget(WritesTable(database), clock)) == 80
    ((kept,),) = database.run("SELECT count(*) FROM forge_writes")
    assert kept == 80, "old ones are not kept"


def test_what_github_asked_for_holds_after_a_restart(clock: Clock, database: Database) -> None:
    budget = Budget(WritesTable(database), clock)
    budget.pause(120)
    budget.pause(30)
    again = Budget(WritesTable(database), clock)
    assert (take(again, Urgency.FINAL), again.wait_s(Urgency.POSITION)) == (120, 120)
    clock.now += 120
    assert take(again, Urgency.FINAL) == 0


def test_a_clock_that_is_set_back_holds_nothing_up_for_long(clock: Clock, database: Database) -> None:
    budget = Budget(WritesTable(database), clock)
    fill(budget)
    budget.pause(3000)
    clock.now -= 86400
    assert budget.wait_s(Urgency.FINAL) <= WINDOWS["hour"][0]
    clock.now += WINDOWS["hour"][0]
    budget.writes.pause(0)
    take(budget, Urgency.FINAL)
    clock.now += WINDOWS["minute"][0]
    assert fill(budget) == 80


def test_the_last_requests_of_an_hour_are_for_looks_and_ends(clock: Clock) -> None:
    budget = Budget(Memory(), clock)
    assert budget.requests_left() is None
    budget.answered("", 499, 5000, clock.now + 600)
    budget.answered("acme/docs", 4000, 5000, clock.now + 60)
    assert (budget.wait_s(Urgency.PROGRESS), budget.wait_s(Urgency.POSITION)) == (600, 600)
    assert (take(budget, Urgency.PROGRESS), take(budget, Urgency.FINAL)) == (600, 0)
    assert budget.requests_left() == 499
    clock.now += 600
    assert (take(budget, Urgency.PROGRESS), budget.requests_left()) == (0, None)


def test_pauses_grow_to_an_end_and_differ_for_what_failed_together() -> None:
    for what in ("acme/shop#7", "acme/shop#8"):
        grown = [pause_s(what, tries) for tries in range(1, 9)]
        for length_s, found in zip([*PAUSES_S, PAUSES_S[-1], PAUSES_S[-1]], grown, strict=True):
            assert length_s <= found <= length_s * (1 + SPREAD)
        assert grown == [pause_s(what, tries) for tries in range(1, 9)]
    assert len({pause_s(f"acme/shop#{number}", 1) for number in range(100)}) == 100
