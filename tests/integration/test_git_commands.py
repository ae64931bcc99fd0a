"""`cx git sync`, `replay` and `listen --dry-run` on a real engine, beside a GitHub that answers by HTTP."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from forge.fake import TOKEN, FakeGitHub, fake_github
from live import Cx, Project, free_port

from cx import settings
from cx.store import Database

SHOP = "acme/shop"
SECRET = "a secret of the webhook"


@dataclass
class Host:
    """The command line with a configuration that follows acme/shop, and that repository."""

    cx: Cx
    github: FakeGitHub
    bare: Path

    def open(self, project: Project, number: int) -> str:
        sha = project.commit()
        ref = f"{sha}:refs/pull/{number}/head"
        subprocess.run(["git", "-C", project.folder, "push", "-qf", self.bare, ref], check=True)
        self.github.open(SHOP, number, sha)
        return sha

    def run(self, *argv: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.cx("git", *argv, check=check, HOOK=SECRET, GITHUB_TOKEN=TOKEN)


@pytest.fixture
def host(cx: Cx, tmp_path: Path) -> Iterator[Host]:
    bare = tmp_path / "origin.git"
    subprocess.run(["git", "init", "--quiet", "--bare", bare], check=True)
    with fake_github() as github:
        github.repository(SHOP)
        config = tmp_path / "host.toml"
        config.write_text(
            cx.config.read_text()
            + f"""
[listen]
port = {free_port()}
secrets = ["env:HOOK"]
[github]
allow_local = true
base_url = "{github.url}"
namespace = "team-{{pr}}"
[github.repositories."Acme/Shop"]
url = "file://{bare}"
"""
        )
        host = Host(Cx(config, cx.port, cx.instance), github, bare)
        yield host
        for number in (7, 8):
            host.cx("delete", "--namespace", f"team-{number}", "--force")


def test_sync_alone_brings_a_host_to_what_github_says(host: Host, hello: Project) -> None:
    sha = host.open(hello, 7)
    host.run("sync")
    assert host.cx.get("team-7").split() == ["one"]
    (comment,) = host.github.comments_on(SHOP, 7)
    assert sha[:7] in comment
    assert host.github.states(SHOP, "team-7") == {sha: "success"}
    before = len(host.github.writes())
    host.run("sync")
    assert len(host.github.writes()) == before, "nothing is new, so nothing is written"
    host.github.close(SHOP, 7)
    host.run("sync")
    assert host.cx.observe("team-7").leftovers() == []
    assert len(host.github.comments_on(SHOP, 7)) == 1


def test_a_dry_run_prints_plans_and_does_nothing(host: Host, hello: Project, tmp_path: Path) -> None:
    host.open(hello, 7)
    payload = tmp_path / "payload.json"
    payload.write_text(
        json.dumps({"action": "opened", "number": 7, "pull_request": {}, "repository": {"full_name": "Acme/Shop"}})
    )
    rows = what_is_stored(host)
    for argv in (["sync", "--dry-run"], ["replay", payload, "--dry-run"]):
        said = host.run(*argv).stdout
        assert "acme/shop#7: would deploy" in said, said
    log = tmp_path / "log"
    with log.open("w") as out:
        listener = subprocess.Popen(
            [sys.executable, "-m", "cx", "git", "listen", "--dry-run"],
            env={**os.environ, "CX_CONFIG": str(host.cx.config), "HOOK": SECRET, "GITHUB_TOKEN": TOKEN},
            stdout=out, stderr=out,
        )  # fmt: skip
    try:
        until(lambda: "acme/shop#7: would deploy" in log.read_text())
        host.github.close(SHOP, 7)
        host.run("replay", payload)
        until(lambda: log.read_text().count("acme/shop#7: ") >= 2)
        listener.send_signal(signal.SIGINT)
        assert listener.wait(30) == 0
    finally:
        listener.kill()
        listener.wait()
    assert host.github.writes() == []
    assert host.cx.observe("team-7").leftovers() == []
    assert what_is_stored(host) == rows


def what_is_stored(host: Host) -> dict[str, list[tuple[object, ...]]]:
    database = Database(settings.load(host.cx.config, {}).state / "cx.db")
    try:
        tables = ("desired", "deployments", "deliveries", "queue", "commands", "pulls")
        return {name: database.run(f"SELECT * FROM {name}") for name in tables}
    finally:
        database.close()


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)
