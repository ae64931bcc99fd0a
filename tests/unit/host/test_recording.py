"""The history says what each pass did, whoever asked for it, and also when a pass before it died."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from world import PR_7, Died, Silent, World, wish

from cx.core.errors import CxError, StartFailed
from cx.core.history import FRESH, SERVING
from cx.core.reconcile import Outcome
from cx.host.recording import Recorded
from cx.store import Database, Store
from cx.store.intent import KEPT
from cx.store.migrations import MIGRATIONS


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(Database(tmp_path / "cx.db"))
    yield store
    store.database.close()


def reconciled(world: World, store: Store) -> Outcome:
    return world.reconciler().reconcile(PR_7, Recorded(store, Silent()))


def history(store: Store) -> list[tuple[str, str]]:
    """Oldest first."""
    return [(one.doing, one.outcome) for one in reversed(store.deployments(PR_7))]


def test_a_life(store: Store) -> None:
    world = World()
    for wanted in (
        wish("a"), wish("a", asleep=True), wish("a", asleep=True), wish("a"), wish("a"), wish("a", reset=True),
        wish("b"), wish("a", reset=True), wish("a", asleep=True), wish("b"),
    ):  # fmt: skip
        world.want(wanted)
        reconciled(world, store)
    assert history(store) == [
        ("deploy", "ready"), ("sleep", "asleep"), ("wake", "awake"), ("reset", "ready"), ("deploy", "ready"),
        ("deploy", "ready"),  # another commit, with fresh data
        ("sleep", "asleep"), ("deploy", "ready"),  # what slept has been replaced, not woken
    ]  # fmt: skip
    assert [one.step for one in store.steps(PR_7) if one.deployment == 2] == ["route to sleep", "stop"]


def test_what_failed_and_what_died_was_tried(store: Store) -> None:
    world = World().brought_to(wish("a"))
    world.want(wish("a", asleep=True))
    with suppress(Died):
        reconciled(world.dying_after(1), store)
    reconciled(world.restarted(), store)
    world.want(wish("a"))
    world.failing = {"well"}
    with suppress(CxError):
        reconciled(world, store)
    assert history(store) == [("sleep", "died"), ("sleep", "asleep"), ("wake", "failed")]


EFFECTS = World().brought_to(wish("a")).brought_to(wish("c")).effects


@pytest.mark.parametrize(
    ("why", "outcome"),
    [
        (KeyError("some name"), "failed"),
        (OSError("a socket broke"), "failed"),
        (KeyboardInterrupt(), "interrupted"),
        (SystemExit(1), "interrupted"),
        (BrokenPipeError(), "interrupted"),
    ],
)
@pytest.mark.parametrize("effect", dict.fromkeys(EFFECTS))
def test_whatever_ends_a_pass_ends_its_attempt_and_takes_its_candidate_away(
    store: Store, effect: str, why: BaseException, outcome: str
) -> None:
    def end() -> None:
        raise why

    world = World().brought_to(wish("a"))
    world.want(wish("c"))
    world.hooks = {effect: end}
    with suppress(type(why)):
        reconciled(world, store)
    newest, place = store.deployments(PR_7)[0], world.places[PR_7]
    if effect in world.hooks:  # which only the way to the first revision has
        return
    assert (newest.outcome, bool(newest.finished_at)) == (outcome, True)
    assert not place.candidate
    assert {one.revision for one in place.containers.values()} - {"", place.route} <= {wish("a").revision}
    if outcome == "failed":
        (line,) = newest.log
        assert newest.message.startswith(f"a defect of cx ended it ({type(why).__name__})")
        assert line.startswith(f"builtins.{type(why).__name__} in cx.core.reconcile, line ")
        assert str(why) not in newest.message + line
    assert reconciled(world, store).outcome == "ready"
    assert world.litter(PR_7) == []


def test_what_cleaning_up_meets_does_not_hide_why_it_failed(store: Store) -> None:
    def end() -> None:
        raise KeyError

    world = World().brought_to(wish("a"))
    world.want(wish("b"))
    world.failing, world.hooks = {"well"}, {"stop container": end}
    with pytest.raises(StartFailed):
        reconciled(world, store)
    assert history(store) == [("deploy", "failed")]
    assert store.steps(PR_7)[-1].outcome == "failed"
    assert store.steps(PR_7)[-1].step == "clean up"


def test_an_interrupt_that_does_not_wait_for_the_pass_is_written_down(store: Store) -> None:
    recorded = Recorded(store, Silent())
    recorded.interrupted()
    recorded.began(wish("a"))
    recorded.interrupted()
    assert history(store) == []  # nothing was done
    recorded.step_began("build web")
    recorded.interrupted()
    assert history(store) == [("deploy", "interrupted")]
    recorded.ended("ready", None)
    recorded.interrupted()
    assert history(store) == [("deploy", "ready")]


def test_what_goes_is_told_until_it_is_gone(store: Store) -> None:
    world = World().brought_to(wish("a"))
    world.want(wish(None))
    with suppress(Died):
        reconciled(world.dying_after(2), store)
    assert history(store) == [("delete", "running")]
    reconciled(world.restarted(), store)
    assert history(store) == [("delete", "died"), ("delete", "deleted")]  # the world's rows are not the store's
    store.forget(PR_7)
    assert history(store) == []


@pytest.mark.parametrize(("asleep", "outcome"), [(False, "ready"), (True, "asleep")])
def test_data_that_was_brought_is_one_attempt_with_the_pass_behind_it(store: Store, asleep: bool, outcome: str) -> None:
    world = World().brought_to(wish("a", asleep=asleep))
    recorded = Recorded(store, Silent())
    recorded.data("restore", "restore before-lunch", lambda: None)
    assert world.reconciler().reconcile(PR_7, recorded).outcome == "unchanged"
    assert history(store) == [("restore", outcome)]
    assert [one.step for one in store.steps(PR_7)] == ["restore before-lunch"]


def test_data_that_could_not_be_brought_changed_nothing(store: Store) -> None:
    def bring() -> None:
        raise CxError("there is no such snapshot")

    with pytest.raises(CxError):
        Recorded(store, Silent()).data("restore", "restore nothing", bring)
    assert history(store) == []


def test_much_sleep_drives_no_deployment_out(store: Store) -> None:
    store.end(store.begin(wish("a"), 1.0), 2.0, "ready")
    for number in range(KEPT + 3):
        store.end(store.begin(wish("a"), float(number), "sleep"), 2.0, "asleep")
    assert [one.doing for one in store.deployments(PR_7)].count("sleep") == KEPT
    assert store.deployments(PR_7)[-1].doing == "deploy"
    last = store.last(PR_7, *FRESH)
    assert last
    assert (last.doing, store.last(PR_7, "wake"), store.last(PR_7, *SERVING)) == ("deploy", None, last)


def test_what_was_written_before_is_read_as_what_it_was(tmp_path: Path) -> None:
    import sqlite3

    path = tmp_path / "cx.db"
    before = next(n for n, one in enumerate(MIGRATIONS) if "COLUMN doing" in one)
    with sqlite3.connect(path) as old:
        old.executescript("".join(MIGRATIONS[:before]))
        old.execute(f"PRAGMA user_version = {before}")
        for outcome in ("ready", "awake"):
            old.execute(
                "INSERT INTO deployments (namespace, revision, version, started_at, outcome) VALUES (?,'r','v',1.0,?)",
                (PR_7.name, outcome),
            )
    old.close()
    store = Store(Database(path))
    assert history(store) == [("deploy", "ready"), ("wake", "awake")]
    store.database.close()


def test_another_wish_supersedes(store: Store) -> None:
    world = World().brought_to(wish("a"))
    world.want(wish("a", asleep=True))
    world.hooks["rest"] = lambda: world.want(replace(wish("a")))
    with suppress(CxError):
        reconciled(world, store)
    assert history(store) == [("sleep", "superseded")]
