"""What GitHub shows of a preview: one comment, deployments and a status, whatever goes wrong on the way."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from forge.fake import TOKEN, FakeGitHub, fake_github
from telling_all import tell_all

from cx.core.errors import CxError, Invalid
from cx.forges.github import GitHubAnnouncer, GitHubForge, open_github
from cx.forges.github.answers import Forbidden, Unavailable
from cx.host.doctor import Check, Doctor
from cx.pulls.budget import Urgency
from cx.pulls.commands import spoken
from cx.pulls.statuses import State, Status, of_report
from cx.pulls.values import DatabaseShown, Phase, PullId, Report, ServiceShown
from cx.schema import Secret
from cx.settings.github import GitHub
from cx.settings.github import Repository as Rules

Opened = Callable[..., tuple[GitHubForge, GitHubAnnouncer]]
REPOSITORY = "acme/shop"
PULL = PullId(REPOSITORY, 7)
ONE, TWO = "1" * 40, "2" * 40
SERVICES = (
    ServiceShown("app", "http://preview-7-app.localhost:8080", "healthy"),
    ServiceShown("worker", "", "running"),
)
READY = Report(
    PULL, "preview-7", ONE, Phase.READY, serving=ONE, services=SERVICES,
    databases=(DatabaseShown("app", "2026-11-20T03:00:00Z"),), took_s=4.2,
)  # fmt: skip
BUILDING = Report(PULL, "preview-7", ONE, Phase.BUILDING)


@pytest.fixture
def url(github: FakeGitHub) -> str:
    return github.url


@pytest.fixture
def opened(url: str) -> Opened:
    def open_(**given: object) -> tuple[GitHubForge, GitHubAnnouncer]:
        settings = GitHub(base_url=url, repositories={REPOSITORY: Rules()}, **given)  # type: ignore[arg-type]
        forge, announcer = open_github(settings, {"GITHUB_TOKEN": TOKEN})
        forge.connection.sleep = lambda seconds: None
        return forge, announcer

    return open_


@pytest.fixture
def announcer(github: FakeGitHub, opened: Opened) -> GitHubAnnouncer:
    github.open(REPOSITORY, 7, ONE)
    return opened()[1]


def test_one_comment_is_edited_in_place(github: FakeGitHub, announcer: GitHubAnnouncer) -> None:
    for report in (replace(BUILDING, phase=Phase.QUEUED, position=3), BUILDING, READY):
        announcer.announce(report)
    (said,) = github.comments_on(REPOSITORY, 7)
    assert "http://preview-7-app.localhost:8080" in said
    assert "2026-11-20 03:00 UTC" in said
    assert "4.2 s" in said
    assert [verb for verb, path in github.writes() if "/comments" in path] == ["POST", "PATCH", "PATCH"]


def test_what_is_shown_already_is_not_written(github: FakeGitHub, announcer: GitHubAnnouncer, opened: Opened) -> None:
    announcer.announce(READY)
    before = github.writes()
    announcer.announce(READY)
    opened()[1].announce(READY)  # another process, which remembers nothing
    assert github.writes() == before


def test_who_moves_up_in_the_queue_has_his_comment_edited_and_nothing_made(
    github: FakeGitHub, announcer: GitHubAnnouncer
) -> None:
    announcer.announce(replace(BUILDING, phase=Phase.QUEUED, position=9))
    before = len(github.writes())
    for position in range(8, 0, -1):
        announcer.announce(replace(BUILDING, phase=Phase.QUEUED, position=position))
    assert {verb for verb, _ in github.writes()[before:]} == {"PATCH"}


def test_the_comment_is_found_behind_hundreds_of_others(
    github: FakeGitHub, announcer: GitHubAnnouncer, opened: Opened
) -> None:
    for _ in range(230):
        github.comment(REPOSITORY, 7, "ada", "what a fine change")
    announcer.announce(BUILDING)
    opened()[1].announce(READY)
    assert len(github.comments_on(REPOSITORY, 7)) == 1


def test_two_processes_at_once_leave_one_comment(
    github: FakeGitHub, announcer: GitHubAnnouncer, opened: Opened
) -> None:
    both = [announcer, *(opened()[1] for _ in range(3))]
    threads = [threading.Thread(target=one.announce, args=[READY]) for one in both]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    announcer.announce(replace(READY, took_s=5.0))
    assert len(github.comments_on(REPOSITORY, 7)) == 1


def test_a_comment_of_somebody_else_with_our_marker_is_left_alone(
    github: FakeGitHub, announcer: GitHubAnnouncer
) -> None:
    announcer.announce(READY)
    (ours,) = github.comments_on(REPOSITORY, 7)
    github.repository(REPOSITORY).comments.clear()
    github.comment(REPOSITORY, 7, "mallory", ours)
    announcer.announce(replace(READY, took_s=9.0))
    assert github.comments_on(REPOSITORY, 7, "mallory") == [ours]
    assert "9.0 s" in github.comments_on(REPOSITORY, 7)[0]


def test_another_bot_that_repeats_our_comment_is_not_taken_for_us(
    github: FakeGitHub, announcer: GitHubAnnouncer, opened: Opened
) -> None:
    """With a token of Actions, which may not ask whose it is."""
    github.login = "github-actions[bot]"
    github.fail("GET", "^/user$", status=403, message="Resource not accessible by integration", times=99)
    announcer.announce(READY)
    (ours,) = github.comments_on(REPOSITORY, 7)
    github.comment(REPOSITORY, 7, "echo[bot]", ours)
    opened()[1].announce(replace(READY, took_s=9.0))  # another process, which does not know who it is
    assert github.comments_on(REPOSITORY, 7, "echo[bot]") == [ours]
    assert ["9.0 s" in one for one in github.comments_on(REPOSITORY, 7)] == [True]
    there = github.repository(REPOSITORY).comments
    del there[next(one for one in there if there[one]["user"]["login"] == github.login)]
    announcer.announce(replace(READY, took_s=8.0))  # the process that wrote does
    assert github.comments_on(REPOSITORY, 7, "echo[bot]") == [ours]
    assert ["8.0 s" in one for one in github.comments_on(REPOSITORY, 7)] == [True]


def test_a_deleted_comment_is_written_anew(github: FakeGitHub, announcer: GitHubAnnouncer) -> None:
    announcer.announce(BUILDING)
    github.repository(REPOSITORY).comments.clear()
    announcer.announce(READY)
    assert len(github.comments_on(REPOSITORY, 7)) == 1


@pytest.mark.parametrize("path", ["/issues/7/comments$", "/deployments$", "/statuses/"])
@pytest.mark.parametrize("cut", [False, True])
def test_an_answer_that_is_lost_after_the_effect_makes_nothing_twice(
    github: FakeGitHub, announcer: GitHubAnnouncer, path: str, cut: bool
) -> None:
    github.fail("POST", path, status=502, after=True, cut=cut)
    with pytest.raises(Unavailable):
        tell_all(announcer, READY)
    tell_all(announcer, READY)
    repository = github.repository(REPOSITORY)
    assert len(github.comments_on(REPOSITORY, 7)) == 1
    assert [one["sha"] for one in repository.deployments.values()] == [ONE]
    assert len(repository.statuses[ONE]) == 1


@pytest.mark.parametrize(
    ("status", "headers", "message", "wait_s"),
    [
        (403, {"Retry-After": "42"}, "You have exceeded a secondary rate limit", 42),
        (429, {"Retry-After": "7"}, "Too many requests", 7),
        (403, {}, "You have exceeded a secondary rate limit", 60),
        (503, {"Retry-After": "5"}, "down", 5),
    ],
)
def test_nobody_asks_before_the_time_that_github_named(
    github: FakeGitHub, announcer: GitHubAnnouncer, status: int, headers: dict[str, str], message: str, wait_s: float
) -> None:
    github.fail("GET", "/comments$", status=status, headers=headers, message=message)
    with pytest.raises(Unavailable) as limited:
        announcer.announce(READY)
    assert limited.value.retry_after_s == pytest.approx(wait_s, abs=1)
    before = len(github.requests)
    with pytest.raises(Unavailable) as again:
        announcer.announce(READY)
    assert again.value.retry_after_s == pytest.approx(wait_s, abs=1)
    assert len(github.requests) == before


def test_the_primary_limit_says_when(github: FakeGitHub, announcer: GitHubAnnouncer) -> None:
    import time

    reset = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(time.time()) + 90)}
    github.fail("GET", "/comments$", status=403, headers=reset, message="API rate limit exceeded")
    with pytest.raises(Unavailable) as limited:
        announcer.announce(READY)
    assert limited.value.retry_after_s == pytest.approx(90, abs=3)


def test_a_locked_conversation_stops_neither_deployment_nor_status(
    github: FakeGitHub, announcer: GitHubAnnouncer
) -> None:
    github.locked.add(7)
    tell_all(announcer, READY)
    assert github.comments_on(REPOSITORY, 7) == []
    assert github.states(REPOSITORY, "preview-7") == {ONE: "success"}
    assert github.repository(REPOSITORY).statuses[ONE][-1]["state"] == "success"


def test_a_token_without_rights_fails_no_preview(github: FakeGitHub, announcer: GitHubAnnouncer) -> None:
    github.rights.clear()
    announcer.announce(READY)
    announcer.announce(replace(READY, phase=Phase.REMOVED))
    assert github.repository(REPOSITORY).deployments == {}


def test_deployments_follow_the_commits(github: FakeGitHub, announcer: GitHubAnnouncer) -> None:
    announcer.announce(BUILDING)
    assert github.states(REPOSITORY, "preview-7") == {ONE: "in_progress"}
    announcer.announce(READY)
    (document,) = github.repository(REPOSITORY).deployment_statuses.values()
    assert document[-1]["environment_url"] == "http://preview-7-app.localhost:8080"
    assert document[-1]["log_url"].startswith("https://github.com/acme/shop/pull/7#issuecomment-")
    announcer.announce(replace(BUILDING, head=TWO, serving=ONE))
    assert github.states(REPOSITORY, "preview-7") == {ONE: "success", TWO: "in_progress"}
    announcer.announce(replace(READY, head=TWO, serving=TWO))
    assert github.states(REPOSITORY, "preview-7") == {ONE: "inactive", TWO: "success"}
    announcer.announce(Report(PULL, "preview-7", TWO, Phase.REMOVED))
    assert github.states(REPOSITORY, "preview-7") == {ONE: "inactive", TWO: "inactive"}
    assert github.repository(REPOSITORY).environments == set()
    assert "removed" in github.comments_on(REPOSITORY, 7)[0]


@pytest.mark.parametrize("off", ["comment", "deployments", "status"])
def test_each_can_be_turned_off(github: FakeGitHub, opened: Opened, off: str) -> None:
    github.open(REPOSITORY, 7, ONE)
    tell_all(opened(**{off: False})[1], READY)
    repository = github.repository(REPOSITORY)
    there = {"comment": repository.comments, "deployments": repository.deployments, "status": repository.statuses}
    assert {name for name, made in there.items() if not made} == {off}


def test_of_two_processes_that_post_at_once_the_later_report_is_shown(
    github: FakeGitHub, announcer: GitHubAnnouncer, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one posts between our look and our post."""
    other, write = opened()[1], announcer.connection.write

    def late(urgency: Urgency, verb: str, repository: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        if verb == "POST" and path.endswith("/comments") and not github.comments_on(REPOSITORY, 7):
            other.announce(BUILDING)
        return write(urgency, verb, repository, path, body)

    monkeypatch.setattr(announcer.connection, "write", late)
    announcer.announce(READY)
    (said,) = github.comments_on(REPOSITORY, 7)
    assert "is ready" in said
    before = github.writes()
    announcer.announce(READY)
    assert github.writes() == before
    other.announce(replace(READY, took_s=6.0))  # its comment was the older one, and is there still
    assert "6.0 s" in github.comments_on(REPOSITORY, 7)[0]


def test_what_was_never_ready_is_inactive_when_it_is_superseded(github: FakeGitHub, announcer: GitHubAnnouncer) -> None:
    announcer.announce(READY)
    announcer.announce(replace(BUILDING, head=TWO, serving=ONE))
    announcer.announce(replace(READY, phase=Phase.FAILED, head="3" * 40, serving=ONE))
    assert github.states(REPOSITORY, "preview-7") == {ONE: "success", TWO: "inactive", "3" * 40: "failure"}


def test_what_is_inactive_is_not_asked_for_again(github: FakeGitHub, announcer: GitHubAnnouncer) -> None:
    for number in range(1, 10):
        announcer.announce(replace(READY, head=f"{number:040d}", serving=f"{number:040d}"))
    before = len(github.requests)
    announcer.announce(replace(READY, head=TWO, serving=TWO))
    assert len(github.requests) - before < 12
    states = github.states(REPOSITORY, "preview-7")
    assert states.pop(TWO) == "success"
    assert set(states.values()) == {"inactive"}


def test_a_commits_status_is_written_where_it_is_another(
    github: FakeGitHub, announcer: GitHubAnnouncer, opened: Opened
) -> None:
    status = of_report(READY)
    assert status
    announcer.announce(READY)
    for one in (announcer, announcer, opened()[1]):  # the last of another process
        one.status(PULL, ONE, status, Urgency.FINAL)
    statuses = github.repository(REPOSITORY).statuses[ONE]
    assert [(one["state"], one["description"], one["target_url"]) for one in statuses] == [
        ("success", "Ready in 4 s", "http://preview-7-app.localhost:8080")
    ]
    removed = Status(State.SUCCESS, "Was ready; its preview is removed")
    for one in (announcer, opened()[1]):
        one.status(PULL, ONE, removed, Urgency.FINAL)
    assert [one["description"] for one in statuses] == ["Ready in 4 s", "Was ready; its preview is removed"]
    assert "#issuecomment-" in statuses[-1]["target_url"]


@pytest.mark.parametrize("code", [404, 422])
def test_a_commit_that_github_does_not_know_is_waited_for_by_nobody(
    github: FakeGitHub, announcer: GitHubAnnouncer, code: int
) -> None:
    github.fail("POST", "/statuses/", status=code, message="No commit found for SHA")
    announcer.status(PULL, ONE, Status(State.ERROR, "Superseded"), Urgency.FINAL)
    assert github.repository(REPOSITORY).statuses == {}


def test_a_status_that_the_token_may_not_write_is_told(github: FakeGitHub, announcer: GitHubAnnouncer) -> None:
    github.rights.clear()
    with pytest.raises(Forbidden):
        announcer.status(PULL, ONE, Status(State.ERROR, "Superseded"), Urgency.FINAL)


def test_what_stands_in_the_way_is_no_success(github: FakeGitHub, announcer: GitHubAnnouncer) -> None:
    announcer.announce(BUILDING)
    announcer.announce(replace(READY, phase=Phase.FAILED, again=True, serving=""))
    assert github.states(REPOSITORY, "preview-7") == {ONE: "error"}
    held = Report(PULL, "preview-7", TWO, Phase.HELD)
    announcer.announce(held)  # the commit before is not worked on any more
    assert github.states(REPOSITORY, "preview-7") == {ONE: "inactive"}
    announcer.announce(replace(READY, head=TWO, serving=TWO))
    announcer.announce(Report(PULL, "preview-7", TWO, Phase.TAKEN))
    assert github.states(REPOSITORY, "preview-7") == {ONE: "inactive", TWO: "inactive"}
    assert "belongs to somebody else" in github.comments_on(REPOSITORY, 7)[0]


def test_reactions(github: FakeGitHub, announcer: GitHubAnnouncer) -> None:
    said = github.comment(REPOSITORY, 7, "ada", "/cx deploy")
    announcer.react(REPOSITORY, said, "rocket")
    announcer.react(REPOSITORY, said, "rocket")
    assert github.repository(REPOSITORY).reactions[said] == ["rocket"]


# --- reading
def test_a_pull_request_is_read(github: FakeGitHub, opened: Opened) -> None:
    forge, _ = opened()
    github.open(REPOSITORY, 7, ONE, labels=("preview",), draft=True)
    github.open(REPOSITORY, 8, TWO, fork=True)
    github.open(REPOSITORY, 9, TWO, gone=True)
    seven, eight, nine = (forge.pull(PullId(REPOSITORY, number)) for number in (7, 8, 9))
    assert seven
    assert (seven.head, seven.open, seven.draft, seven.labels, seven.fork) == (ONE, True, True, {"preview"}, False)
    assert eight and eight.fork  # noqa: PT018
    assert nine and nine.fork and nine.head_repository_id is None  # noqa: PT018
    assert forge.pull(PullId(REPOSITORY, 99)) is None


def test_a_repository_that_cannot_be_seen_is_no_pull_request_that_is_gone(github: FakeGitHub, opened: Opened) -> None:
    github.open(REPOSITORY, 7, ONE)
    github.repositories.clear()
    with pytest.raises(CxError):
        opened()[0].pull(PULL)


def test_open_pull_requests_are_listed_from_every_page(github: FakeGitHub, opened: Opened) -> None:
    for number in range(1, 251):
        github.open(REPOSITORY, number, ONE)
    github.close(REPOSITORY, 17)
    forge, _ = opened()
    assert {one.id.number for one in forge.open_pulls(REPOSITORY)} == {*range(1, 251)} - {17}
    github.fail("GET", "/pulls$", times=3)
    with pytest.raises(Unavailable):
        forge.open_pulls(REPOSITORY)


def test_a_page_that_fails_once_is_read_again(github: FakeGitHub, opened: Opened) -> None:
    github.open(REPOSITORY, 7, ONE)
    github.fail("GET", "/pulls$", cut=True)
    assert len(opened()[0].open_pulls(REPOSITORY)) == 1


def test_who_may_write_is_asked_of_the_api(github: FakeGitHub, opened: Opened) -> None:
    forge, _ = opened()
    github.repository(REPOSITORY).people |= {"ada": "admin", "bob": "write", "eve": "read"}
    assert [forge.may_write(REPOSITORY, one) for one in ("ada", "bob", "eve", "nobody")] == [True, True, False, False]


def test_a_login_leads_to_no_other_path(github: FakeGitHub, opened: Opened) -> None:
    github.repository(REPOSITORY).people |= {"dependabot[bot]": "write"}
    forge, _ = opened()
    assert forge.may_write(REPOSITORY, "dependabot[bot]")
    for login in ("../../../user", "ada/permission?x=", "a#", "..", "%2e%2e"):
        assert not forge.may_write(REPOSITORY, login)


def test_changed_paths(github: FakeGitHub, opened: Opened) -> None:
    github.open(REPOSITORY, 7, ONE, files=tuple(f"docs/{number}.md" for number in range(130)))
    assert len(opened()[0].changed_paths(PULL)) == 130


def test_a_refused_token_is_said_plainly(github: FakeGitHub, opened: Opened) -> None:
    github.tokens.clear()
    with pytest.raises(Forbidden, match="refuses the token"):
        opened()[0].pull(PULL)


def test_a_refusal_is_known_until_the_next_success_and_asks_nothing(github: FakeGitHub, opened: Opened) -> None:
    github.open(REPOSITORY, 7, ONE)
    forge, announcer = opened()
    assert forge.refused() == []
    github.tokens.clear()
    with pytest.raises(Forbidden):
        forge.pull(PULL)
    asked = len(github.requests)
    assert forge.refused() == ["GitHub refuses the token"]
    assert len(github.requests) == asked
    github.tokens.add(TOKEN)
    github.rights.clear()
    with pytest.raises(Forbidden):
        tell_all(announcer, READY)
    missing = [f"GitHub does not allow to write {what}" for what in ("comments", "commit statuses", "deployments")]
    assert forge.refused() == missing
    assert forge.pull(PULL)
    assert forge.refused() == missing  # reading says nothing about them
    github.rights |= {"comment", "deployment", "status"}
    tell_all(announcer, READY)
    assert forge.refused() == []


def test_faults_and_limits_and_locks_are_no_refusal(github: FakeGitHub, opened: Opened) -> None:
    github.open(REPOSITORY, 7, ONE)
    github.locked.add(7)
    forge, announcer = opened()
    announcer.announce(READY)
    assert forge.refused() == []
    github.fail("GET", "/pulls/7$", status=502, times=3)
    with pytest.raises(Unavailable):
        forge.pull(PULL)
    github.fail("GET", "/pulls/7$", status=403, message="API rate limit exceeded", headers={"Retry-After": "1"})
    with pytest.raises(Unavailable):
        forge.pull(PULL)
    assert forge.refused() == []


def test_a_repository_that_is_not_shown_is_a_refusal(github: FakeGitHub, opened: Opened) -> None:
    github.open(REPOSITORY, 7, ONE)
    forge, _ = opened()
    assert forge.pull(replace(PULL, number=8)) is None  # no such pull request
    assert forge.refused() == []
    github.fail("GET", "/pulls/7$", status=404)
    github.fail("GET", f"/repos/{REPOSITORY}$", status=404)
    with pytest.raises(CxError):
        forge.pull(PULL)
    assert forge.refused() == ["GitHub does not allow to read repositories"]


def test_without_a_token_it_says_what_to_set() -> None:
    with pytest.raises(Invalid, match="GITHUB_TOKEN"):
        open_github(GitHub(), {})


def test_the_token_is_shown_nowhere(url: str) -> None:
    forge, announcer = open_github(GitHub(base_url=url, token=Secret(TOKEN)), {})
    assert TOKEN not in repr(forge) + repr(announcer) + repr(forge.credentials(REPOSITORY))


@pytest.mark.parametrize(
    ("base_url", "expected"),
    [
        ("https://api.github.com", "https://github.com/acme/shop.git"),
        ("https://git.example.com/api/v3", "https://git.example.com/acme/shop.git"),
        ("https://api.acme.ghe.com", "https://acme.ghe.com/acme/shop.git"),
    ],
)
def test_where_to_fetch_from(base_url: str, expected: str) -> None:
    forge, _ = open_github(GitHub(base_url=base_url), {"GITHUB_TOKEN": TOKEN})
    assert forge.fetch_url("acme/shop") == expected


# --- a template of the repository's own
TEMPLATE = ".cx/comment.md.j2"


def test_the_template_of_the_default_branch_is_used(
    github: FakeGitHub, announcer: GitHubAnnouncer, opened: Opened
) -> None:
    contents = github.repository(REPOSITORY).contents
    contents["main", TEMPLATE] = b"ours: {{ phase }}"
    announcer.announce(READY)
    assert github.comments_on(REPOSITORY, 7)[0].startswith("ours: ready\n")
    asked = len(github.requests)
    announcer.announce(BUILDING)
    assert not [path for _, path in github.requests[asked:] if "contents" in path]  # it is kept for a while
    contents["main", TEMPLATE] = b"changed"
    announcer._templates.clock = lambda: time.monotonic() + 16
    announcer.announce(READY)
    (said,) = github.comments_on(REPOSITORY, 7)
    assert said.startswith("changed\n")
    before = github.writes()
    opened()[1].announce(READY)  # another process finds it
    assert github.writes() == before


def test_a_pull_request_brings_no_template(github: FakeGitHub, announcer: GitHubAnnouncer) -> None:
    for ref in (ONE, "topic", "refs/pull/7/head"):
        github.repository(REPOSITORY).contents[ref, TEMPLATE] = b"anything"
    announcer.announce(READY)
    assert "Preview `preview-7` is ready" in github.comments_on(REPOSITORY, 7)[0]


@pytest.mark.parametrize("rules", [Rules(own_comment=False), Rules(comment_template=Path("theirs.j2"))])
def test_the_hosts_owner_has_the_last_word(
    github: FakeGitHub, url: str, rules: Rules, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("theirs.j2").write_text("of the host: {{ phase }}")
    github.open(REPOSITORY, 7, ONE)
    github.repository(REPOSITORY).contents["main", TEMPLATE] = b"of the repository"
    _, announcer = open_github(GitHub(base_url=url, repositories={REPOSITORY: rules}), {"GITHUB_TOKEN": TOKEN})
    announcer.announce(READY)
    (said,) = github.comments_on(REPOSITORY, 7)
    assert said.startswith("of the host: ready" if rules.comment_template else "### ✅ Preview")
    assert not [path for _, path in github.requests if "contents" in path]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{{ servcies }}", "'servcies' is undefined"),
        (b"{{ '@acme' * 99999 }}", "makes more than 60000 characters"),
        (b"x" * 70_000, "is larger than 64 KiB"),
        (b"x" * 1_000_001, "is larger than 64 KiB"),
        (b"\xff\xfe", "is not text in UTF-8"),
        (None, "is not a file"),
    ],
)
def test_where_it_cannot_be_used_cx_s_own_words_say_so(
    github: FakeGitHub, announcer: GitHubAnnouncer, caplog: pytest.LogCaptureFixture, content: bytes, said: str
) -> None:
    github.repository(REPOSITORY).contents["main", TEMPLATE] = content
    with caplog.at_level("WARNING", "cx"):
        for _ in range(2):
            announcer.announce(READY)
    (comment,) = github.comments_on(REPOSITORY, 7)
    assert "Preview `preview-7` is ready" in comment
    assert f"cx's own words: the template of this comment cannot be used: {said}" in comment.replace("\\", "")
    (line,) = [one for one in caplog.records if one.getMessage() == "comment template not used"]
    assert said in line.facts["why"]  # type: ignore[attr-defined]


