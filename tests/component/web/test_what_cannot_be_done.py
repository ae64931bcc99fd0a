"""A look that fails: GitHub is asked rarely, whoever should know does, and it is over as soon as it can be done."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from following import SHOP, pr, sha
from forge.fake import fake_github
from town import Town

from cx.core.errors import Invalid, Retryable

HOUR_S = 3600.0


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    with fake_github() as github:
        town = Town(tmp_path, github, speed=600)
        town.start()
        yield town
        town.stop()
        town.world.database.close()


def test_a_head_that_cannot_be_fetched_is_asked_for_ever_more_rarely_also_after_restarts(town: Town) -> None:
    """It was asked for every two seconds, with 3,100 of the 5,000 requests that GitHub answers in an hour."""
    asked: list[float] = []
    computer, fetch = town.world.computer, town.world.computer.fetch

    def absent(pull, cancelled, *, insist=False):
        if pull.id != pr(1):
            return fetch(pull, cancelled, insist=insist)
        asked.append(town.clock())
        raise Retryable("acme/shop#1: its commit 000000010000 cannot be fetched", remedy="push again")

    computer.fetch = absent
    for number in (1, 2):
        town.push(number, 1)
    town.until(lambda: town.told(1, [2]))
    town.until(lambda: "cannot be fetched" in "".join(town.github.comments_on(SHOP, 1)))
    began = asked[0]
    for minutes in (10, 20, 30):
        town.until(lambda minutes=minutes: town.clock() > began + minutes * 60)
        town.stop()
        town.start()
    town.until(lambda: town.clock() > began + HOUR_S)
    within = [one - began for one in asked if one <= began + HOUR_S]
    assert 4 <= len(within) <= 10
    assert len(town.github.requests) < 400
    pauses = [later - earlier for earlier, later in pairwise(within)]
    assert max(pauses) >= 600

    computer.fetch = fetch
    town.push(1, 2)
    town.until(lambda: town.told(2, [1]))
    assert town.listener.ask("GET", "/readyz").status == 200


@pytest.mark.parametrize(
    "exc", [Invalid("host.toml", "env.KEY", "is not set", remedy="export it"), ZeroDivisionError()]
)
def test_a_look_that_fails_by_the_hosts_own_fault_is_told_everywhere_at_once(town: Town, exc: Exception) -> None:
    values = town.world.computer.values

    def failing(repository: str) -> dict[str, str]:
        raise exc

    town.world.computer.values = failing
    town.push(1, 1)
    words = "host.toml: env.KEY: is not set" if isinstance(exc, Invalid) else "cx met a defect of its own"
    town.until(lambda: words in "".join(town.github.comments_on(SHOP, 1)))
    town.until(lambda: "error" in [one["state"] for one in town.there.statuses.get(sha(1, 1), [])])
    town.until(lambda: town.listener.ask("GET", "/readyz").status == 503)
    (said,) = town.listener.ask("GET", "/readyz").json["missing"]
    assert said == "1 of what is due cannot be done: the log and `cx doctor` say why"
    assert b"cx_looks_failing 1.0" in town.listener.ask("GET", "/metrics").body
    town.stop()
    town.start()
    assert town.listener.ask("GET", "/readyz").status == 503, "a restart forgets nothing"
    town.world.computer.values = values
    town.until(lambda: town.told(1, [1]))
    assert town.listener.ask("GET", "/readyz").status == 200
    assert b"cx_looks_failing 0.0" in town.listener.ask("GET", "/metrics").body


def test_what_github_itself_refuses_is_told_to_who_can_mend_it(town: Town) -> None:
    """Nobody could read it on the pull request."""
    town.push(1, 1)
    town.until(lambda: town.told(1, [1]))
    token = town.github.tokens.pop()
    town.push(1, 2)
    town.until(lambda: town.listener.ask("GET", "/readyz").json["missing"] == ["GitHub refuses the token"])
    town.github.tokens.add(token)
    town.push(1, 3)
    town.until(lambda: town.told(3, [1]))
    assert town.listener.ask("GET", "/readyz").status == 200
