"""One pass, and what is left when the process dies anywhere in it. The world is in memory: see world.py."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextlib import suppress
from copy import deepcopy
from dataclasses import replace
from threading import Event
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from world import FAILURES, PR_7, PR_8, Died, Place, Silent, World, blueprint, wish

from cx.core.errors import CxError, ProbeFailed, Retryable, StartFailed
from cx.core.reconcile import Superseded
from cx.core.state import Desired

# name -> what was reached before, what is wanted now
HISTORIES: dict[str, tuple[list[Desired], Desired]] = {
    "deploy": ([], wish("a")),
    "deploy with stateful services": ([], wish("c")),
    "redeploy": ([wish("a")], wish("b")),
    "redeploy with other parts": ([wish("a")], wish("c")),
    "redeploy without any": ([wish("a")], wish("d")),
    "reset": ([wish("a")], wish("a", reset=True)),
    "redeploy with fresh data": ([wish("a")], wish("b", reset=True)),
    "sleep": ([wish("a")], wish("a", asleep=True)),
    "sleep with stateful services": ([wish("c")], wish("c", asleep=True)),
    "sleep before there is anything": ([], wish("a", asleep=True)),
    "wake": ([wish("a"), wish("a", asleep=True)], wish("a")),
    "wake with stateful services": ([wish("c"), wish("c", asleep=True)], wish("c")),
    "redeploy what sleeps": ([wish("a"), wish("a", asleep=True)], wish("c")),
    "fresh data for what sleeps": ([wish("a"), wish("a", asleep=True)], wish("a", reset=True)),
    "delete what sleeps": ([wish("c"), wish("c", asleep=True)], wish(None)),
    "delete": ([wish("a"), wish("c")], wish(None)),
    "delete what never was": ([], wish(None)),
}


class OneThread(Executor):
    """Does at once what it is given."""

    def __init__(self, max_workers: int) -> None:
        pass

    def submit(self, work: Callable[..., Any], /, *facts: Any, **more: Any) -> Future[Any]:
        done: Future[Any] = Future()
        try:
            done.set_result(work(*facts, **more))
        except BaseException as exc:  # noqa: BLE001 - raised again by the result
            done.set_exception(exc)
        return done


@pytest.fixture(autouse=True)
def one_thread(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Starting and ending 8,000 threads takes twice as long as all these passes; some tests keep them."""
    if "threads" not in request.keywords:
        monkeypatch.setattr("cx.core.reconcile.ThreadPoolExecutor", OneThread)


def prepared(history: str) -> World:
    before, wanted = HISTORIES[history]
    world = World().brought_to(*before)
    world.guarded = bool(before) and wanted.present and not wanted.asleep and not before[-1].asleep
    world.effects.clear()
    world.released.clear()
    world.want(wanted)
    return world


def deaths(*histories: str) -> list[tuple[str, int]]:
    """Every place to die in each history: before its first effect, between any two of them, after the last."""
    found = []
    for history in histories:
        world = prepared(history)
        world.reconcile()
        found += [(history, effects) for effects in range(len(world.effects) + 1)]
    return found


def reached(world: World, wanted: Desired) -> None:
    assert world.serving() == (wanted.revision if wanted.present and not wanted.asleep else "")
    if wanted.asleep:
        assert all(one.stopped for one in world.observed().containers)
        assert world.observed().asleep == bool(world.observed().route)
    else:
        assert world.litter() == []
    assert world.downtime == []


@pytest.mark.parametrize(("history", "dies_after"), deaths(*HISTORIES))
def test_converges_after_dying_between_and_inside_any_two_steps(history: str, dies_after: int) -> None:
    world = prepared(history)
    with suppress(Died):
        world.dying_after(dies_after).reconcile()
    world.restarted().reconcile()
    reached(world, wanted := HISTORIES[history][1])
    # The release has run once for each revision and data, and on what is there now.
    assert len(world.released) == len(set(world.released))
    if "sleep" not in history and "wake" not in history:
        assert ((wanted.revision, world.observed().data) in world.released) == (wanted.tree[:1] in {"a", "b"})


@pytest.mark.threads
@pytest.mark.parametrize("history", ["deploy with stateful services", "redeploy with other parts", "reset", "delete"])
def test_converges_with_steps_side_by_side(history: str) -> None:
    """The same as above, with the threads of a real pass."""
    for _, dies_after in deaths(history):
        test_converges_after_dying_between_and_inside_any_two_steps(history, dies_after)