def test_a_token_that_may_not_read_it_writes_cx_s_own(github: FakeGitHub, announcer: GitHubAnnouncer) -> None:
    github.rights.discard("contents")
    announcer.announce(READY)
    assert "Preview `preview-7` is ready" in github.comments_on(REPOSITORY, 7)[0]


def test_a_github_that_does_not_say_is_asked_again(github: FakeGitHub, announcer: GitHubAnnouncer) -> None:
    github.repository(REPOSITORY).contents["main", TEMPLATE] = b"ours"
    github.fail("GET", "/contents/", status=502, times=3)
    with pytest.raises(Unavailable):
        announcer.announce(READY)
    assert github.comments_on(REPOSITORY, 7) == []
    announcer.announce(READY)
    assert github.comments_on(REPOSITORY, 7)[0].startswith("ours\n")


def test_cx_obeys_no_comment_of_its_own(github: FakeGitHub, announcer: GitHubAnnouncer) -> None:
    github.repository(REPOSITORY).contents["main", TEMPLATE] = b"/cx approve {{ head }}"
    announcer.announce(READY)
    (said,) = github.comments_on(REPOSITORY, 7)
    assert said.startswith(f"/cx approve {ONE}\n")
    assert spoken(said) == ()
    assert spoken(said.partition("<!--")[0]) != ()  # as anybody else's it would be one


