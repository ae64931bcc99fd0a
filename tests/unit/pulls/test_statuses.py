"""Each commit that a pull request had gets one last status, and it is what happened."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from following import LIFETIME_S, OTHER, SHOP, Died, Place, World, pr, sha

from cx.core.errors import Terminal
from cx.core.names import Namespace
from cx.core.origin import Origin
from cx.pulls.commands import Verb
from cx.pulls.statuses import State, Status, combined
from cx.pulls.values import PullId
from cx.settings.github import Repository

PENDING, ERROR, FAILURE, SUCCESS = State


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def rows(world: World) -> list[tuple[str, bool]]:
    """What is kept of commits, and whether each is a head."""
    return [(row["sha"], bool(row["current"])) for row in world.database.run("SELECT * FROM heads ORDER BY sha")]


def during(world: World, effect: int, happens) -> None:
    def both() -> None:
        happens()
        world.box.ask(pr(7))

    world.computer.at[world.computer.effects + effect] = both


def test_a_life(world):
    world.push(7, 1)
    world.look(7)
    assert [one.state for one in world.hub.statuses[sha(7, 1)]][-1] is SUCCESS
    assert world.hub.statuses[sha(7, 1)][-1] == Status(SUCCESS, "Ready in 1 s", "http://preview-7-app.test")
    world.change(7, open=False)
    world.look(7)
    assert (world.state(7, 1), world.said_of(7, 1)) == (SUCCESS, "Was ready; its preview is removed")
    assert rows(world) == []


def test_what_served_stays_what_it_was_when_it_is_superseded(world):
    world.push(7, 1)
    world.look(7)
    world.push(7, 2)
    world.look(7)
    assert (world.state(7, 1), world.said_of(7, 1)) == (SUCCESS, "Ready in 1 s")
    assert world.state(7, 2) is SUCCESS
    assert rows(world) == [(sha(7, 2), True)]


@pytest.mark.parametrize("effect", range(1, 6))
def test_a_push_during_its_build_ends_it(world, effect):
    world.push(7, 1)
    during(world, effect, lambda: world.push(7, 2))
    world.look(7)
    world.settle()
    ready = world.computer.served >= {sha(7, 1)}
    assert world.state(7, 1) is (SUCCESS if ready else ERROR)
    assert ready or world.said_of(7, 1) == "Superseded by a newer commit before it was ready"
    assert (world.state(7, 2), rows(world)) == (SUCCESS, [(sha(7, 2), True)])


def test_what_waits_for_its_turn_is_superseded_too(world):
    world.push(7, 1)
    world.box.ask(pr(7))
    ticket = world.box.take(world.now)
    assert world.follower.look(ticket, may_deploy=False).parked
    world.push(7, 2)
    world.box.again(ticket, 0)
    world.work()
    assert [world.state(7, push) for push in (1, 2)] == [ERROR, SUCCESS]


@pytest.mark.parametrize("effect", range(1, 8))
def test_whoever_died_is_not_waited_for(world, effect):
    def die() -> None:
        raise Died

    world.push(7, 1)
    world.computer.at[effect] = die
    try:
        world.look(7)
    except Died:
        world.process()
    world.push(7, 2)
    world.settle()
    assert world.state(7, 1) in (None, ERROR, SUCCESS)
    assert (world.state(7, 1) is SUCCESS) is (sha(7, 1) in world.computer.served)
    assert (world.state(7, 2), rows(world)) == (SUCCESS, [(sha(7, 2), True)])


@pytest.mark.parametrize("effect", range(1, 6))
def test_a_close_makes_no_success_of_what_was_never_built(world, effect):
    world.push(7, 1)
    during(world, effect, lambda: world.change(7, open=False))
    world.look(7)
    world.settle()
    ready = sha(7, 1) in world.computer.served
    assert world.state(7, 1) is (SUCCESS if ready else ERROR)
    assert ready or world.said_of(7, 1) == "The pull request was closed before it was ready"
    assert rows(world) == []


def test_closed_before_anybody_looked_it_has_none(world):
    world.push(7, 1)
    world.change(7, open=False)
    world.look(7)
    assert (world.hub.statuses, rows(world)) == ({}, [])


def test_a_delete_by_command_makes_no_success_either(world):
    world.push(7, 1)
    during(world, 2, lambda: world.tell(7, Verb.DELETE))
    world.look(7)
    assert (world.state(7, 1), world.said_of(7, 1)) == (ERROR, "Deleted by command; /cx deploy brings it back")
    world.push(7, 2)
    world.settle()
    assert world.state(7, 2) is ERROR  # else a required check would be passed
    world.tell(7, Verb.DEPLOY)
    world.work()
    assert world.state(7, 2) is SUCCESS
    world.tell(7, Verb.DELETE)
    world.work()
    assert (world.state(7, 2), world.said_of(7, 2)) == (SUCCESS, "Was ready; its preview is removed")


def test_a_failure_stays_one(world):
    world.computer.broken.add(sha(7, 1))
    world.push(7, 1)
    world.look(7)
    assert (world.state(7, 1), world.said_of(7, 1)) == (FAILURE, "Failed at step build app")
    world.change(7, labels=frozenset({"no-preview"}))
    world.look(7)
    assert world.state(7, 1) is FAILURE
    world.change(7, open=False)
    world.settle()
    assert (world.state(7, 1), rows(world)) == (FAILURE, [])


def test_a_failed_host_is_no_failed_project(world):
    world.push(7, 1)
    world.computer.away = 1
    world.look(7)
    assert [one.state for one in world.hub.statuses[sha(7, 1)]][-1] is ERROR
    assert world.said_of(7, 1) == "The host of the previews failed; cx tries again"
    world.push(7, 2)
    world.settle()
    assert (world.state(7, 1), world.said_of(7, 1)) == (ERROR, "Superseded by a newer commit before it was ready")
    assert world.state(7, 2) is SUCCESS


# --- nothing is built
RULES = [
    (Repository(), {"labels": frozenset({"no-preview"})}, "it has the label `no-preview`"),
    (Repository(labels="preview"), {}, "it has no label `preview`"),
    (Repository(branches=["release/*"]), {}, "it is for another branch than those with previews"),
    (Repository(ignore=["docs/**"]), {}, "it changes only paths that need no preview"),
    (Repository(forks="never"), {"head_repository_id": OTHER}, "it comes from a fork"),
]


def ruled(folder: Path, rules: Repository, facts: dict[str, object], **more: object) -> World:
    given = {name: getattr(rules, name) for name in rules.__struct_fields__} | more
    world = World(folder, Repository(**given))
    world.push(7, 1, **facts)
    world.hub.paths[pr(7)] = ("docs/a.md",)
    return world


@pytest.mark.parametrize(("rules", "facts", "why"), RULES)
@pytest.mark.parametrize("lost", [False, True])
def test_where_nothing_is_built_a_required_check_is_passed(tmp_path, rules, facts, why, lost):
    world = ruled(tmp_path, rules, facts)
    if not lost:
        world.look(7)
    world.settle()  # by the comparison, if its delivery was lost
    assert (world.state(7, 1), world.said_of(7, 1)) == (SUCCESS, f"Not needed: {why}")
    assert len(world.hub.statuses[sha(7, 1)]) == 1
    asked = world.hub.asked["pull"]
    world.settle()
    assert world.hub.asked["pull"] == asked
    assert world.phase(7) is None  # and not a word on the pull request
    world.push(7, 2)
    world.settle()
    assert (world.state(7, 1), world.state(7, 2)) == (SUCCESS, SUCCESS)
    world.change(7, open=False)
    world.settle()
    assert (world.state(7, 2), rows(world)) == (SUCCESS, [])


@pytest.mark.parametrize(("rules", "facts", "why"), RULES)
def test_or_none_if_the_owner_says_so(tmp_path, rules, facts, why):
    world = ruled(tmp_path, rules, facts, not_needed="none")
    world.settle()
    assert (world.hub.statuses, rows(world)) == ({}, [])


def test_what_was_told_before_the_label_came_ends(tmp_path):
    for number, (not_needed, expected) in enumerate((("success", SUCCESS), ("none", ERROR))):
        (tmp_path / str(number)).mkdir()
        world = World(tmp_path / str(number), Repository(not_needed=not_needed))
        world.push(7, 1)
        during(world, 2, lambda world=world: world.change(7, labels=frozenset({"no-preview"})))
        world.look(7)
        assert world.state(7, 1) is expected
        world.change(7, labels=frozenset())
        world.look(7)
        assert world.state(7, 1) is SUCCESS
        assert world.said_of(7, 1).startswith("Ready")


def test_a_draft_has_none_as_it_cannot_be_merged(tmp_path):
    world = World(tmp_path, Repository(drafts=False))
    world.push(7, 1, draft=True)
    world.settle()
    assert world.hub.statuses == {}
    world.change(7, draft=False)
    during(world, 2, lambda: world.change(7, draft=True))
    world.look(7)
    assert (world.state(7, 1), world.said_of(7, 1)) == (ERROR, "Ended: it is a draft")
    world.push(7, 2)
    world.settle()
    assert (world.state(7, 2), rows(world)) == (None, [])


def test_its_time_is_over(world):
    world.push(7, 1)
    world.look(7)
    world.now += LIFETIME_S
    world.settle()
    assert (world.state(7, 1), world.said_of(7, 1)) == (SUCCESS, "Was ready; its preview is removed")


def test_a_fork_that_nobody_approves(world):
    world.push(7, 1, head_repository_id=OTHER)
    world.look(7)
    assert (world.state(7, 1), world.said_of(7, 1)) == (PENDING, "Waiting for approval: /cx approve")
    world.push(7, 2)
    world.look(7)
    assert [world.state(7, push) for push in (1, 2)] == [ERROR, PENDING]
    world.change(7, open=False)
    world.settle()
    assert [world.state(7, push) for push in (1, 2)] == [ERROR, ERROR]
    assert rows(world) == []


def test_a_name_that_is_taken(world):
    world.computer.places[Namespace("preview-7")] = Place("c", Origin.folder("/srv/x"), serving="c")
    world.push(7, 1)
    world.look(7)
    assert (world.state(7, 1), world.said_of(7, 1)) == (
        ERROR,
        "preview-7 belongs to somebody else on the previews' host",
    )
    del world.computer.places[Namespace("preview-7")]
    world.settle()
    assert world.state(7, 1) is SUCCESS


# --- the same commit again


def test_a_reopened_pull_request_is_true_again(world):
    world.push(7, 1)
    world.look(7)
    world.change(7, open=False)
    world.look(7)
    world.change(7, open=True)
    world.look(7)
    assert (world.state(7, 1), world.said_of(7, 1)) == (SUCCESS, "Ready in 1 s")


def test_a_push_back_to_an_earlier_commit_is_true_again(world):
    world.push(7, 1)
    during(world, 2, lambda: world.push(7, 2))
    world.look(7)
    assert [world.state(7, push) for push in (1, 2)] == [ERROR, SUCCESS]
    world.push(7, 1)
    world.look(7)
    assert [world.state(7, push) for push in (1, 2)] == [SUCCESS, SUCCESS]
    assert rows(world) == [(sha(7, 1), True)]


def test_back_again_before_github_was_told(world):
    world.push(7, 1)
    world.hub.deaf = True
    during(world, 2, lambda: world.push(7, 2))
    world.look(7)
    world.push(7, 1)
    world.look(7)
    world.settle()
    assert [world.state(7, push) for push in (1, 2)] == [SUCCESS, SUCCESS]


def test_two_pull_requests_with_one_head(world):
    """GitHub has one status of a commit: the worst of those whose head it is."""
    world.push(7, 1)
    world.push(8, 1)
    world.change(8, head=sha(7, 1), labels=frozenset({"no-preview"}))
    world.look(7, 8)
    assert world.said_of(7, 1) == "Ready in 1 s"  # rather than "not needed"
    world.change(7, open=False)
    world.look(7)
    assert world.said_of(7, 1) == "Not needed: it has the label `no-preview`"
    world.change(8, labels=frozenset())
    world.computer.broken.add(sha(7, 1))
    world.look(8)
    assert world.state(7, 1) is FAILURE
    world.change(8, open=False)
    world.look(8)
    assert (world.state(7, 1), rows(world)) == (FAILURE, [])


def test_the_worst_of_those_whose_head_it_is():
    ready, not_needed = Status(SUCCESS, "r", "http://x"), Status(SUCCESS, "n")
    failed, waits = Status(FAILURE, "f"), Status(PENDING, "p", final=False)
    one, two = PullId(SHOP, 1), PullId(SHOP, 2)
    assert combined([(one, ready, True), (two, failed, True)]) == (two, failed)
    assert combined([(one, ready, True), (two, failed, False)]) == (one, ready)
    assert combined([(one, waits, True), (two, failed, True)]) == (one, waits)
    assert combined([(one, not_needed, True), (two, ready, True)]) == (two, ready)
    assert combined([(one, not_needed, False), (two, failed, False)]) == (two, failed)


# --- GitHub does not take it


def test_what_github_does_not_take_is_told_later_and_never_lost(world):
    world.push(7, 1)
    world.look(7)
    world.hub.deaf = True
    world.push(7, 2)
    world.look(7)
    world.push(7, 3)
    world.look(7)
    world.change(7, open=False)
    world.look(7)
    world.process()  # and it ends before GitHub is well
    assert world.said_of(7, 1) == "Ready in 1 s"
    world.settle()
    assert [world.state(7, push) for push in (1, 2, 3)] == [SUCCESS, SUCCESS, SUCCESS]
    assert world.said_of(7, 3) == "Was ready; its preview is removed"
    assert rows(world) == []


def test_a_github_that_refuses_is_asked_once_in_a_while_and_nothing_grows(world, monkeypatch):
    asked = []

    def refuses(pull, sha, status, urgency):
        asked.append(sha)
        raise Terminal("the token may not")

    monkeypatch.setattr(world.hub, "status", refuses)
    for push in range(1, 30):
        world.push(7, push)
        world.look(7)
    asked.clear()
    world.now += 300
    world.box.ask(pr(0))
    world.work()
    assert len(asked) == 1
    assert len(rows(world)) == 29
    world.now += 31 * 86400
    world.follower.heads.leave([SHOP], "")
    assert rows(world) == [(sha(7, 29), True)]


def test_a_repository_that_is_not_followed_any_more(world):
    world.push(7, 1)
    world.push(8, 1)
    world.look(7)
    world.box.ask(pr(8))
    ticket = world.box.take(world.now)
    world.follower.look(ticket, may_deploy=False)
    for repository in world.follower.heads.leave([], "not followed"):
        world.follower.tell_statuses(repository)
    while world.telling.turn():
        pass
    assert (world.state(8, 1), world.said_of(8, 1)) == (ERROR, "not followed")
    assert world.state(7, 1) is SUCCESS
    assert rows(world) == []
    world.box.done(ticket)
    world.settle()  # followed again: the comparison misses the status
    assert [world.state(number, 1) for number in (7, 8)] == [SUCCESS, SUCCESS]
    assert rows(world) == [(sha(7, 1), True), (sha(8, 1), True)]


def test_a_host_of_before_finds_out_what_is_so(world):
    """It has rows of pull requests, and none of commits."""
    world.push(7, 1)
    world.look(7)
    world.database.run("DELETE FROM heads")
    world.hub.statuses.clear()
    world.process()
    world.settle()
    assert (world.state(7, 1), world.computer.builds[sha(7, 1)]) == (SUCCESS, 1)
    known = world.follower.pulls.known(pr(7))
    assert replace(known, unsaid=False) == known
