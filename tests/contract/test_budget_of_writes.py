"""What GitHub limits is kept, and what limits writes holds up no reading."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from forge.fake import TOKEN, FakeGitHub
from telling_all import tell_all

from cx.forges.github import GitHubAnnouncer, GitHubForge, open_github
from cx.forges.github.answers import Unavailable
from cx.pulls.budget import Budget, Early, Memory, Urgency
from cx.pulls.values import Phase, PullId, Report
from cx.settings.github import GitHub
from cx.settings.github import Repository as Rules

REPOSITORY = "acme/shop"
ONE = "1" * 40
BUILDING = Report(PullId(REPOSITORY, 7), "preview-7", ONE, Phase.BUILDING)
READY = replace(BUILDING, phase=Phase.READY)
Opened = Callable[[], tuple[GitHubForge, GitHubAnnouncer]]


@pytest.fixture
def now() -> list[float]:
    return [1_000_000.0]


@pytest.fixture
def opened(github: FakeGitHub, now: list[float]) -> Opened:
    github.limits.strict, github.limits.clock = True, lambda: now[0]
    for number in range(1, 61):
        github.open(REPOSITORY, number, ONE)
    writes = Memory()

    def open_() -> tuple[GitHubForge, GitHubAnnouncer]:
        """Another process of the same host."""
        settings = GitHub(base_url=github.url, repositories={REPOSITORY: Rules()})
        return open_github(settings, {"GITHUB_TOKEN": TOKEN}, Budget(writes, lambda: now[0]))

    return open_


def of(number: int, report: Report) -> Report:
    return replace(report, pull=PullId(REPOSITORY, number), namespace=f"preview-{number}", head=f"{number:040x}")


def test_never_more_is_written_than_github_takes(github: FakeGitHub, opened: Opened, now: list[float]) -> None:
    waiting = [of(number, READY) for number in range(1, 61)]
    early: list[float] = []
    while waiting:
        report = waiting.pop(0)
        try:
            tell_all(opened()[1], report)
        except Early as exc:
            early.append(exc.retry_after_s)
            waiting.insert(0, report)
            now[0] += exc.retry_after_s
    assert github.limits.refused == 0
    assert github.limits.most(60) == 80
    assert len(early) == 2
    for number in range(1, 61):
        assert ["is ready" in one for one in github.comments_on(REPOSITORY, number)] == [True]
    assert len(github.writes()) == 60 * 4, "nothing was written twice"


def test_progress_stops_before_the_end_has_no_room(github: FakeGitHub, opened: Opened) -> None:
    _, announcer = opened()
    for number in range(1, 11):
        tell_all(announcer, of(number, BUILDING), Urgency.PROGRESS)
    with pytest.raises(Early):
        announcer.announce(of(11, BUILDING), Urgency.PROGRESS)
    assert len(github.writes()) == 40
    assert announcer.wait_s(Urgency.PROGRESS) > 0
    assert announcer.wait_s(Urgency.FINAL) == 0
    announcer.announce(of(60, READY))
    assert "is ready" in github.comments_on(REPOSITORY, 60)[0]


def test_what_limits_writes_holds_up_no_look(github: FakeGitHub, opened: Opened) -> None:
    forge, announcer = opened()
    github.fail("POST", "/comments$", status=403, headers={"Retry-After": "60"}, message="a secondary rate limit")
    with pytest.raises(Early):
        announcer.announce(READY)
    assert forge.pull(READY.pull)
    for process in (announcer, opened()[1]):
        before = len(github.writes())
        with pytest.raises(Early) as early:
            process.announce(READY)
        assert early.value.retry_after_s == pytest.approx(60, abs=1)
        assert len(github.writes()) == before


def test_when_no_request_is_left_everybody_waits(github: FakeGitHub, opened: Opened) -> None:
    forge, announcer = opened()
    reset = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(time.time()) + 90)}
    github.fail("POST", "/comments$", status=403, headers=reset, message="API rate limit exceeded")
    with pytest.raises(Unavailable):
        announcer.announce(READY)
    with pytest.raises(Unavailable) as limited:
        forge.pull(READY.pull)
    assert limited.value.retry_after_s == pytest.approx(90, abs=3)


def test_where_few_requests_are_left_progress_waits(github: FakeGitHub, opened: Opened) -> None:
    forge, announcer = opened()
    github.limits.requests = 400
    forge.pull(READY.pull)
    with pytest.raises(Early):
        announcer.announce(BUILDING, Urgency.PROGRESS)
    announcer.announce(READY)
    gauges = {(one.name, one.label): one.value for one in announcer.gauges()}
    assert gauges["cx_github_requests_left", None] < 400
    assert gauges["cx_github_writes_left", ("window", "minute")] == 77
