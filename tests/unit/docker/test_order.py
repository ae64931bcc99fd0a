"""Services start when what they wait for is so: in every order that their ends and healths may come in."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cx.core.blueprint import Blueprint
from cx.core.state import Container
from cx.docker.order import COMPLETED, HEALTHY, STARTED, Need, Order

NAMES = "abcdef"


def blueprint(services: dict[str, dict[str, str]], pinned: dict[str, dict[str, str]] | None = None) -> Blueprint:
    def model(needs: dict[str, str]) -> dict[str, Any]:
        return {"image": "x", "depends_on": {other: {"condition": how} for other, how in needs.items()}}

    given = [{name: model(needs) for name, needs in one.items()} for one in (services, pinned or {})]
    return Blueprint(given[0], given[1], ())


def container(name: str, state: str = "running", health: str = "", code: int = 0) -> Container:
    return Container(name, name, name, "service", "r", state, health, code)


@pytest.mark.parametrize(
    ("condition", "now", "met"),
    [
        (STARTED, container("b"), True),
        (STARTED, container("b", "exited", code=1), True),
        (HEALTHY, container("b"), False),
        (HEALTHY, container("b", health="starting"), False),
        (HEALTHY, container("b", health="unhealthy"), False),
        (HEALTHY, container("b", health="healthy"), True),
        (HEALTHY, container("b", "exited", health="healthy"), False),
        (COMPLETED, container("b"), False),
        (COMPLETED, container("b", "restarting"), False),
        (COMPLETED, container("b", "exited", code=3), False),
        (COMPLETED, container("b", "exited"), True),
    ],
)
def test_what_is_waited_for(condition: str, now: Container, met: bool) -> None:
    order = Order.of(blueprint({"a": {"b": condition}, "b": {}}))
    assert (not list(order.unmet("a", {"b": [now]}, ()))) == met
    assert list(order.unmet("a", {"b": [now]}, {"b"}))  # not while it was not started by this revision
    both = [container("b", "exited", "healthy"), now]  # every replica counts
    assert condition in (STARTED, COMPLETED) or not met or list(order.unmet("a", {"b": both}, ()))


def test_what_is_not_there_is_neither_healthy_nor_complete() -> None:
    order = Order.of(blueprint({"a": {"b": HEALTHY, "c": COMPLETED}, "b": {}, "c": {}}))
    assert {need.service for need in order.unmet("a", {}, ())} == {"b", "c"}


def test_a_service_that_became_a_clone_is_waited_for_by_nobody() -> None:
    assert Order.of(blueprint({"a": {"db": HEALTHY}})).needs == {"a": ()}


def test_what_outlives_revisions_waits_for_jobs_of_a_revision_alone() -> None:
    """The release command runs between the two: what it is to prepare for must not run before."""
    order = Order.of(blueprint({"web": {"store": HEALTHY}, "init": {}}, {"store": {"init": COMPLETED, "web": STARTED}}))
    assert order.needs["store"] == (Need("store", "init", COMPLETED),)
    assert order.needs["web"] == (Need("web", "store", HEALTHY),)
    assert order.with_all(["store"]) == {"store", "init"}
    assert order.with_all(["web"]) == {"web", "store", "init"}


def test_it_says_who_waits_for_what() -> None:
    assert str(Need("web", "migrate", COMPLETED)) == "web waits for migrate to complete"
    assert str(Need("web", "db", HEALTHY)) == "web waits for db to be healthy"


@st.composite
def acyclic(draw: st.DrawFn) -> dict[str, dict[str, str]]:
    """Each service is waited for in one way, by any of those behind it."""
    names = NAMES[: draw(st.integers(1, len(NAMES)))]
    how = {name: draw(st.sampled_from([STARTED, HEALTHY, COMPLETED])) for name in names}
    needs = {}
    for number, name in enumerate(names):
        others = draw(st.sets(st.sampled_from(names[:number]))) if number else set()
        needs[name] = {other: how[other] for other in others}
    return needs


BECOMES = {HEALTHY: ("running", "healthy"), COMPLETED: ("exited", "")}


@given(acyclic(), st.data())
def test_all_start_each_after_what_it_waits_for(needs: dict[str, dict[str, str]], data: st.DataObject) -> None:
    order, started, present = Order.of(blueprint(needs)), list[str](), dict[str, list[Container]]()
    pending = set(needs)
    while pending:
        unmet = {name: list(order.unmet(name, present, pending)) for name in sorted(pending)}
        if ready := [name for name, these in unmet.items() if not these]:
            name = data.draw(st.sampled_from(ready))
            started.append(name)
            pending.remove(name)
            present[name] = [container(name, health="starting")]
        else:  # something happens to one of those that are waited for
            waited = {need.service: need for these in unmet.values() for need in these if need.service not in pending}
            need = waited[data.draw(st.sampled_from(sorted(waited)))]
            present[need.service] = [container(need.service, *BECOMES[need.condition])]
    assert sorted(started) == sorted(needs)
    for number, name in enumerate(started):
        assert set(needs[name]) <= set(started[:number])