# --- a GitHub App
@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    made = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    path = tmp_path_factory.mktemp("app") / "key.pem"
    path.write_bytes(made)
    return path


@pytest.fixture
def as_app(github: FakeGitHub, url: str, key: Path) -> Callable[[], tuple[GitHubForge, GitHubAnnouncer]]:
    github.login, github.app = "cx[bot]", 5
    github.tokens.clear()
    github.open(REPOSITORY, 7, ONE)

    def open_() -> tuple[GitHubForge, GitHubAnnouncer]:
        settings = GitHub(base_url=url, repositories={REPOSITORY: Rules()}, app_id=5, private_key=key)
        forge, announcer = open_github(settings, {})
        forge.connection.sleep = lambda seconds: None
        return forge, announcer

    return open_


def test_an_app_reads_and_tells_and_finds_its_comment_again(github: FakeGitHub, as_app: Opened) -> None:
    as_app()[1].announce(BUILDING)
    forge, announcer = as_app()
    announcer.announce(READY)
    assert forge.pull(PULL)
    (said,) = github.comments_on(REPOSITORY, 7)
    assert "is ready" in said
    credentials = forge.credentials(REPOSITORY)
    assert credentials is not None
    assert credentials.password in github.tokens


def test_an_apps_token_is_used_until_it_ends_and_then_renewed(github: FakeGitHub, as_app: Opened) -> None:
    forge, _ = as_app()
    for _ in range(3):
        forge.pull(PULL)
    assert github.installation_tokens == 1
    github.token_lasts_s = 10  # less than is left of a token when it is renewed
    forge, _ = as_app()
    github.tokens.clear()
    forge.pull(PULL)
    before = github.installation_tokens
    github.tokens.clear()  # it has ended, as GitHub sees it
    assert forge.pull(PULL)
    assert github.installation_tokens > before


