"""Every request of cx, and every answer of the tests' GitHub, as GitHub's own description has it: a proxy in between
(Prism) validates both."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pytest
from description import USED, WHOLE, cut
from forge.fake import TOKEN, FakeGitHub
from ports import free_port

from cx.forges.github import open_github
from cx.forges.github.rights import missing
from cx.pulls.budget import Urgency
from cx.pulls.statuses import of_report
from cx.pulls.values import DatabaseShown, Phase, PullId, Report, ServiceShown
from cx.settings.github import GitHub
from cx.settings.github import Repository as Rules

PRISM = Path(__file__).parent / "node_modules/.bin/prism"
REPOSITORY = "acme/shop"
PULL = PullId(REPOSITORY, 7)
ONE, TWO = "1" * 40, "2" * 40
HEADERS = {"Authorization": f"token {TOKEN}"}


@dataclass
class Described:
    """`url` is the proxy's; `said` what it has printed."""

    url: str
    github: FakeGitHub
    log: Path

    def violations(self) -> list[str]:
        return [line for line in self.log.read_text().splitlines() if "iolation" in line]


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Described]:
    assert WHOLE.exists(), "run scripts/contract first"
    folder = tmp_path_factory.mktemp("prism")
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    github = FakeGitHub(page=2)
    github.public_url = url
    upstream = github.start()
    (folder / "github.json").write_text(json.dumps(cut(url)))
    log = folder / "log"
    with log.open("w") as out:
        prism = subprocess.Popen(
            [PRISM, "proxy", "--errors", "--port", str(port), folder / "github.json", upstream],
            stdout=out, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    try:
        until = time.monotonic() + 60
        while "is listening" not in log.read_text():
            assert prism.poll() is None and time.monotonic() < until, log.read_text()  # noqa: PT018
            time.sleep(0.1)
        yield Described(url, github, log)
    finally:
        os.killpg(prism.pid, signal.SIGKILL)
        prism.wait()
        github.stop()


def test_all_that_cx_asks_and_is_told_is_as_described(described: Described, tmp_path: Path) -> None:
    github = described.github
    github.open(REPOSITORY, 7, ONE, labels=("preview",))
    for number in (8, 9, 10):  # `head.repo` is null where a fork is gone, which the description does not know
        github.open(REPOSITORY, number, TWO, fork=True)
    github.repository(REPOSITORY).people |= {"ada": "write", "eve": "read"}
    github.repository(REPOSITORY).contents["main", ".cx/comment.md.j2"] = b"{{ phase }}: our own words"
    command = github.comment(REPOSITORY, 7, "ada", "/cx deploy")
    settings = GitHub(base_url=described.url, repositories={REPOSITORY: Rules()})
    forge, announcer = open_github(settings, {"GITHUB_TOKEN": TOKEN})

    assert [one.id.number for one in forge.open_pulls(REPOSITORY)] == [7, 8, 9, 10]
    assert forge.pull(PULL)
    assert forge.pull(PullId(REPOSITORY, 99)) is None
    assert forge.changed_paths(PULL) == ["app.py"]
    assert [(one.id, one.number, one.login) for one in forge.comments(REPOSITORY, 0)] == [(command, 7, "ada")]
    assert [forge.may_write(REPOSITORY, one) for one in ("ada", "eve")] == [True, False]

    announcer.react(REPOSITORY, command, "eyes")
    url = "http://preview-7-app.localhost:8080"
    held = Report(PULL, "preview-7", ONE, Phase.HELD)
    ready = Report(
        PULL, "preview-7", ONE, Phase.READY, serving=ONE, services=(ServiceShown("app", url, "healthy"),),
        databases=(DatabaseShown("app", "2026-11-20T03:00:00Z"),), took_s=4.2,
    )  # fmt: skip
    failed = replace(ready, phase=Phase.FAILED, step="build app", message="it broke", log=("a", "b"))
    story = [
        held,
        *(replace(held, phase=one) for one in (Phase.QUEUED, Phase.BUILDING, Phase.CLONING, Phase.STARTING)),
        ready,
        replace(failed, head=TWO),
        replace(ready, head=TWO),
        replace(ready, head=TWO, phase=Phase.SLEEPING),
        replace(held, head=TWO, phase=Phase.REMOVED),
    ]
    for report in story:
        announcer.announce(report)
        if status := of_report(report):
            announcer.status(PULL, report.head, status, Urgency.FINAL)
    github.repository(REPOSITORY).environments.add("preview-7")
    open_github(settings, {"GITHUB_TOKEN": TOKEN})[1].announce(story[-1])  # another process: it finds all
    stray = github._comment(github.repository(REPOSITORY), 7, github.login, github.comments_on(REPOSITORY, 7)[0])
    open_github(settings, {"GITHUB_TOKEN": TOKEN})[1].announce(ready)
    assert stray["id"] not in github.repository(REPOSITORY).comments

    github.app = 5
    key = tmp_path / "key.pem"
    subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, capture_output=True)
    app = GitHub(base_url=described.url, repositories={REPOSITORY: Rules()}, app_id=5, private_key=key)
    assert open_github(app, {})[0].pull(PULL)
    assert list(missing(settings, {"GITHUB_TOKEN": TOKEN})) == [(REPOSITORY, "", "")]
    assert list(missing(app, {})) == [(REPOSITORY, "", "")]
    person, github.login = github.login, "cx[bot]"
    eight = replace(ready, pull=PullId(REPOSITORY, 8), namespace="preview-8")
    for phase in (Phase.BUILDING, Phase.READY, Phase.READY):  # each from a process of its own
        open_github(app, {})[1].announce(replace(eight, phase=phase))
    assert len(github.comments_on(REPOSITORY, 8)) == 1
    github.app, github.login = None, person

    assert described.violations() == []
    (said,) = github.comments_on(REPOSITORY, 7)
    assert said.startswith("ready: our own words\n")
    operations = {(method.lower(), path) for path, methods in USED.items() for method in methods}
    asked = {(method.lower(), _template(path)) for method, path in github.requests}
    assert asked == operations


def test_a_wrong_request_and_a_wrong_answer_are_found(described: Described) -> None:
    """The check can fail."""
    github = described.github
    github.open(REPOSITORY, 7, ONE)
    at = f"{described.url}/repos/{REPOSITORY}"
    assert httpx.post(f"{at}/issues/7/comments", json={}, headers=HEADERS).status_code == 422
    assert httpx.post(f"{at}/statuses/{ONE}", json={"state": "fine"}, headers=HEADERS).status_code == 422
    assert httpx.get(f"{at}/nothing", headers=HEADERS).status_code == 404
    github.repository(REPOSITORY).pulls[7].pop("number")
    assert httpx.get(f"{at}/pulls/7", headers=HEADERS).status_code == 500
    github.open(REPOSITORY, 7, ONE)


def _template(path: str) -> str:
    """The description's path for one that was asked for."""
    parts = path.split("/")
    for template in USED:
        names = template.split("/")
        if len(names) == len(parts) and all(n == p or n.startswith("{") for n, p in zip(names, parts, strict=True)):
            return template
    return path
