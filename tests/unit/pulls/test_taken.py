"""Another origin owns the namespace that a pull request would have: it is left alone, and people read why."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
from following import OTHER, Place, World, pr, sha

from cx.core.names import Namespace
from cx.core.origin import Origin
from cx.forges.github.comment import body
from cx.pulls.commands import Command, Verb
from cx.pulls.delivery import Delivery
from cx.pulls.planning import planned
from cx.pulls.values import Phase

NAME = Namespace("preview-7")
OWNERS = [
    Origin.folder("/srv/secret-project"),
    Origin.upload(NAME),
    Origin.pulls_of("acme/secret-project"),
]
FORK = Origin.pulls_of("acme/shop", fork=True)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def owned(world: World, origin: Origin = OWNERS[0], commit: str = "") -> Place:
    """The namespace of pull request 7 is somebody else's, and serves; what it is now."""
    commit = commit or sha(7, 1)  # also the very commit
    place = Place(commit, origin, serving=commit, parts={f"route {commit}", f"start {commit}"})
    world.computer.places[NAME] = place
    return copy.deepcopy(place)


@pytest.mark.parametrize("origin", OWNERS, ids=str)
def test_it_is_left_alone_whatever_happens(world, origin):
    before = owned(world, origin)
    world.push(7, 1)
    world.look(7)
    assert world.phase(7) is Phase.TAKEN
    for verb, argument in (
        (Verb.DEPLOY, ""), (Verb.RESET_DB, ""), (Verb.SLEEP, ""), (Verb.WAKE, ""), (Verb.EXTEND, "3d"),
        (Verb.LOGS, "app"), (Verb.DELETE, ""), (Verb.DEPLOY, ""),
    ):  # fmt: skip
        world.tell(7, verb, argument)
        world.work()
        assert (world.place(7), world.phase(7)) == (before, Phase.TAKEN), verb
    world.push(7, 2)
    world.settle()
    assert (world.place(7), world.hub.shown[pr(7)].head, world.phase(7)) == (before, sha(7, 2), Phase.TAKEN)
    world.change(7, open=False)
    world.settle()
    assert (world.place(7), world.phase(7)) == (before, Phase.TAKEN)
    assert world.follower.pulls.known(pr(7)) is None
    assert (world.computer.fetched, world.computer.given) == ([], [])


def test_what_was_a_forks_is_not_handed_to_the_repositorys_own(world):
    """The data that one may have is not the other's. To remove it is enough to be the pull request of this number."""
    before = owned(world, FORK)
    world.push(7, 1)
    world.look(7)
    assert (world.place(7), world.phase(7)) == (before, Phase.TAKEN)
    world.tell(7, Verb.DELETE)
    world.work()
    assert (world.place(7), world.phase(7)) == (None, Phase.REMOVED)
    world.tell(7, Verb.DEPLOY)
    world.work()
    assert world.place(7).origin == Origin.pulls_of("acme/shop")


def test_the_words_name_no_other_owner_and_show_nothing_of_theirs(world):
    owned(world)
    world.push(7, 1)
    world.look(7)
    world.tell(7, Verb.LOGS, "app")
    world.work()
    report = world.hub.shown[pr(7)]
    assert (report.services, report.databases, report.serving, report.log) == ((), (), "", ())
    text = body(report)
    assert "`preview-7` belongs to somebody else" in text
    assert "`cx delete --namespace preview-7`" in text
    assert "secret" not in text
    assert "it began" not in text
    assert "is gone" not in text


def test_it_is_not_looked_at_again_until_something_changes(world):
    owned(world)
    world.push(7, 1)
    world.settle()
    asked = world.hub.asked["pull"]
    world.settle()
    assert world.hub.asked["pull"] == asked


def test_it_is_deployed_when_the_name_is_free(world):
    owned(world)
    world.push(7, 1)
    world.settle()
    del world.computer.places[NAME]
    world.settle()
    assert (world.phase(7), world.serving(7), world.place(7).origin) == (
        Phase.READY, sha(7, 1), Origin.pulls_of("acme/shop"),
    )  # fmt: skip
    world.change(7, open=False)
    world.settle()
    assert (world.place(7), world.phase(7)) == (None, Phase.REMOVED)


def test_what_somebody_takes_over_is_no_longer_shown_nor_deleted(world):
    world.push(7, 1)
    world.settle()
    before = owned(world)
    world.settle()  # nobody told the pull request
    assert world.phase(7) is Phase.TAKEN
    world.change(7, open=False)
    world.settle()
    assert world.place(7) == before


@pytest.mark.parametrize("effect", range(1, 8))
def test_what_is_taken_over_in_the_middle_is_lost(world, effect):
    """The job itself is refused, in words that name the owner: they are not told."""
    world.push(7, 1)
    world.computer.at[world.computer.effects + effect] = lambda: owned(world)
    world.look(7)
    world.settle()
    if world.computer.places[NAME].origin == OWNERS[0]:
        assert world.phase(7) is Phase.TAKEN
    assert all("secret" not in report.message + "".join(report.notes) for report in world.hub.history[pr(7)])


def test_a_job_that_is_refused_tells_nobody_why(world, monkeypatch):
    world.push(7, 1)
    fetch = world.computer.fetch

    def fetched(*given, **more):
        found = fetch(*given, **more)
        owned(world)
        return found

    monkeypatch.setattr(world.computer, "fetch", fetched)
    world.look(7)
    assert [one.action for one in world.computer.given] == ["deploy"]
    assert [one.phase for one in world.hub.history[pr(7)]][-1] is Phase.TAKEN
    assert all("secret" not in report.message for report in world.hub.history[pr(7)])


def test_a_fork_that_waits_is_told_so_too(world):
    owned(world)
    world.push(7, 1, head_repository_id=OTHER)
    world.settle()
    assert world.phase(7) is Phase.TAKEN
    asked = world.hub.asked["pull"]
    world.settle()
    assert world.hub.asked["pull"] == asked
    del world.computer.places[NAME]
    world.settle()
    assert world.phase(7) is Phase.HELD


def test_a_plan_says_so(world):
    owned(world)
    world.push(7, 1)
    assert planned(world.follower, pr(7)) == "acme/shop#7: nothing to do: another origin owns preview-7"


# --- what the host's people do by hand to a pull request's own namespace


def by_hand(world: World, verb: Verb) -> None:
    command = Command.by_hand(pr(7), verb, world.now)
    world.box.accept(Delivery(f"by hand {verb}", "by hand", asks=(pr(7),), commands=(command,)))


def test_a_delete_by_hand_is_told_and_stays(world):
    world.push(7, 1)
    world.look(7)
    by_hand(world, Verb.DELETE)
    world.work()
    assert (world.place(7), world.phase(7)) == (None, Phase.REMOVED)
    assert world.hub.reactions == {}  # there is no comment to react to
    world.settle()
    assert world.place(7) is None
    world.tell(7, Verb.DEPLOY)
    world.work()
    assert world.phase(7) is Phase.READY


def test_a_delete_by_hand_ends_a_build(world):
    world.push(7, 1)
    world.computer.at[world.computer.effects + 2] = lambda: by_hand(world, Verb.DELETE)
    world.look(7)
    assert (world.place(7), world.computer.builds) == (None, {})


def test_no_comment_is_taken_for_a_hand(world):
    assert not world.say(7, Verb.DELETE).commands[0].is_by_hand
