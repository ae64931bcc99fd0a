"""What was acknowledged is kept, in order, once for each pull request."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cx.pulls import Ticket
from cx.pulls.commands import Command, Verb
from cx.pulls.delivery import Delivery
from cx.pulls.values import PullId
from cx.store import Database
from cx.store.deliveries import KEPT_S, Deliveries
from examples import examples

PR_7, PR_8, PR_9 = (PullId("acme/shop", number) for number in (7, 8, 9))


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def queue(tmp_path: Path, clock: Clock) -> Iterator[Deliveries]:
    queue = Deliveries(Database(tmp_path / "cx.db"), clock)
    yield queue
    queue.database.close()


def taken(queue: Deliveries, now: float = 1000.0) -> Ticket:
    ticket = queue.take(now)
    assert ticket is not None
    return ticket


# --- the queue
def test_first_asked_is_first_taken_and_each_has_one_place(queue: Deliveries) -> None:
    for pull in (PR_7, PR_8, PR_7, PR_9, PR_8):
        queue.ask(pull)
    assert queue.waiting() == [PR_7, PR_8, PR_9]
    assert [queue.position(pull) for pull in (PR_7, PR_8, PR_9)] == [1, 2, 3]
    assert [taken(queue).pull for _ in range(3)] == [PR_7, PR_8, PR_9]
    assert queue.take(1000.0) is None
    assert queue.position(PR_7) == 0
    assert sorted(queue.running()) == [PR_7, PR_8, PR_9]


def test_what_is_done_is_gone(queue: Deliveries) -> None:
    queue.ask(PR_7)
    queue.done(taken(queue))
    assert (queue.waiting(), queue.running(), queue.take(9e9)) == ([], [], None)


def test_asked_while_it_is_looked_at_comes_again_behind_the_others(queue: Deliveries) -> None:
    queue.ask(PR_7, "first")
    queue.ask(PR_8)
    ticket = taken(queue)
    assert not queue.asked_since(ticket)
    queue.ask(PR_7, "second")
    assert queue.asked_since(ticket)
    assert taken(queue).pull == PR_8, "nobody looks at one pull request twice at once"
    assert queue.take(1000.0) is None
    queue.done(ticket)
    assert taken(queue).delivery == "second"


def test_what_failed_waits_until_it_is_due_or_asked_for(queue: Deliveries, clock: Clock) -> None:
    queue.ask(PR_7)
    queue.again(taken(queue), 1060.0)
    assert queue.take(1059.0) is None
    queue.ask(PR_8)
    assert queue.waiting() == [PR_8, PR_7], "one that is not due stands behind"
    assert taken(queue, 1060.0).pull == PR_7, "and has its old place when it is"
    queue.ask(PR_9, not_before=2000.0)
    assert taken(queue).pull == PR_8
    assert queue.take(1000.0) is None
    queue.ask(PR_9, not_before=3000.0)
    assert queue.take(2000.0) is not None, "the earlier of two holds"


def test_asked_for_at_once_while_it_waits_for_later(queue: Deliveries) -> None:
    queue.ask(PR_7, not_before=5000.0)
    queue.ask(PR_7)
    assert taken(queue).pull == PR_7


def test_what_failed_and_was_asked_for_meanwhile_does_not_wait(queue: Deliveries) -> None:
    queue.ask(PR_7)
    ticket = taken(queue)
    queue.ask(PR_7)
    queue.again(ticket, 9000.0)
    assert taken(queue).generation == 2


def test_what_a_dead_process_had_taken_is_due_again(queue: Deliveries) -> None:
    queue.ask(PR_7, "one")
    taken(queue)
    again = Deliveries(Database(queue.database.path))
    assert again.take(1000.0) is None
    assert again.recover() == 1
    assert taken(again).delivery == "one"
    again.database.close()


# --- the same, of any history: against a model that is a list
@dataclass
class Model:
    waiting: list[PullId] = field(default_factory=list)
    running: dict[PullId, Ticket] = field(default_factory=dict)
    asked: set[PullId] = field(default_factory=set)


@examples(60)
@given(history=st.lists(st.tuples(st.sampled_from(["ask", "take", "done", "again", "die"]), st.integers(0, 2))))
def test_nothing_that_was_asked_for_is_lost(tmp_path_factory: pytest.TempPathFactory, history: list) -> None:
    queue = Deliveries(Database(tmp_path_factory.mktemp("queue") / "cx.db"), lambda: 0.0)
    model, pulls = Model(), [PR_7, PR_8, PR_9]
    for what, which in history:
        pull = pulls[which]
        if what == "ask":
            queue.ask(pull)
            if pull in model.running:
                model.asked.add(pull)
            elif pull not in model.waiting:
                model.waiting.append(pull)
        elif what == "take":
            ticket = queue.take(0.0)
            assert (ticket.pull if ticket else None) == (model.waiting or [None])[0]
            if ticket:
                model.waiting.remove(ticket.pull)
                model.running[ticket.pull] = ticket
        elif what in ("done", "again") and pull in model.running:
            ticket = model.running.pop(pull)
            assert queue.asked_since(ticket) == (pull in model.asked)
            getattr(queue, what)(*((ticket,) if what == "done" else (ticket, 0.0)))
            if what == "again" or pull in model.asked:
                model.waiting.append(pull)
            model.asked.discard(pull)
        elif what == "die":
            queue.recover()
            model.waiting += list(model.running)
            model.running.clear()
            model.asked.clear()
        assert set(queue.waiting()) == set(model.waiting)
        assert set(queue.running()) == set(model.running)
        model.waiting = queue.waiting()  # the order after a retry is the queue's own
    queue.database.close()


# --- deliveries
def test_a_delivery_is_stored_with_what_it_asks_for(queue: Deliveries) -> None:
    assert queue.accept(Delivery("d-1", "pull_request", "opened", (PR_7,)))
    again = Deliveries(Database(queue.database.path))
    assert again.seen("d-1") == 1
    assert taken(again) == Ticket(PR_7, 1, "d-1")
    again.database.close()


def test_a_repeated_delivery_is_known_and_asks_again(queue: Deliveries) -> None:
    said = Command(PR_7, 5, Verb.DELETE, "ann", said_at=900.0, delivery="d-1")
    assert queue.accept(Delivery("d-1", "issue_comment", "created", (PR_7,), (said,)))
    queue.done(taken(queue))
    assert queue.unanswered(PR_7) == [said]
    queue.answered(said, "done")
    assert not queue.accept(Delivery("d-1", "issue_comment", "created", (PR_7,), (said,)))
    assert queue.seen("d-1") == 2
    assert queue.waiting() == [PR_7], "it still causes a look"
    assert queue.unanswered(PR_7) == [], "and says nothing twice"


def test_commands_come_in_the_order_in_which_they_were_said(queue: Deliveries) -> None:
    late = Command(PR_7, 6, Verb.DEPLOY, "ann", said_at=910.0, delivery="d")
    early = Command(PR_7, 5, Verb.EXTEND, "bob", "3d", said_at=900.0, line=1, delivery="d")
    first = Command(PR_7, 5, Verb.UNKNOWN, "bob", "", "no such", said_at=900.0, line=0, delivery="d")
    queue.accept(Delivery("d", "issue_comment", "created", (PR_7,), (late, early, first)))
    assert queue.unanswered(PR_7) == [first, early, late]
    assert queue.unanswered(PR_8) == []


def test_old_deliveries_are_swept_and_open_questions_are_not(queue: Deliveries, clock: Clock) -> None:
    old = [Command(PR_7, number, Verb.WAKE, "ann", said_at=1000.0, delivery="old") for number in (1, 2)]
    queue.accept(Delivery("old", "issue_comment", "created", (PR_7,), tuple(old)))
    queue.answered(old[0], "done")
    clock.now += KEPT_S + 7200
    queue.accept(Delivery("new", "ping"))
    assert (queue.seen("old"), queue.seen("new")) == (0, 1)
    assert queue.unanswered(PR_7) == [old[1]]


def test_how_often_it_was_tried_is_kept_until_somebody_asks_or_it_is_done(queue: Deliveries, clock: Clock) -> None:
    """Over a restart, too: else whoever ends the listener often would have it asked for all the time."""
    queue.ask(PR_7)
    queue.again(queue.take(clock.now), clock.now + 60, 3, "the remote has no such commit")
    again = Deliveries(queue.database, clock)
    again.recover()
    assert again.take(clock.now + 59) is None
    assert (again.tried(PR_7), again.troubled()) == (True, {PR_7: "the remote has no such commit"})
    ticket = again.take(clock.now + 60)
    assert ticket.tries == 3
    again.ask(PR_7)  # meanwhile
    again.again(ticket, clock.now + 600, 4, "the same")
    assert again.troubled() == {PR_7: "the same"}
    fresh = again.take(clock.now)
    assert fresh.tries == 0
    again.done(fresh)
    assert (again.tried(PR_7), again.troubled()) == (False, {})