def test_an_app_that_was_installed_anew_is_found_again(github: FakeGitHub, as_app: Opened) -> None:
    forge, _ = as_app()
    assert forge.pull(PULL)
    github.installation += 1
    github.tokens.clear()
    assert forge.pull(PULL)


def test_an_app_whose_token_is_never_taken_gives_up(github: FakeGitHub, as_app: Opened) -> None:
    github.fail("GET", "/pulls/7$", status=401, times=99)
    with pytest.raises(Unavailable, match="no more"):
        as_app()[0].pull(PULL)
    assert github.installation_tokens < 5


def test_an_app_that_is_not_installed_is_said_plainly(github: FakeGitHub, as_app: Opened) -> None:
    github.installation = 0
    forge, _ = as_app()
    with pytest.raises(Forbidden, match=r"not installed on acme/shop"):
        forge.pull(PULL)
    assert forge.refused() == ["the GitHub App is not installed on a repository"]
    github.installation = 7
    assert forge.pull(PULL)
    assert forge.refused() == []


def test_an_app_that_github_does_not_know_is_said_plainly(github: FakeGitHub, as_app: Opened) -> None:
    """By a wrong number, or the key of another App."""
    github.app = None
    forge, _ = as_app()
    with pytest.raises(Forbidden, match=r"does not know the App 5 with this key; compare github\.app_id and"):
        forge.pull(PULL)
    assert forge.refused() == ["GitHub does not know the App by its number and key"]