@pytest.mark.parametrize(("history", "dies_after"), deaths("deploy with stateful services", "reset"))
def test_is_deleted_wherever_the_deploy_has_died(history: str, dies_after: int) -> None:
    world = prepared(history)
    with suppress(Died):
        world.dying_after(dies_after).reconcile()
    world.guarded = False
    world.want(wish(None))
    world.restarted().reconcile()
    assert world.leftovers() == []


@pytest.mark.parametrize("history", HISTORIES)
def test_a_second_pass_changes_nothing(history: str) -> None:
    world = prepared(history)
    world.reconcile()
    world.effects.clear()
    wanted = HISTORIES[history][1]
    if wanted.present:
        assert world.reconcile().outcome == "unchanged"
        assert world.effects == []
    else:
        assert world.reconcile().outcome == "deleted"
        assert set(world.effects) == {"forget ref", "forget"}


@pytest.mark.parametrize("letter", "acd")
def test_sleep_and_wake_only_stop_and_start_what_is_there(letter: str) -> None:
    world = World().brought_to(wish(letter))
    before = deepcopy(world.place(PR_7))
    world.effects.clear()
    world.want(wish(letter, asleep=True))
    assert world.reconcile().outcome == "asleep"
    assert set(world.effects) == {"rest", "stop container"}
    assert world.effects[0] == "rest"  # who asks is told before the first one stops
    world.effects.clear()
    world.want(wish(letter))
    assert world.reconcile().outcome == "awake"
    assert set(world.effects) == {"check out", "start container", "publish"}
    assert world.place(PR_7) == before


@pytest.mark.parametrize(
    ("what", "loses"),
    [
        ("clone", lambda place: place.clones.clear()),
        ("network", lambda place: place.networks.clear()),
        ("container", lambda place: place.containers.pop(next(iter(place.containers)))),
    ],
)
def test_what_was_lost_asleep_is_made_anew_at_waking(what: str, loses: Callable[[Place], object]) -> None:
    world = World().brought_to(wish("a"), wish("a", asleep=True))
    loses(world.place(PR_7))
    world.want(wish("a"))
    world.reconcile()
    reached(world, wish("a"))


def test_a_failed_deploy_of_what_sleeps_leaves_it_asleep() -> None:
    old = wish("a")
    world = World().brought_to(old, replace(old, asleep=True))
    world.failing = {"well"}
    world.want(wish("b"))
    with pytest.raises(CxError):
        world.reconcile()
    assert world.observed().asleep
    assert world.observed().revisions == (old.revision,)
    world.failing = set()
    world.want(old)
    world.reconcile()
    reached(world, old)


def test_a_wake_that_fails_is_tried_again() -> None:
    world = World().brought_to(wish("a"), wish("a", asleep=True))
    world.want(wish("a"))
    world.failing = {"probe"}
    with pytest.raises(CxError):
        world.reconcile()
    world.failing = set()
    world.reconcile()
    reached(world, wish("a"))


def test_sleep_told_during_a_deploy_ends_it() -> None:
    world = World()
    world.want(wish("a"))
    world.hooks["run release"] = lambda: world.want(wish("a", asleep=True))
    with pytest.raises(Superseded):
        world.reconcile()
    world.reconcile()
    reached(world, wish("a", asleep=True))


class Ends(Silent):
    """Whoever reads what is waited for wants something else."""

    def __init__(self, world: World, wanted: Desired) -> None:
        self.world, self.wanted, self.lines = world, wanted, list[str]()

    def line(self, step: str, text: str) -> None:
        if step == "healthy":
            self.lines.append(text)
            self.world.want(self.wanted)


@pytest.mark.parametrize("wanted", [wish(None), wish("b"), wish("a", asleep=True)], ids=["delete", "newer", "sleep"])
def test_a_wait_is_told_once_and_ends_when_something_else_is_wanted(wanted: Desired) -> None:
    world = World(waits=3)
    report = Ends(world, wanted)
    world.want(wish("a"))
    with pytest.raises(Superseded):
        world.reconciler().reconcile(PR_7, report)
    assert report.lines == ["waiting: all to be well"]
    assert world.waits == 1  # it looked again, and was told to end
    assert world.observed().revisions == ()


def test_nothing_is_checked_out_for_a_blueprint_that_is_known() -> None:
    world = World()
    world.want(wish("a"))
    known = replace(world.reconciler(), read=lambda wanted, _: blueprint(wanted.tree[0], wanted.namespace))
    known.reconcile(PR_7, Silent())
    assert world.serving() == wish("a").revision
    assert "check out" not in world.effects


