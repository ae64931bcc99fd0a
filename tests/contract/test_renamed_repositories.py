"""A repository is followed by GitHub's number: under another name, of another owner, and when its name is another's."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from forge.fake import TOKEN, FakeGitHub, fake_github
from telling_all import tell_all

from cx.core.errors import NotFound
from cx.forges.github import GitHubAnnouncer, GitHubForge, open_github
from cx.forges.github.answers import Elsewhere, Stranger, Unavailable
from cx.pulls.repositories import Remembered
from cx.pulls.values import Phase, PullId, Report
from cx.settings.github import GitHub
from cx.settings.github import Repository as Rules

REPOSITORY, NEW = "acme/shop", "globex/Store"
PULL = PullId(REPOSITORY, 7)
ONE, TWO = "1" * 40, "2" * 40
READY = Report(PULL, "preview-7", ONE, Phase.READY, serving=ONE)
Opened = Callable[..., tuple[GitHubForge, GitHubAnnouncer]]


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("key") / "key.pem"
    subprocess.run(["openssl", "genrsa", "-out", path, "2048"], check=True, capture_output=True)
    return path


@pytest.fixture(params=["token", "app"])
def opened(request: pytest.FixtureRequest, key: Path, github: FakeGitHub) -> Opened:
    """Of one host, which remembers; with a token, and as an App."""
    github.open(REPOSITORY, 7, ONE)
    remembered = Remembered()
    asked = {}
    if request.param == "app":
        github.login, github.app, asked = "cx[bot]", 5, {"app_id": 5, "private_key": key}

    def open_(**rules: object) -> tuple[GitHubForge, GitHubAnnouncer]:
        settings = GitHub(base_url=github.url, repositories={REPOSITORY: Rules(**rules)}, **asked)  # type: ignore[arg-type]
        forge, announcer = open_github(settings, {"GITHUB_TOKEN": TOKEN}, None, None if rules else remembered)
        forge.connection.sleep = lambda seconds: None
        return forge, announcer

    return open_


def test_one_that_was_renamed_or_transferred_is_followed_on(github: FakeGitHub, opened: Opened) -> None:
    forge, announcer = opened()
    assert [one.head for one in forge.open_pulls(REPOSITORY)] == [ONE]
    announcer.announce(replace(READY, phase=Phase.BUILDING))
    github.rename(REPOSITORY, NEW)
    tell_all(announcer, READY)  # a write is the first that meets it
    assert forge.pull(PULL) == replace(forge.pull(PULL), id=PULL, head=ONE)
    (said,) = github.comments_on(NEW, 7)
    assert "is ready" in said
    assert github.states(NEW, "preview-7") == {ONE: "success"}
    assert github.repository(NEW).statuses[ONE][-1]["state"] == "success"
    assert forge.fetch_url(REPOSITORY) == f"{github.url}/globex/store.git"
    before = len(github.requests)
    another, _ = opened()
    assert another.pull(PULL)
    assert [path for _, path in github.requests[before:] if "acme" in path] == [], "its name is known"


def test_every_page_of_it_is_read(github: FakeGitHub, opened: Opened) -> None:
    github.page = 2
    for number in range(8, 13):
        github.open(REPOSITORY, number, ONE)
    forge, _ = opened()
    github.rename(REPOSITORY, NEW)
    assert [one.id.number for one in forge.open_pulls(REPOSITORY)] == [7, 8, 9, 10, 11, 12]


def test_one_that_took_the_old_name_is_not_followed(github: FakeGitHub, opened: Opened) -> None:
    """Else whoever gets the name would get the previews, the variables and the data of the old one."""
    forge, announcer = opened()
    forge.open_pulls(REPOSITORY)
    github.rename(REPOSITORY, NEW)
    github.open(REPOSITORY, 7, TWO)
    github.open(REPOSITORY, 8, TWO)
    assert forge.pull(PULL).head == ONE
    assert forge.pull(PullId(REPOSITORY, 8)) is None
    announcer.announce(READY)
    assert github.comments_on(REPOSITORY, 7) == []
    assert [one.head for one in opened()[0].open_pulls(REPOSITORY)] == [ONE]


def test_one_that_was_made_anew_is_a_stranger_until_the_owner_says_its_number(
    github: FakeGitHub, opened: Opened
) -> None:
    forge, _ = opened()
    forge.open_pulls(REPOSITORY)
    del github.repositories[REPOSITORY]
    number = github.open(REPOSITORY, 7, TWO)["base"]["repo"]["id"]
    for ask in (forge.open_pulls, lambda repository: forge.pull(PULL)):
        with pytest.raises(Stranger, match=rf'set github\.repositories\."acme/shop"\.id = {number}$'):
            ask(REPOSITORY)
    assert forge.refused() == ["a repository is another one than the one that was followed"]
    assert opened(id=number)[0].pull(PULL).head == TWO
    with pytest.raises(Stranger):
        opened(id=number + 1000)[0].open_pulls(REPOSITORY)


def test_a_pull_request_is_not_gone_because_its_repository_moved(github: FakeGitHub, opened: Opened) -> None:
    forge, _ = opened()
    forge.open_pulls(REPOSITORY)
    github.rename(REPOSITORY, NEW)
    github.open(REPOSITORY, 9, TWO)  # the new owner of the name has no number 7
    assert forge.pull(PULL).head == ONE
    del github.repositories[NEW.lower()]
    with pytest.raises((Stranger, NotFound)):
        forge.pull(PULL)


@pytest.mark.parametrize(
    "location",
    ["https://elsewhere.example/repositories/5", "{url}/user", "{url}/repositories/5/../../user", "", "{url}"],
)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirection_is_a_success_or_leads_the_token_elsewhere(
    github: FakeGitHub, status: int, location: str
) -> None:
    github.open(REPOSITORY, 7, ONE)
    settings = GitHub(base_url=github.url, repositories={REPOSITORY: Rules()})
    forge, announcer = open_github(settings, {"GITHUB_TOKEN": TOKEN})
    forge.connection.sleep = lambda seconds: None
    headers = {"Location": location.format(url=github.url)}
    github.fail("GET", "/pulls/7$", status=status, headers=headers, times=9)
    with pytest.raises(Elsewhere, match=f"GitHub answers {status}, and leads elsewhere"):
        forge.pull(PULL)
    github.faults.clear()
    for number, path in enumerate(("/issues/7/comments$", "/deployments$", "/statuses/")):
        report = replace(READY, head=str(number) * 40)
        github.fail("POST", path, status=status, headers=headers)
        with pytest.raises(Unavailable):
            tell_all(announcer, report)
        tell_all(announcer, report)
        assert github.repository(REPOSITORY).statuses[report.head][-1]["state"] == "success"
        assert github.states(REPOSITORY, "preview-7")[report.head] == "success"
    assert len(github.comments_on(REPOSITORY, 7)) == 1


def test_a_redirection_of_an_enterprise_server_stays_below_its_api() -> None:
    with fake_github(root="/api/v3") as github:
        github.open(REPOSITORY, 7, ONE)
        settings = GitHub(base_url=github.url, repositories={REPOSITORY: Rules()})
        forge, _ = open_github(settings, {"GITHUB_TOKEN": TOKEN})
        github.rename(REPOSITORY, NEW)
        assert forge.pull(PULL)
        assert {path.startswith("/api/v3/") for _, path in github.requests} == {True}
