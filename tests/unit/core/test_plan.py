"""plan() is pure: what it says of any state, whether or not the world could get into it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from world import NAMES, PR_7, World, blueprint, wish

from cx.core.plan import plan, settled
from cx.core.state import Clone, Container, Desired, Do, Observed, Stage, Step, flaps

NEVER_BEFORE_PUBLISH = {Do.RETIRE, Do.DROP, Do.UNTAG, Do.WITHDRAW, Do.REMOVE, Do.FORGET}
REVISIONS = [wish(letter).revision for letter in "abc"] + ["0123456789ab", ""]

containers = st.builds(
    Container,
    id=st.just("1"),
    name=st.sampled_from(["one", "two", "three"]),
    service=st.sampled_from(["web", "api", "db"]),
    role=st.sampled_from(["service", "release", "pooler", "pinned", "job"]),
    revision=st.sampled_from(REVISIONS),
    state=st.sampled_from(["created", "running", "exited", "dead"]),
    health=st.sampled_from(["", "starting", "healthy", "unhealthy"]),
    exit_code=st.sampled_from([0, 1]),
    data=st.sampled_from(["", "x"]),
    image=st.sampled_from(["nginx", NAMES.image(PR_7, "web", "a1")]),
)
clones = st.builds(
    Clone,
    source=st.sampled_from(["app", "stats", "old"]),
    database=st.just("t__preview_7__app"),
    complete=st.booleans(),
    created=st.sampled_from(["1", "2"]),
    littered=st.booleans(),
)
anything = st.builds(
    Observed,
    containers=st.lists(containers, max_size=4).map(tuple),
    networks=st.dictionaries(st.sampled_from(["n1", "n2"]), st.sampled_from(REVISIONS)),
    volumes=st.dictionaries(st.sampled_from(["v1", "v2"]), st.sampled_from(REVISIONS)),
    images=st.lists(st.sampled_from([NAMES.image(PR_7, "web", f"{one}1") for one in "abc"]), unique=True).map(tuple),
    clones=st.lists(clones, max_size=3, unique_by=lambda one: one.source).map(tuple),
    route=st.sampled_from(REVISIONS),
    candidate=st.booleans(),
    asleep=st.booleans(),
    checkouts=st.sampled_from([(), ("tree",)]),
)
present = st.builds(wish, st.sampled_from("abcd"), reset=st.booleans())
asleep = present.map(lambda one: replace(one, asleep=True))


def planned(wanted: Desired, seen: Observed) -> list[Stage]:
    return plan(wanted, seen, NAMES, blueprint(wanted.tree[0]) if wanted.present else None)


def steps(stages: list[Stage]) -> list[Step]:
    return [step for stage in stages for step in stage]


def dos(stages: list[Stage]) -> list[Do]:
    return [step.do for step in steps(stages)]


@pytest.mark.parametrize("letter", "abcd")
def test_nothing_is_to_be_done_where_it_is_done(letter: str) -> None:
    seen = World().brought_to(wish(letter)).observed()
    assert settled(wish(letter), seen)
    assert planned(wish(letter), seen) == []


@given(present | asleep, anything)
def test_a_plan_is_empty_just_where_all_is_settled(wanted: Desired, seen: Observed) -> None:
    assert (planned(wanted, seen) == []) == settled(wanted, seen)


@given(asleep, anything)
def test_sleeping_takes_nothing_away(wanted: Desired, seen: Observed) -> None:
    done = steps(planned(wanted, seen))
    assert {one.do for one in done} <= {Do.REST, Do.SLEEP, Do.REMOVE}
    assert {one.target for one in done if one.do is Do.REMOVE} <= {"checkouts"}


@given(present, anything)
def test_nothing_is_taken_away_before_the_new_revision_is_published(wanted: Desired, seen: Observed) -> None:
    done = dos(planned(wanted, seen))
    if done:
        before = done[: done.index(Do.PUBLISH)]
        assert NEVER_BEFORE_PUBLISH.isdisjoint(before)


@pytest.mark.parametrize(
    ("change", "is_settled"),
    [
        ({"health": "starting"}, True),
        ({"health": "starting", "restarted": True}, False),
        ({"health": "unhealthy"}, False),
        ({"state": "restarting"}, False),
    ],
)
def test_what_has_just_started_is_left_alone(change: dict[str, Any], is_settled: bool) -> None:
    """It serves, and has answered; the engine is still to ask it how it is."""
    seen = World().brought_to(wish("a")).observed()
    web = next(one for one in seen.containers if one.service == "web" and one.role == "service")
    now = replace(seen, containers=(*(set(seen.containers) - {web}), replace(web, **change)))
    assert settled(wish("a"), now) == is_settled
    assert not settled(wish("b"), now)


@pytest.mark.parametrize(
    ("restarts", "up_s", "ready_s", "now"),
    [
        (0, 5, 100, False),
        (1, 5, 100, True),
        (1, 61, 100, False),  # a minute without another is enough
        (5, 61, 1000, True),  # not after five of them
        (5, 301, 1000, False),
        (500, 3599, 9999, True),
        (500, 3601, 9999, False),  # an hour is enough for all
        (3, 20, 10, False),  # it ended while it was started, and was ready after that
    ],
)
def test_a_service_that_ends_again_and_again_is_not_well_between(
    restarts: int, up_s: float, ready_s: float, now: bool
) -> None:
    assert flaps(restarts, up_s, ready_s) == now


@given(present, anything)
def test_it_is_published_after_it_was_started_found_healthy_and_probed(wanted: Desired, seen: Observed) -> None:
    stages = planned(wanted, seen)
    if stages:
        shown = {Do.START, Do.AWAIT, Do.PROBE, Do.PUBLISH}
        order = [tuple(step.do for step in stage) for stage in stages if stage[0].do in shown]
        parts = blueprint(wanted.tree[0])
        quiet = {*parts.services, *parts.pinned} - {route.service for route in parts.routes}
        trial = (Do.PROBE, Do.STAY) if quiet else (Do.PROBE,)
        assert order == [(Do.START, Do.OFFER), (Do.AWAIT,), trial, (Do.PUBLISH,)]


@given(present, anything)
def test_a_step_stands_behind_what_it_waits_for(wanted: Desired, seen: Observed) -> None:
    for stage in planned(wanted, seen):
        kinds = [step.do for step in stage]
        for number, step in enumerate(stage):
            for need in step.needs:
                assert need not in kinds[number:]


@given(present, anything)
def test_poolers_run_before_anything_of_the_project_does(wanted: Desired, seen: Observed) -> None:
    stages = planned(wanted, seen)
    if stages:
        pooled = {Do.POOL} if blueprint(wanted.tree[0]).databases else set()
        first = {step.do for step in stages[0]}
        assert first >= {Do.LAY} | pooled
        assert first.isdisjoint({Do.PIN, Do.RELEASE, Do.START})


@given(present, anything)
def test_what_serves_is_made_anew_as_late_as_may_be(wanted: Desired, seen: Observed) -> None:
    """A release that fails, or a stateful service, takes nothing away from it."""
    stages = planned(wanted, seen)
    if stages:
        (made,) = [number for number, stage in enumerate(stages) if Do.CREATE in [step.do for step in stage]]
        (start,) = [number for number, stage in enumerate(stages) if Do.START in [step.do for step in stage]]
        assert made == (start - 1 if seen.route == wanted.revision else 0)


@given(present, anything)
def test_the_wanted_revision_is_not_retired_and_every_other_one_is(wanted: Desired, seen: Observed) -> None:
    stages = planned(wanted, seen)
    if stages:
        retired = {step.target for step in steps(stages) if step.do is Do.RETIRE} - {""}  # "": what outlived them
        assert retired == set(seen.revisions) - {wanted.revision}


@given(present, anything)
def test_what_the_revision_uses_is_neither_dropped_nor_untagged(wanted: Desired, seen: Observed) -> None:
    parts = blueprint(wanted.tree[0])
    for step in steps(planned(wanted, seen)):
        if step.do is Do.DROP:
            assert step.target not in {use.name for use in parts.databases}
        if step.do is Do.UNTAG:
            assert step.target not in {NAMES.image(PR_7, one.service, one.digest) for one in parts.builds}


@given(present, anything)
def test_data_is_thrown_away_only_when_that_is_wanted(wanted: Desired, seen: Observed) -> None:
    stages = planned(wanted, seen)
    reset = {step.target for step in steps(stages) if step.do is Do.RESET}
    uses = {use.name for use in blueprint(wanted.tree[0]).databases}
    assert reset == (uses if wanted.reset_data else set())


@given(present, anything)
def test_no_step_is_there_twice(wanted: Desired, seen: Observed) -> None:
    found = [step for step in steps(planned(wanted, seen)) if step.do is not Do.RETIRE]
    assert len(found) == len(set(found))


@given(anything)
def test_a_plan_for_absence_ends_in_forgetting_and_takes_all_before(seen: Observed) -> None:
    stages = planned(wish(None), seen)
    assert stages[-1] == (Step(Do.FORGET),)
    found = steps(stages)
    assert [step.do for step in found].count(Do.FORGET) == 1
    assert {step.target for step in found if step.do is Do.DROP} == {one.source for one in seen.clones}
    assert {step.target for step in found if step.do is Do.UNTAG} == set(seen.images)
    removed = {step.target for step in found if step.do is Do.REMOVE}
    there = {"containers": seen.containers, "networks": seen.networks, "volumes": seen.volumes}
    assert removed == {what for what, ones in (there | {"checkouts": seen.checkouts}).items() if ones}
    assert (Do.WITHDRAW in dos(stages)) == bool(seen.route or seen.candidate)


@given(anything)
def test_containers_go_before_what_they_hold_on_to(seen: Observed) -> None:
    stages = planned(wish(None), seen)
    at = {step: number for number, stage in enumerate(stages) for step in stage}
    gone = at.get(Step(Do.REMOVE, "containers"), -1)
    assert all(number > gone for step, number in at.items() if step.do not in (Do.WITHDRAW, Do.REMOVE))
    assert all(number > gone for step, number in at.items() if step.target in ("networks", "volumes"))


@given(present, anything)
def test_the_same_state_gives_the_same_plan(wanted: Desired, seen: Observed) -> None:
    assert planned(wanted, seen) == planned(wanted, seen)


def test_presence_needs_a_blueprint() -> None:
    with pytest.raises(ValueError, match="blueprint"):
        plan(wish("a"), Observed(), NAMES, None)


REACHED = World().brought_to(wish("a")).observed()


def without(role: str) -> Observed:
    return replace(REACHED, containers=tuple(one for one in REACHED.containers if one.role != role))


def with_each(role: str, **changes: object) -> Observed:
    changed = (replace(one, **changes) if one.role == role else one for one in REACHED.containers)
    return replace(REACHED, containers=tuple(changed))


@pytest.mark.parametrize(
    "seen",
    [
        pytest.param(replace(REACHED, route=""), id="not routed"),
        pytest.param(replace(REACHED, route=wish("b").revision), id="routed elsewhere"),
        pytest.param(replace(REACHED, candidate=True), id="a trial route"),
        pytest.param(replace(REACHED, checkouts=("x",)), id="a checkout of a pass that died"),
        pytest.param(replace(REACHED, clones=()), id="no clone"),
        pytest.param(replace(REACHED, clones=(replace(REACHED.clones[0], complete=False),)), id="a half-made clone"),
        pytest.param(replace(REACHED, clones=(replace(REACHED.clones[0], littered=True),)), id="half a snapshot"),
        pytest.param(replace(REACHED, clones=(replace(REACHED.clones[0], created="9"),)), id="other data"),
        pytest.param(replace(REACHED, clones=(*REACHED.clones, Clone("old", "x", True))), id="a clone too many"),
        pytest.param(replace(REACHED, images=(*REACHED.images, "t/preview-7/web:b1")), id="an image too many"),
        pytest.param(replace(REACHED, networks={**REACHED.networks, "n": "0123"}), id="a network of another revision"),
        pytest.param(replace(REACHED, volumes={**REACHED.volumes, "v": "0123"}), id="a volume of another revision"),
        pytest.param(without("service"), id="no service"),
        pytest.param(with_each("service", state="exited"), id="services have ended"),
        pytest.param(with_each("service", health="starting", restarted=True), id="services end again and again"),
        pytest.param(with_each("service", health="unhealthy"), id="services are unhealthy"),
        pytest.param(with_each("release", exit_code=1), id="the release failed"),
        pytest.param(with_each("release", state="running"), id="the release still runs"),
        pytest.param(without("pooler"), id="no pooler"),
    ],
)
def test_is_not_settled_with(seen: Observed) -> None:
    assert settled(wish("a"), REACHED)
    assert not settled(wish("a"), seen)


def test_what_a_snapshot_left_that_died_is_swept_and_the_release_is_not_repeated() -> None:
    done = steps(planned(wish("a"), replace(REACHED, clones=(replace(REACHED.clones[0], littered=True),))))
    assert Step(Do.CLONE, REACHED.clones[0].source) in done
    assert Do.RELEASE not in [one.do for one in done]


@pytest.mark.parametrize("change", [{"environment": "staging"}, {"values": {"A": "1"}}, {"tree": "b" * 40}])
def test_another_environment_value_or_tree_is_another_revision(change: dict[str, object]) -> None:
    assert replace(wish("a"), **change).revision != wish("a").revision


def test_a_commit_with_the_same_tree_is_the_same_revision() -> None:
    assert replace(wish("a"), commit="f" * 40, dirty=True).revision == wish("a").revision