def doctors_rows(settings: GitHub) -> list[Check]:
    class Host:
        github = settings

    nothing: Any = None
    return list(Doctor(nothing, nothing, nothing, Host, nothing, nothing)._github())  # type: ignore[arg-type]


def test_the_doctor_says_what_an_app_lacks(github: FakeGitHub, url: str, as_app: Opened, key: Path) -> None:
    settings = GitHub(base_url=url, repositories={"acme/Shop": Rules()}, app_id=5, private_key=key)
    (row,) = doctors_rows(settings)
    assert (row.name, row.state) == ("github acme/shop", "ok")
    github.rights.discard("deployment")
    (row,) = doctors_rows(settings)
    assert (row.state, row.finding) == ("broken", "the App lacks deployments: write")
    github.installation = 0
    (row,) = doctors_rows(settings)
    assert (row.state, row.finding) == ("broken", "the GitHub App 5 is not installed on acme/shop")


@pytest.mark.parametrize(
    ("scopes", "people", "private", "finding"),
    [
        (None, "write", True, ""),
        ("repo, read:org", "admin", True, ""),
        ("public_repo", "write", False, ""),
        ("public_repo", "write", True, "the token may not see private repositories"),
        ("gist", "write", False, "the token has the scopes gist"),
        ("", "write", False, "the token has the scopes none"),
        (None, "read", True, "the token's owner may not write"),
    ],
)
def test_the_doctor_says_what_a_token_lacks(
    github: FakeGitHub, url: str, scopes: str | None, people: str, private: bool, finding: str
) -> None:
    github.scopes = scopes
    repository = github.repository(REPOSITORY)
    repository.people[github.login], repository.private = people, private
    (row,) = doctors_rows(GitHub(base_url=url, token=Secret(TOKEN), repositories={REPOSITORY: Rules()}))
    assert row.state == ("broken" if finding else "ok")
    assert finding in row.finding
    assert github.writes() == []