class Builds(Silent):
    """Its builds go on until poolers run."""

    def __init__(self) -> None:
        self.steps, self.pooled = list[str](), Event()

    def line(self, step: str, text: str) -> None:
        assert self.pooled.wait(10)

    def step_ended(self, step: str, started_at: float, duration_s: float, outcome: str) -> None:
        self.steps.append(step)
        if step == "poolers":
            self.pooled.set()


@pytest.mark.threads
def test_poolers_start_while_an_image_is_built() -> None:
    world, builds = World(), Builds()
    world.want(wish("a"))
    world.reconciler().reconcile(PR_7, builds)
    assert builds.steps.index("poolers") < builds.steps.index("build web")
    assert world.serving() == wish("a").revision


def test_a_checkout_that_a_dead_pass_left_goes_though_none_is_needed() -> None:
    world = World()
    world.want(wish("a"))
    world.place(PR_7).checkouts = {"left"}
    known = replace(world.reconciler(), read=lambda wanted, _: blueprint(wanted.tree[0], wanted.namespace))
    known.reconcile(PR_7, Silent())
    assert world.observed().checkouts == ()


@pytest.mark.parametrize("history", HISTORIES)
def test_another_namespace_is_not_touched(history: str) -> None:
    world = prepared(history)
    world.brought_to(wish("c", namespace=PR_8))
    before = deepcopy(world.place(PR_8))
    world.reconcile()
    assert world.place(PR_8) == before
    assert world.serving(PR_8) == wish("c", namespace=PR_8).revision


# --- failures
@pytest.mark.parametrize("what", FAILURES)
def test_a_failed_redeploy_leaves_the_old_one_serving_and_nothing_of_its_own(what: str) -> None:
    old, new = wish("a"), wish("b")
    world = World().brought_to(old)
    world.guarded = True
    world.failing = {what}
    # `clone` fails only where there is something to clone.
    world.want(replace(new, reset_data=True) if what == "clone" else new)
    with pytest.raises(type(FAILURES[what])):
        world.reconcile()
    assert world.serving() == old.revision
    assert world.downtime == []
    assert world.observed().revisions == (old.revision,)
    assert not world.observed().candidate
    assert world.observed().checkouts == ()


@pytest.mark.parametrize("what", FAILURES)
def test_a_failed_first_deploy_leaves_no_container_network_or_route(what: str) -> None:
    world = World(failing={what})
    world.want(wish("a"))
    with pytest.raises(type(FAILURES[what])):
        world.reconcile()
    seen = world.observed()
    assert seen.revisions == ()
    assert not seen.route
    assert not seen.candidate
    assert seen.checkouts == ()


@pytest.mark.parametrize("what", FAILURES)
def test_deploys_when_what_failed_is_mended(what: str) -> None:
    world = World(failing={what})
    world.want(wish("a"))
    with suppress(CxError):
        world.reconcile()
    world.failing.clear()
    world.reconcile()
    reached(world, wish("a"))


def test_a_probe_that_failed_carries_the_last_words_of_what_runs() -> None:
    world = World(failing={"probe"})
    world.want(wish("a"))
    with pytest.raises(CxError) as caught:
        world.reconcile()
    assert caught.value.log == ("last words of api", "last words of web")


@pytest.mark.parametrize("what", ["remove container", "remove network", "withdraw candidate", "put back"])
@pytest.mark.parametrize("before", [[], [wish("a")]], ids=["first", "redeploy"])
def test_a_clean_up_that_fails_does_not_hide_why_the_deploy_failed(before: list[Desired], what: str) -> None:
    world = World().brought_to(*before)
    world.want(wish("c"))

    def in_use() -> None:
        raise Retryable("volume is in use")

    def does_not_answer() -> None:
        world.failing = {"probe"}
        world.hooks[what] = in_use

    def fails() -> None:
        world.hooks[what] = in_use
        raise ProbeFailed("no answer", log=["why"])

    world.hooks["publish"] = does_not_answer if what == "put back" else fails
    with pytest.raises(ProbeFailed, match="no answer") as caught:
        world.reconcile()
    assert caught.value.log[-1] == "clean up: volume is in use"
    assert len(caught.value.log) > 1
    world.failing.clear()
    world.reconcile()
    reached(world, wish("c"))


