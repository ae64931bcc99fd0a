"""Many pull requests at once, with the real threads: who waits, who is told what, and what a close does to it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from following import SHOP, World, pr, sha

from cx.core.errors import NotFound, Terminal
from cx.pulls.budget import Urgency
from cx.pulls.values import Phase
from cx.pulls.workers import Workers


class Gate:
    """Holds every build until it is opened."""

    def __init__(self, world: World) -> None:
        self.open = threading.Event()
        self.inside: list[str] = []
        self.most = 0
        self.run = world.computer.run
        world.computer.run = self._run

    def _run(self, order, cancelled, told):
        if order.action == "deploy":
            self.inside.append(order.namespace.name)
            self.most = max(self.most, len(self.inside))
            while not self.open.wait(0.01):
                if cancelled():
                    break
            self.inside.remove(order.namespace.name)
        return self.run(order, cancelled, told)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    world.stop = threading.Event()
    world.gate = Gate(world)
    world.telling.quiet_s, world.telling.clock = dict.fromkeys(Urgency, 0.02), time.monotonic
    world.workers = Workers(world.follower, 1, [SHOP], 3600, lambda: world.now)
    world.follower.stopped = world.stop.is_set
    thread = threading.Thread(target=world.workers.run, args=(world.stop,))
    world.begin = thread.start
    yield world
    world.stop.set()
    world.gate.open.set()
    if thread.ident:
        thread.join(20)
        assert not thread.is_alive()
    world.database.close()


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def ask(world: World, number: int) -> None:
    world.box.ask(pr(number))
    world.workers.wake()


def position(world: World, number: int) -> int:
    report = world.hub.shown.get(pr(number))
    return report.position if report and report.phase is Phase.QUEUED else 0


def test_who_waits_sees_his_place_and_moves_up(world):
    for number in (1, 2, 3):
        world.push(number, 1)
    world.begin()
    until(lambda: position(world, 3) == 2 or position(world, 2) == 2 or position(world, 1) == 2)
    until(lambda: len(world.gate.inside) == 1)
    world.gate.open.set()
    until(lambda: all(world.phase(number) is Phase.READY for number in (1, 2, 3)))
    assert world.gate.most == 1
    assert [world.serving(number) for number in (1, 2, 3)] == [sha(number, 1) for number in (1, 2, 3)]


def test_who_is_asked_for_while_he_waits_keeps_his_place(world):
    """A push, a label or a title would else put him behind all others, again and again."""
    world.begin()
    world.push(1, 1)
    ask(world, 1)
    until(lambda: len(world.gate.inside) == 1)
    for number in (2, 3):
        world.push(number, 1)
        ask(world, number)
        until(lambda number=number: position(world, number) == number - 1)
    world.push(2, 2)
    ask(world, 2)
    until(lambda: world.hub.shown[pr(2)].head == sha(2, 2))
    assert position(world, 2) == 1
    until(lambda: position(world, 3) == 2)
    world.gate.open.set()
    until(lambda: all(world.phase(number) is Phase.READY for number in (1, 2, 3)))
    until(lambda: world.workers._since == {})


def test_who_pushes_during_his_build_is_next(world):
    world.begin()
    for number in (1, 2, 3):
        world.push(number, 1)
        ask(world, number)
        until(lambda number=number: position(world, number) == number - 1 if number > 1 else bool(world.gate.inside))
    world.push(1, 2)
    ask(world, 1)
    until(lambda: world.gate.inside == ["preview-2"])
    until(lambda: (position(world, 1), position(world, 3)) == (1, 2))
    world.gate.open.set()
    until(lambda: all(world.phase(number) is Phase.READY for number in (1, 2, 3)))
    assert world.serving(1) == sha(1, 2)


def test_a_close_waits_for_no_build(world):
    world.push(1, 1)
    world.gate.open.set()
    world.look(1)
    world.gate.open.clear()
    world.push(2, 1)
    world.push(3, 1)
    world.begin()
    until(lambda: bool(world.gate.inside) and bool(position(world, 2) or position(world, 3)))
    world.change(1, open=False)
    ask(world, 1)
    until(lambda: world.phase(1) is Phase.REMOVED)
    waiting = 2 if position(world, 2) else 3
    world.change(waiting, open=False)
    ask(world, waiting)
    until(lambda: world.phase(waiting) is Phase.REMOVED)
    assert len(world.gate.inside) == 1
    building = 5 - waiting
    world.change(building, open=False)
    ask(world, building)
    until(lambda: world.phase(building) is Phase.REMOVED)
    assert world.computer.builds == {sha(1, 1): 1}


def test_a_stop_ends_what_runs_and_leaves_it_for_the_next_start(world):
    world.push(1, 1)
    world.push(2, 1)
    world.begin()
    until(lambda: bool(world.gate.inside) and bool(position(world, 1) or position(world, 2)))
    world.stop.set()
    until(lambda: not world.gate.inside and not world.box.running())
    assert {one.number for one in world.box.waiting()} == {1, 2}
    world.gate.open.set()
    world.process()
    world.work()
    assert [world.serving(1), world.serving(2)] == [sha(1, 1), sha(2, 1)]


def test_a_defect_met_by_one_stays_with_it(world):
    world.push(1, 1)
    world.push(2, 1)
    real = world.hub.pull

    def pull(one):
        if one == pr(1):
            raise ZeroDivisionError
        return real(one)

    world.hub.pull = pull
    world.gate.open.set()
    world.begin()
    until(lambda: world.phase(2) is Phase.READY)
    until(lambda: pr(1) in world.box.waiting())
    assert world.workers.failed == {pr(1): "cx met a defect of its own"}


def test_the_timer_makes_up_for_every_lost_delivery(world):
    world.gate.open.set()
    world.workers.sync_s = 0.3
    world.push(1, 1)
    world.begin()
    until(lambda: world.phase(1) is Phase.READY)
    world.push(1, 2)
    world.push(2, 1)
    until(lambda: world.serving(1) == sha(1, 2) and world.phase(2) is Phase.READY)
    world.change(1, open=False)
    until(lambda: world.phase(1) is Phase.REMOVED)
    assert world.place(1) is None


def test_housekeeping_comes_with_each_comparison_and_stops_nothing(world):
    kept = []

    def housekeep() -> None:
        kept.append(1)
        raise (NotFound("the database server is away") if len(kept) % 2 else RuntimeError("a defect"))

    world.workers.sync_s = 0.01
    world.workers.housekeep = housekeep
    world.gate.open.set()
    world.push(1, 1)
    world.begin()
    until(lambda: len(kept) > 2 and world.phase(1) is Phase.READY)


def test_what_fails_again_and_again_is_not_tried_more_often_for_being_compared(world):
    """Else whoever makes it fail has one of the places for deployments for ever."""
    compared: list[int] = []
    given = world.computer.given

    def after(comparisons: int) -> int:
        least = len(compared) + comparisons
        until(lambda: len(compared) > least)
        return len(given)

    world.workers.sync_s = 0.01
    world.workers.housekeep = lambda: compared.append(1)
    world.computer.away = 99
    world.gate.open.set()
    world.push(1, 1)
    world.begin()
    until(lambda: bool(given))
    tried = after(2)
    assert after(5) == tried
    world.push(1, 2)  # without a delivery
    until(lambda: given[-1].commit == sha(1, 2))
    tried = after(2)
    assert after(5) == tried
    world.now += 2000
    until(lambda: len(given) > tried)


def test_tidying_takes_nobodys_place_and_ends_with_the_stop(world):
    """It lasts, and meanwhile everything else goes on; it is begun once, however many comparisons there are."""
    began = []

    def tidy(cancelled: Callable[[], bool]) -> None:
        began.append(1)
        while not cancelled():
            time.sleep(0.01)

    world.computer.tidy = tidy
    world.gate.open.set()
    world.begin()
    until(lambda: bool(began))
    world.push(1, 1)
    for _ in range(3):
        world.workers.ask_for_comparisons()
        world.workers.wake()
    until(lambda: world.phase(1) is Phase.READY)
    assert began == [1]


def test_what_cannot_be_tidied_stops_nothing(world):
    def tidy(cancelled: Callable[[], bool]) -> None:
        raise OSError("no such disk")

    world.computer.tidy = tidy
    world.gate.open.set()
    world.push(1, 1)
    world.begin()
    until(lambda: world.phase(1) is Phase.READY)


def test_the_end_of_a_look_that_the_disk_does_not_take_is_written_later(world):
    """Else the pull request would be taken for being looked at until the next start."""
    full, done = [True], world.box.done

    def refusing(ticket):
        if full and ticket.pull == pr(1):  # the comparison at the start may end before or after it
            raise Terminal("the disk is full")
        done(ticket)

    world.box.done = refusing
    world.gate.open.set()
    world.push(1, 1)
    world.begin()
    ask(world, 1)
    until(lambda: world.phase(1) is Phase.READY and pr(1) in world.workers._ended)
    assert pr(1) in world.box.running()
    full.clear()
    until(lambda: not world.box.running() and not world.box.waiting())
    world.push(1, 2)
    ask(world, 1)
    until(lambda: world.serving(1) == sha(1, 2))