def test_the_doctor_says_that_a_token_is_refused(github: FakeGitHub, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    github.repository(REPOSITORY)
    github.tokens.clear()
    (row,) = doctors_rows(GitHub(base_url=url, token=Secret(TOKEN), repositories={REPOSITORY: Rules()}))
    assert (row.state, row.finding) == ("broken", "GitHub refuses the token: Bad credentials")
    monkeypatch.delenv("GITHUB_TOKEN", raising=False)
    (row,) = doctors_rows(GitHub(base_url=url, repositories={REPOSITORY: Rules()}))
    assert "GITHUB_TOKEN" in row.remedy
    assert doctors_rows(GitHub(base_url=url)) == []


@pytest.mark.parametrize(("content", "said"), [(None, "No such file"), ("no key", "no private key")])
def test_a_key_that_is_none_is_said_at_once(tmp_path: Path, content: str | None, said: str) -> None:
    path = tmp_path / "key.pem"
    if content is not None:
        path.write_text(content)
    with pytest.raises(Invalid, match=said):
        open_github(GitHub(app_id=5, private_key=path), {})


# --- GitHub Enterprise


@pytest.mark.parametrize("by", ["token", "app"])
def test_an_enterprise_server_is_asked_below_its_base_url_and_nothing_else_is(by: str, key: Path) -> None:
    """Several pages, the comment, the deployment, the status and the App's tokens; and fetches from its host."""
    with fake_github("cx[bot]" if by == "app" else "cx-bot", page=2, root="/api/v3") as github:
        github.app, github.tokens = (5, set()) if by == "app" else (None, {TOKEN})
        for number in (7, 8, 9):
            github.open(REPOSITORY, number, ONE)
        asked = {"app_id": 5, "private_key": key} if by == "app" else {}
        settings = GitHub(base_url=github.url, repositories={REPOSITORY: Rules()}, **asked)  # type: ignore[arg-type]
        forge, announcer = open_github(settings, {} if by == "app" else {"GITHUB_TOKEN": TOKEN})
        assert [one.id.number for one in forge.open_pulls(REPOSITORY)] == [7, 8, 9]
        announcer.announce(READY)
        assert len(github.comments_on(REPOSITORY, 7)) == 1
        assert set(github.states(REPOSITORY, "preview-7").values()) == {"success"}
        assert {path.startswith("/api/v3/") for _, path in github.requests} == {True}
        assert github.installation_tokens == (by == "app")
        assert forge.fetch_url(REPOSITORY) == f"{github.url.removesuffix('/api/v3')}/{REPOSITORY}.git"