@pytest.mark.parametrize("what", ["remove container", "remove network"])
def test_all_else_is_cleaned_up_where_one_thing_cannot_be(what: str) -> None:
    """The candidate is withdrawn, and what outlives revisions goes, though the revision itself stays."""
    world = World(failing={"well"})
    world.want(wish("c"))

    def in_use() -> None:
        raise Retryable("it is in use")

    world.hooks[what] = in_use
    with pytest.raises(StartFailed):
        world.reconcile()
    seen = world.observed()
    assert seen.revisions == (wish("c").revision,)
    assert [one for one in seen.containers if one.role == "pinned"] == []
    assert not seen.candidate


@pytest.mark.parametrize("what", FAILURES)
@pytest.mark.parametrize("dies_after", range(12))
def test_converges_after_dying_in_the_clean_up_of_a_failure(what: str, dies_after: int) -> None:
    world = World().brought_to(wish("a"))
    world.guarded = True
    world.want(wish("b"))
    world.failing = {what}
    with suppress(Died, CxError):
        world.dying_after(dies_after).reconcile()
    world.failing.clear()
    world.restarted().reconcile()
    reached(world, wish("b"))


def test_the_old_revision_wanted_again_after_a_failed_one_leaves_nothing_of_that() -> None:
    world = World().brought_to(wish("a"))
    world.failing = {"well"}
    world.want(wish("b"))
    with suppress(CxError):
        world.reconcile()
    world.failing.clear()
    world.want(wish("a"))
    world.reconcile()
    reached(world, wish("a"))


def test_what_has_stopped_by_itself_is_started_again() -> None:
    world = World().brought_to(wish("a"))
    place = world.place(PR_7)
    name = next(one.name for one in place.containers.values() if one.role == "service")
    place.containers[name] = replace(place.containers[name], state="exited", exit_code=137)
    assert world.reconcile().outcome == "ready"
    reached(world, wish("a"))


@pytest.mark.parametrize("what", ["stop container", "untag", "drop database"])
def test_what_could_not_be_tidied_up_is_tidied_up_by_the_next_pass(what: str) -> None:
    world = World().brought_to(wish("a"))
    world.guarded = True

    def away() -> None:
        raise Retryable("the engine is away")

    world.hooks[what] = away
    world.want(wish("d"))
    with pytest.raises(Retryable):
        world.reconcile()
    world.reconcile()
    reached(world, wish("d"))


def test_the_release_does_not_run_again_because_an_unused_database_went() -> None:
    world = World().brought_to(wish("c"), wish("a"))
    assert world.reconcile().outcome == "unchanged"
    assert len(world.released) == 1


def test_a_database_that_was_dropped_by_hand_is_made_anew() -> None:
    world = World().brought_to(wish("a"))
    del world.place(PR_7).clones["app"]
    assert world.reconcile().outcome == "ready"
    reached(world, wish("a"))
    assert (wish("a").revision, world.observed().data) in world.released


def test_the_release_runs_on_data_that_a_failed_revision_has_reset() -> None:
    world = World().brought_to(wish("a"))
    world.failing = {"release"}
    world.want(wish("b", reset=True))
    with suppress(CxError):
        world.reconcile()
    world.failing.clear()
    world.want(wish("a"))
    world.reconcile()
    assert (wish("a").revision, world.observed().data) in world.released


# --- what a new revision no longer has, and what it cannot hold
def test_stateful_services_go_when_no_revision_has_them_any_more() -> None:
    world = World().brought_to(wish("c"), wish("a"))
    assert world.litter() == []


def test_the_old_one_serves_when_the_new_one_does_not_answer_once_published() -> None:
    world = World().brought_to(wish("a"))
    world.want(wish("b"))
    world.hooks["publish"] = lambda: world.failing.add("probe")
    with pytest.raises(CxError):
        world.reconcile()
    assert world.serving() == wish("a").revision


# --- more than one wish
@pytest.mark.parametrize("at", ["create network", "build web", "comment on database", "start container", "offer"])
def test_a_pass_stops_when_something_else_is_wanted(at: str) -> None:
    world = World().brought_to(wish("a"))
    world.guarded = True
    world.want(wish("b", reset=True))
    world.hooks[at] = lambda: world.want(wish("d"))
    with pytest.raises(Superseded):
        world.reconcile()
    assert world.serving() == wish("a").revision
    assert world.observed().revisions == (wish("a").revision,)
    world.reconcile()
    reached(world, wish("d"))


@pytest.mark.parametrize("at", ["create network", "build web", "comment on database", "start container", "offer"])
def test_a_delete_during_a_deploy_wins(at: str) -> None:
    world = World()
    world.want(wish("a"))
    world.hooks[at] = lambda: world.want(wish(None))
    with pytest.raises(Superseded):
        world.reconcile()
    assert world.reconcile().outcome == "deleted"
    assert world.leftovers() == []


