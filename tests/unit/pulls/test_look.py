"""One look at a pull request: what there is afterwards, on the host and on GitHub."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from following import LIFETIME_S, OTHER, Died, World, pr, sha

from cx.core.errors import Retryable, Terminal
from cx.core.origin import Origin
from cx.pulls import ForgeFailed, Moved
from cx.pulls.commands import Verb
from cx.pulls.planning import planned
from cx.pulls.values import Phase
from cx.settings.github import Repository


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_an_open_pull_request_gets_its_preview(world):
    world.push(7, 1)
    world.look(7)
    report = world.hub.shown[pr(7)]
    assert (report.phase, report.head, report.serving) == (Phase.READY, sha(7, 1), sha(7, 1))
    assert report.services[0].url
    assert world.serving(7) == sha(7, 1)
    # The announcements of progress went to a thread that does not run here.
    assert [one.phase for one in world.hub.history[pr(7)]] == [Phase.READY]


def test_nothing_is_built_twice(world):
    world.push(7, 1)
    world.look(7)
    world.look(7)
    assert world.computer.builds[sha(7, 1)] == 1


def test_a_closed_one_goes_without_a_trace(world):
    world.push(7, 1)
    world.look(7)
    world.change(7, open=False)
    world.look(7)
    assert world.place(7) is None
    assert world.phase(7) is Phase.REMOVED
    assert world.computer.mirror == {}
    assert world.follower.pulls.known(pr(7)) is None
    asked = world.hub.asked.total()
    world.look(7)
    assert world.hub.asked.total() == asked + 1  # one reading, and nothing said again


def test_one_that_gets_no_preview_is_not_written_on(world):
    world.push(7, 1, labels=frozenset({"no-preview"}))
    world.look(7)
    assert world.phase(7) is None
    assert world.follower.pulls.known(pr(7)) is None


def test_a_label_takes_the_preview_away_and_gives_it_back(world):
    world.push(7, 1)
    world.look(7)
    world.change(7, labels=frozenset({"no-preview"}))
    world.look(7)
    assert (world.place(7), world.phase(7)) == (None, Phase.REMOVED)
    world.change(7, labels=frozenset())
    world.look(7)
    assert world.phase(7) is Phase.READY


def test_a_failed_commit_is_not_tried_again_until_somebody_says_so(world):
    world.computer.broken.add(sha(7, 2))
    world.push(7, 1)
    world.look(7)
    world.push(7, 2)
    world.look(7)
    report = world.hub.shown[pr(7)]
    assert (report.phase, report.step, report.serving) == (Phase.FAILED, "build app", sha(7, 1))
    assert report.log == ("no such file",)
    world.look(7)
    world.settle()
    assert world.computer.builds[sha(7, 2)] == 1
    world.computer.broken.clear()
    world.tell(7, Verb.DEPLOY)
    world.work()
    assert world.phase(7) is Phase.READY
    assert world.hub.reactions == {1: 1}


def test_a_failing_github_never_fails_a_preview(world):
    world.push(7, 1)
    world.hub.deaf = True
    world.look(7)
    assert world.serving(7) == sha(7, 1)
    assert world.follower.pulls.known(pr(7)).unsaid
    world.hub.deaf = False
    world.process()
    world.settle()
    assert world.phase(7) is Phase.READY
    assert world.computer.builds[sha(7, 1)] == 1
    assert not world.follower.pulls.known(pr(7)).unsaid


def test_an_engine_that_is_away_is_waited_for(world):
    world.push(7, 1)
    world.computer.away = 2
    world.look(7)
    assert world.serving(7) == ""
    world.settle()
    assert world.phase(7) is Phase.READY


# --- while it runs


def during(world: World, effect: int, happens: Callable[[], None]) -> None:
    """`happens` at the `effect`th effect from now on, and its delivery comes."""

    def both() -> None:
        happens()
        world.box.ask(pr(7))

    world.computer.at[world.computer.effects + effect] = both


@pytest.mark.parametrize("effect", range(1, 6))
def test_a_push_ends_the_build_of_the_old_commit(world, effect):
    world.push(7, 1)
    during(world, effect, lambda: world.push(7, 2))
    world.look(7)
    assert world.serving(7) == sha(7, 2)
    assert world.hub.shown[pr(7)].head == sha(7, 2)
    assert world.computer.builds[sha(7, 1)] <= (effect > 3)
    assert sha(7, 1) not in [one.head for one in world.hub.history[pr(7)] if one.phase is Phase.READY]


def test_of_two_pushes_only_the_newest_is_built(world):
    world.push(7, 1)
    during(world, 2, lambda: world.push(7, 2) and world.push(7, 3))
    world.look(7)
    assert world.serving(7) == sha(7, 3)
    assert world.computer.builds == {sha(7, 3): 1}


@pytest.mark.parametrize("effect", range(1, 6))
def test_a_close_ends_everything(world, effect):
    world.push(7, 1)
    during(world, effect, lambda: world.change(7, open=False))
    world.look(7)
    assert world.place(7) is None
    assert world.phase(7) is Phase.REMOVED


def test_other_news_does_not_end_a_build(world):
    world.push(7, 1)
    during(world, 2, lambda: world.change(7, labels=frozenset({"bug"})))
    world.look(7)
    assert world.computer.builds == {sha(7, 1): 1}
    assert len([one for one in world.computer.given if one.action == "deploy"]) == 1


def test_a_delete_by_command_ends_a_build(world):
    world.push(7, 1)
    during(world, 2, lambda: world.tell(7, Verb.DELETE))
    world.look(7)
    assert world.place(7) is None
    assert world.computer.builds == {}


@pytest.mark.parametrize("effect", range(1, 12))
def test_it_may_die_anywhere(world, effect):
    def die() -> None:
        raise Died

    world.push(7, 1)
    world.computer.at[effect] = die
    try:
        world.look(7)
        world.change(7, open=False)
        world.look(7)
    except Died:
        world.process()
        world.work()
        world.change(7, open=False)
        world.look(7)
    assert world.place(7) is None
    assert world.phase(7) is Phase.REMOVED
    assert world.follower.pulls.known(pr(7)) is None


# --- forks


def test_nothing_of_a_fork_is_fetched_before_it_is_approved(world):
    world.push(7, 1, head_repository_id=OTHER)
    world.look(7)
    assert world.phase(7) is Phase.HELD
    assert "/cx approve" in world.hub.shown[pr(7)].message
    assert (world.computer.fetched, world.computer.given) == ([], [])
    world.settle()
    assert (world.computer.fetched, world.computer.given) == ([], [])


@pytest.mark.parametrize("gone", [OTHER, None])
def test_an_approval_is_for_one_commit(world, gone):
    world.push(7, 1, head_repository_id=gone)
    world.look(7)
    world.tell(7, Verb.APPROVE, sha(7, 1))
    world.work()
    assert (world.serving(7), world.phase(7)) == (sha(7, 1), Phase.READY)
    world.push(7, 2)
    world.look(7)
    report = world.hub.shown[pr(7)]
    assert (report.phase, report.serving) == (Phase.HELD, sha(7, 1))
    assert world.computer.fetched == [(pr(7), sha(7, 1))]


@pytest.mark.parametrize("argument", ["", sha(7, 1), sha(7, 2)[:39]])
def test_what_is_not_named_as_a_whole_is_not_approved(world, argument):
    """Else a push between the look and the word would be, or another commit that begins alike."""
    world.push(7, 1, head_repository_id=OTHER)
    world.look(7)
    world.push(7, 2)
    world.look(7)
    world.tell(7, Verb.APPROVE, argument)
    world.work()
    assert (world.phase(7), world.computer.fetched) == (Phase.HELD, [])
    assert f"`/cx approve {sha(7, 2)}`" in world.hub.shown[pr(7)].notes[0]
    world.tell(7, Verb.APPROVE, sha(7, 2))
    world.work()
    assert world.serving(7) == sha(7, 2)


def test_an_approval_by_somebody_who_may_not_write_is_none(world):
    world.push(7, 1, head_repository_id=OTHER)
    world.look(7)
    world.tell(7, Verb.APPROVE, sha(7, 1), login="author")
    world.work()
    assert (world.phase(7), world.computer.fetched) == (Phase.HELD, [])


def test_an_approved_fork_gets_no_secrets(world):
    world.push(7, 1, head_repository_id=OTHER)
    world.push(8, 1)
    world.look(7, 8)
    world.tell(7, Verb.APPROVE, sha(7, 1))
    world.work()
    orders = {one.namespace.name: one for one in world.computer.given}
    assert (orders["preview-7"].values, orders["preview-7"].origin) == ({}, Origin.parse("fork-of:acme/shop"))
    assert (dict(orders["preview-8"].values), orders["preview-8"].origin) == (
        {"KEY": "very-secret-value"},
        Origin.parse("github:acme/shop"),
    )


def test_a_fork_that_is_never_built(tmp_path):
    world = World(tmp_path, Repository(forks="never"))
    world.push(7, 1, head_repository_id=OTHER)
    world.tell(7, Verb.APPROVE, sha(7, 1))
    world.work()
    assert world.computer.fetched == []
    assert world.serving(7) == ""


# --- commands


def test_deleted_by_command_it_stays_away_until_it_is_asked_for(world):
    world.push(7, 1)
    world.look(7)
    world.tell(7, Verb.DELETE)
    world.work()
    assert (world.place(7), world.phase(7)) == (None, Phase.REMOVED)
    world.push(7, 2)
    world.look(7)
    world.settle()
    assert world.place(7) is None
    world.tell(7, Verb.DEPLOY)
    world.work()
    assert world.serving(7) == sha(7, 2)


def test_fresh_data(world):
    world.push(7, 1)
    world.look(7)
    world.tell(7, Verb.RESET_DB)
    world.work()
    assert world.place(7).resets == 1
    world.look(7)
    assert world.place(7).resets == 1


@pytest.mark.parametrize("verb", [Verb.DELETE, Verb.DEPLOY, Verb.RESET_DB, Verb.LOGS])
def test_others_may_say_nothing(world, verb):
    world.push(7, 1)
    world.look(7)
    world.tell(7, verb, "app", login="stranger")
    world.work()
    assert world.serving(7) == sha(7, 1)
    assert world.place(7).resets == 0
    assert world.hub.shown[pr(7)].notes == ()  # else anybody could make cx write
    assert world.hub.reactions == {1: 1}


def test_logs_come_without_secrets_and_stay_until_something_else_is_said(world):
    world.push(7, 1)
    world.look(7)
    world.tell(7, Verb.LOGS, "app")
    world.work()
    world.look(7)
    (note,) = world.hub.shown[pr(7)].notes
    assert "it began\nwith ***" in note
    world.tell(7, Verb.LOGS, "db")
    world.work()
    assert world.hub.shown[pr(7)].notes == ("it has no service db",)
    world.push(7, 2)
    world.look(7)
    assert world.hub.shown[pr(7)].notes == ()


def test_sleeping_and_waking(world):
    world.push(7, 1)
    world.look(7)
    world.tell(7, Verb.SLEEP)
    world.work()
    assert (world.phase(7), world.place(7).asleep) == (Phase.SLEEPING, True)
    world.settle()
    assert world.phase(7) is Phase.SLEEPING
    world.tell(7, Verb.WAKE)
    world.work()
    assert (world.phase(7), world.place(7).asleep) == (Phase.READY, False)
    world.tell(7, Verb.SLEEP)
    world.work()
    world.push(7, 2)
    world.look(7)
    assert (world.phase(7), world.serving(7)) == (Phase.READY, sha(7, 2))


def test_sleep_of_what_is_not_there_says_so(world):
    world.push(7, 1)
    world.tell(7, Verb.SLEEP)
    world.work()
    assert (world.phase(7), world.serving(7)) == (Phase.READY, sha(7, 1))
    assert world.hub.shown[pr(7)].notes == ("preview-7 does not exist",)
    assert world.hub.reactions == {1: 1}


def test_its_time_is_over_until_a_push_or_a_word(world):
    world.push(7, 1)
    world.look(7)
    world.now += LIFETIME_S
    world.settle()
    assert (world.place(7), world.phase(7)) == (None, Phase.REMOVED)
    world.settle()
    assert world.place(7) is None
    world.tell(7, Verb.DEPLOY)
    world.work()
    assert world.serving(7) == sha(7, 1)
    world.now += LIFETIME_S
    world.push(7, 2)
    world.look(7)
    assert world.serving(7) == sha(7, 2)


def test_it_may_live_longer(world):
    world.push(7, 1)
    world.look(7)
    world.now += LIFETIME_S - 86400
    world.tell(7, Verb.EXTEND, "3d")
    world.work()
    assert world.hub.shown[pr(7)].notes == ("It lives until later.",)
    world.now += 2 * 86400
    world.settle()
    assert world.serving(7) == sha(7, 1)


# --- comparisons


def test_with_every_webhook_lost_it_converges(world):
    world.push(7, 1)
    world.push(8, 1)
    world.settle()
    assert (world.serving(7), world.serving(8)) == (sha(7, 1), sha(8, 1))
    world.change(7, open=False)
    world.push(8, 2)
    world.settle()
    assert (world.place(7), world.serving(8)) == (None, sha(8, 2))


def test_a_comparison_of_what_is_well_asks_for_nothing(world):
    world.push(7, 1)
    world.settle()
    asked = world.hub.asked["pull"]
    world.settle()
    assert world.hub.asked["pull"] == asked


def test_a_github_that_does_not_answer_removes_nothing(world):
    world.push(7, 1)
    world.settle()
    world.hub.mute = True
    world.box.ask(pr(0))
    world.look(7)
    assert world.serving(7) == sha(7, 1)


def test_paths_that_need_none(tmp_path):
    world = World(tmp_path, Repository(ignore=["docs/**"]))
    world.push(7, 1)
    world.hub.paths[pr(7)] = ("docs/a.md",)
    world.settle()
    assert world.phase(7) is None
    world.hub.paths[pr(7)] = ("docs/a.md", "app.py")
    world.push(7, 2)
    world.settle()
    assert world.serving(7) == sha(7, 2)


def test_what_was_removed_is_wanted_again_though_its_paths_decide(tmp_path):
    """Of an approved fork cx knows that somebody approved it, also while it is removed."""
    world = World(tmp_path, Repository(ignore=["docs/**"]))
    world.hub.paths[pr(7)] = ("app.py",)
    world.push(7, 1, head_repository_id=OTHER)
    world.look(7)
    world.tell(7, Verb.APPROVE, sha(7, 1))
    world.work()
    world.change(7, labels=frozenset({"no-preview"}))
    world.settle()
    assert world.place(7) is None
    world.change(7, labels=frozenset())
    world.settle()
    assert world.serving(7) == sha(7, 1)


# --- a plan


def test_a_plan_writes_nothing(world):
    world.push(7, 1)
    before = (world.folder / "cx.db").read_bytes(), world.computer.effects
    assert (
        planned(world.follower, pr(7))
        == f"acme/shop#7: would deploy {sha(7, 1)[:12]} as preview-7, from github:acme/shop"
    )
    assert "no such pull request" in planned(world.follower, pr(9))
    assert before == ((world.folder / "cx.db").read_bytes(), world.computer.effects)
    world.look(7)
    assert "nothing to do" in planned(world.follower, pr(7))
    world.change(7, open=False)
    assert "would delete preview-7" in planned(world.follower, pr(7))
    assert (world.hub.shown[pr(7)].phase, world.serving(7)) == (Phase.READY, sha(7, 1))


# --- what the host itself cannot do


@pytest.mark.parametrize("known", [False, True])
def test_what_the_host_cannot_do_is_told_and_what_serves_is_shown(world, known):
    world.push(7, 1)
    if known:
        world.look(7)
        world.push(7, 2)
    computer, standing = world.computer, world.computer.standing
    computer.fetch = failing(Retryable("no commit 0000 with very-secret-value", log=["one", "very-secret-value"]))
    world.look(7)
    report = world.hub.shown[pr(7)]
    assert (report.phase, report.message, report.remedy) == (Phase.FAILED, "no commit 0000 with ***", "cx tries again")
    assert report.log == ("one", "***")
    assert report.serving == (sha(7, 1) if known else "")
    computer.standing = failing(Terminal("the engine is away", remedy="start it"))
    world.settle()
    assert (world.hub.shown[pr(7)].message, world.hub.shown[pr(7)].remedy) == ("the engine is away", "start it")
    computer.standing = standing
    del computer.fetch
    world.settle()
    assert (world.phase(7), world.serving(7)) == (Phase.READY, sha(7, 2 if known else 1))
    assert world.box.troubled() == {}


def test_nothing_is_said_of_one_that_gets_no_preview_nor_by_a_forge_that_fails(world):
    world.push(7, 1, labels=frozenset({"no-preview"}))
    world.computer.over = failing(Terminal("the disk is full"))
    world.look(7)
    assert world.phase(7) is None
    world.push(8, 1)
    del world.computer.over
    world.computer.fetch = failing(Unseen("GitHub answers 500"))
    world.look(8)
    assert world.phase(8) is not Phase.FAILED


class Unseen(ForgeFailed, Retryable):
    pass


def failing(exc):
    def fail(*given, **more):
        raise exc

    return fail


def test_another_head_than_github_says_is_insisted_on_the_next_time(world):
    """A push is under way, or the remote is a mirror that is late."""
    insisted = []
    fetch = world.computer.fetch

    def late(pull, cancelled, *, insist=False):
        insisted.append(insist)
        if not insist:
            raise Moved("it shows another head")
        return fetch(pull, cancelled, insist=insist)

    world.computer.fetch = late
    world.push(7, 1)
    world.look(7)
    assert (insisted, world.phase(7)) == ([False], Phase.BUILDING)
    world.now += 10
    world.work()
    assert (insisted, world.phase(7)) == ([False, True], Phase.READY)
