"""Commands in comments of which no delivery came."""

from __future__ import annotations

from pathlib import Path

import pytest
from following import SHOP, World, pr

from cx.pulls import Comment
from cx.pulls.commands import OLD_S, Verb
from cx.pulls.sync import missed
from cx.pulls.values import Phase, PullId


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    world.push(7, 1)
    compare(world)
    assert world.phase(7) is Phase.READY
    return world


def compare(world: World) -> None:
    world.now += 300
    world.box.ask(PullId(SHOP, 0))
    world.work()


def test_a_command_whose_delivery_was_lost_is_obeyed_at_the_next_comparison(world: World) -> None:
    world.say(7, Verb.DELETE)
    compare(world)
    assert world.place(7) is None
    assert world.hub.reactions == {1: 1}
    world.say(7, Verb.DEPLOY)
    compare(world)
    assert world.phase(7) is Phase.READY
    compare(world)
    assert world.hub.reactions == {1: 1, 2: 1}


def test_one_that_came_is_not_heard_twice(world: World) -> None:
    world.tell(7, Verb.RESET_DB)
    world.work()
    resets = [world.computer.places[pr(7) and world.follower.name(pr(7))].resets]
    compare(world)
    compare(world)
    assert resets == [1] == [one.resets for one in world.computer.places.values()]


def test_rights_are_asked_for_as_always(world: World) -> None:
    world.say(7, Verb.DELETE, login="stranger")
    compare(world)
    assert world.phase(7) is Phase.READY
    assert world.hub.shown[pr(7)].notes == ()


def test_what_was_said_before_the_first_comparison_is_no_command(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.push(7, 1)
    world.now += 3600
    world.say(7, Verb.DELETE)
    world.now += 3600
    compare(world)
    compare(world)
    assert world.phase(7) is Phase.READY


def test_one_that_a_later_command_has_overtaken_is_not_obeyed(world: World) -> None:
    world.say(7, Verb.DELETE)
    world.now += 10
    world.tell(7, Verb.EXTEND, "3d")
    world.work()
    compare(world)
    assert world.phase(7) is Phase.READY


def test_comments_on_issues_and_old_ones_say_nothing(world: World) -> None:
    world.hub.said.append(Comment(90, 99, "owner", "/cx delete", world.now))
    world.hub.said.append(Comment(91, 7, "owner", "a word\n> /cx delete", world.now))
    compare(world)
    assert world.box.unanswered(PullId(SHOP, 99)) == []
    world.say(7, Verb.DELETE)
    world.now += OLD_S + 1
    compare(world)
    assert world.phase(7) is Phase.READY


def test_a_dry_run_writes_nothing(world: World) -> None:
    world.say(7, Verb.DELETE)
    before = world.box.heard_until(SHOP)
    assert list(missed(world.follower, SHOP, hear=False)) == []
    assert world.box.unanswered(pr(7)) == []
    assert world.box.heard_until(SHOP) == before


def test_where_github_does_not_list_them_they_are_heard_later(world: World) -> None:
    world.say(7, Verb.DELETE)
    world.hub.mute = True
    world.now += 300
    world.box.ask(PullId(SHOP, 0))
    world.turn()
    world.hub.mute = False
    compare(world)
    assert world.place(7) is None