@pytest.mark.parametrize("at", ["withdraw", "remove container", "drop database"])
def test_a_deploy_during_a_delete_wins(at: str) -> None:
    world = World().brought_to(wish("a"))
    world.want(wish(None))
    world.hooks[at] = lambda: world.want(wish("b"))
    with pytest.raises(Superseded):
        world.reconcile()
    world.reconcile()
    reached(world, wish("b"))


def test_the_row_stays_when_something_could_not_be_removed() -> None:
    world = World().brought_to(wish("a"))
    (image,) = world.place(PR_7).images
    world.want(wish(None))
    world.hooks["forget ref"] = lambda: pytest.fail("forgotten while something is there")
    # A container of it is started by hand, while it is deleted.
    world.hooks["remove network"] = lambda: world.place(PR_7).images.add(image)
    world.hooks["remove volume"] = lambda: world.place(PR_7).images.add(image)
    with pytest.raises(CxError, match=f"still there: image {image}"):
        world.reconcile()
    assert PR_7 in world.rows
    world.hooks.clear()
    world.reconcile()
    assert world.leftovers() == []


class Histories(RuleBasedStateMachine):
    """Any history of wishes, deaths, failures and passes ends, after one clean pass, in what is wanted."""

    @initialize()
    def begin(self) -> None:
        self.world = World()

    @rule(letter=st.sampled_from("abd"), reset=st.booleans())
    def want(self, letter: str, reset: bool) -> None:
        before = self.world.rows.get(PR_7)
        pending = bool(before and before.present and before.reset_data)
        self.world.want(wish(letter, reset=reset or pending))

    @rule()
    def want_absent(self) -> None:
        self.world.guarded = False
        self.world.want(wish(None))

    @rule(effects=st.integers(0, 40))
    def die(self, effects: int) -> None:
        with suppress(Died):
            self.world.dying_after(effects).reconcile()
        self.world.restarted()
        self._watch()

    @rule(what=st.sampled_from(sorted(FAILURES)))
    def fail(self, what: str) -> None:
        self.world.failing = {what}
        with suppress(CxError):
            self.world.reconcile()
        self.world.failing = set()
        self._watch()

    @rule(what=st.sampled_from(sorted(FAILURES)), effects=st.integers(0, 40))
    def fail_and_die(self, what: str, effects: int) -> None:
        self.world.failing = {what}
        with suppress(CxError, Died):
            self.world.dying_after(effects).reconcile()
        self.world.failing = set()
        self.world.restarted()
        self._watch()

    @rule()
    def settle(self) -> None:
        self.world.reconcile()
        wanted = self.world.rows.get(PR_7)
        assert self.world.litter() == []
        assert self.world.serving() == (wanted.revision if wanted else "")
        assert self.world.observed().data in {data for _, data in self.world.released} or not (
            wanted and wanted.tree[0] in "ab"
        )
        self._watch()

    def _watch(self) -> None:
        """What once serves goes on to serve, until it is not wanted any more."""
        wanted = self.world.rows.get(PR_7)
        self.world.guarded = bool(self.world.serving() and wanted and wanted.present)

    @invariant()
    def it_has_answered_all_the_time(self) -> None:
        assert self.world.downtime == []

    def teardown(self) -> None:
        self.settle()


TestHistories = Histories.TestCase
TestHistories.settings = settings(stateful_step_count=15)


def test_what_goes_does_not_wait_for_a_server_that_is_silent_and_is_not_forgotten() -> None:
    """Silence is not empty: its databases may be there still."""
    world = World().brought_to(wish("a"))
    world.want(wish(None))
    world.failing = {"databases"}
    for _ in range(2):
        with pytest.raises(Retryable, match="gone but for databases that may be left: the database server does not"):
            world.reconciler().reconcile(PR_7, Silent())
    world.failing = set()
    database, *rest = world.leftovers(PR_7)
    assert database.startswith("database ")
    assert rest == ["row", "ref"]
    assert world.reconciler().reconcile(PR_7, Silent()).outcome == "deleted"
    assert world.leftovers(PR_7) == []


def test_nothing_is_brought_to_anything_while_it_is_silent() -> None:
    world = World().brought_to(wish("a"))
    world.want(wish("b"))
    world.failing = {"databases"}
    before = list(world.effects)
    with pytest.raises(Retryable, match="the database server does not answer"):
        world.reconciler().reconcile(PR_7, Silent())
    assert world.effects == before
