"""Sixty pull requests at once: never more is written than GitHub takes, and nobody waits for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from following import SHOP, sha
from forge.fake import fake_github
from listening import pull_request
from town import Town

from cx.store.writes import WritesTable

ALL = range(1, 61)


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    with fake_github() as github:
        town = Town(tmp_path, github, speed=60)
        town.start()
        yield town
        town.stop()
        town.world.database.close()


def test_sixty_at_once_are_told_within_what_github_takes(town: Town) -> None:
    began = town.clock()
    for number in ALL:
        town.push(number, 1)
    town.until(lambda: town.told(1, ALL))
    limits = town.github.limits
    assert limits.refused == 0
    assert limits.most(60) <= 80
    assert limits.most(3600) <= 500
    assert "failed" not in town.looks
    assert town.clock() - began < 20 * 60
    assert {one for one in town.looks if one not in ("done", "parked")} == set(), "nobody waited for the telling"
    edits = sum(method == "PATCH" for method, _ in town.github.writes())
    assert edits <= 4 * len(ALL)
    metrics = town.listener.ask("GET", "/metrics").body.decode()
    assert 'cx_github_writes_left{window="hour"}' in metrics
    assert 'cx_reports_waiting{urgency="final"} 0.0' in metrics
    assert town.world.computer.builds.total() == len(ALL)


def test_a_restart_in_the_middle_gives_no_new_budget_and_loses_no_end(town: Town) -> None:
    for number in ALL:
        town.push(number, 1)
    for _ in range(3):
        least = len(town.github.limits.written) + 60
        town.until(lambda least=least: len(town.github.limits.written) >= least or town.told(1, ALL))
        town.stop()
        town.start()
    town.until(lambda: town.told(1, ALL))
    assert town.github.limits.refused == 0
    assert town.github.limits.most(60) <= 80
    known = town.world.follower.pulls
    town.until(lambda: all(not one.unsaid for one in known.all_known(SHOP)))


def test_looks_go_on_while_nothing_can_be_written(town: Town) -> None:
    """The hour's budget is used up: previews are deployed, and removed, as if it were not."""
    for _ in range(500):
        WritesTable(town.box.database).spend(town.clock(), lambda times: 0.0)
    for number in (1, 2, 3):
        town.push(number, 1)
    town.until(lambda: all(town.world.serving(number) == sha(number, 1) for number in (1, 2, 3)))
    town.github.close(SHOP, 2)
    town.world.change(2, open=False)
    assert town.listener.send("pull_request", pull_request("closed", number=2), "d-close").status == 202
    town.until(lambda: town.world.place(2) is None)
    town.until(lambda: town.box.waiting() == [] == town.box.running())
    assert town.github.writes() == []
    assert {"failed", "again"}.isdisjoint(town.looks)
