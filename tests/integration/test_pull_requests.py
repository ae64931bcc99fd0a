"""Pull requests end to end: a bare repository with real refs, the listener as a process, signed deliveries, real
containers. GitHub's REST API alone is files (hub.py)."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hub import REPOSITORY, Hub
from live import Cx, Project, free_port

from cx.adapters.sessions import members

SECRET = "a secret of the webhook"
TOKEN = "ghs_this_is_for_the_listener_alone"
GREETING = "good day from the owner"
SLOW = "RUN sleep 4\n"
WAIT_S = 90


@dataclass
class Team:
    """A repository with pull requests, and a listener that follows it."""

    cx: Cx
    folder: Path
    project: Project
    port: int
    hub: Hub = field(init=False)
    process: subprocess.Popen[bytes] | None = None
    deliveries: int = 0
    sessions: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.hub = Hub(self.folder)
        self.bare = self.folder / "origin.git"
        subprocess.run(["git", "init", "--quiet", "--bare", str(self.bare)], check=True)

    # --- people
    def push(self, number: int, version: str, *, slow: bool = False, **facts: Any) -> str:
        """A new head of the pull request that answers with `version`; GitHub knows it."""
        text = (self.project.folder / "app.py").read_text()
        self.project.write("app.py", re.sub(r'VERSION = ".*"', f'VERSION = "{version}"', text))
        plain = (self.project.folder / "Dockerfile").read_text().replace(SLOW, "")
        self.project.write("Dockerfile", plain.replace("EXPOSE", SLOW + "EXPOSE") if slow else plain)
        sha = self.project.commit()
        ref = f"{sha}:refs/pull/{number}/head"
        subprocess.run(["git", "-C", str(self.project.folder), "push", "-qf", str(self.bare), ref], check=True)
        self.hub.set(number, head=sha, **facts)
        return sha

    def deliver(self, number: int, action: str = "synchronize", event: str = "pull_request", **more: Any) -> None:
        self.deliveries += 1
        repository = {"id": 1, "full_name": REPOSITORY, "default_branch": "main"}
        body = json.dumps(
            {"action": action, "number": number, "pull_request": {"id": 1}, "repository": repository} | more
        ).encode()
        headers = {
            "Content-Type": "application/json",
            "X-GitHub-Event": event,
            "X-GitHub-Delivery": f"d-{self.deliveries}",
            "X-Hub-Signature-256": "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest(),
        }
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request("POST", "/webhook", body, headers)
        assert connection.getresponse().status == 202
        connection.close()

    def says(self, number: int, text: str, login: str = "owner") -> None:
        self.deliver(
            number,
            "created",
            "issue_comment",
            issue={"number": number, "pull_request": {"url": "https://api.github.com/x"}},
            comment={
                "id": 100 + self.deliveries,
                "body": text,
                "user": {"login": login},
                "created_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 2)),
            },
        )

    # --- the listener
    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(Path(__file__).parent / "hub.py"), str(self.folder)],
                env={**os.environ, "CX_CONFIG": str(self.folder / "host.toml"), "GITHUB_TOKEN": TOKEN, "HOOK": SECRET},
                stderr=log,
                stdout=log,
            )
        self.until(self._answers)

    def _answers(self) -> bool:
        assert self.process
        assert self.process.poll() is None, (self.folder / "log").read_text()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def stop(self, kind: int = signal.SIGTERM) -> int:
        assert self.process
        self.process.send_signal(kind)
        status = self.process.wait(40)
        self.process = None
        return status

    # --- what is to be seen
    def until(self, true: Callable[[], bool]) -> None:
        end = time.monotonic() + WAIT_S
        while not true():
            if time.monotonic() > end:
                raise AssertionError((self.folder / "log").read_text()[-6000:])
            time.sleep(0.05)

    def last(self, number: int) -> dict[str, Any]:
        told = self.hub.told(number)
        return told[-1] if told else {"phase": "", "head": ""}

    def until_told(self, number: int, phase: str, head: str = "") -> None:
        def told() -> bool:
            one = self.last(number)
            return one["phase"] == phase and (not head or one["head"] == head)

        self.until(told)

    def answer(self, number: int) -> str:
        return self.cx.get(f"preview-{number}").strip()

    def jobs(self) -> list[str]:
        """What runs of the listener's jobs, and of what they started; also of those whose job is gone."""
        mine = f"CX_CONFIG={self.folder / 'host.toml'}".encode()
        for one in Path("/proc").iterdir():
            try:
                if one.name.isdigit() and b"cx.job" in (one / "cmdline").read_bytes():
                    environ = (one / "environ").read_bytes()
                    assert TOKEN.encode() not in environ
                    assert SECRET.encode() not in environ
                    self.sessions |= {int(one.name)} if mine in environ else set()
            except OSError:
                continue
        return [commands(pid) for session in self.sessions for pid in members(session)]

    def builds(self) -> bool:
        return any("buildx" in one for one in self.jobs())


def commands(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


@pytest.fixture
def team(cx: Cx, hello: Project, tmp_path: Path) -> Iterator[Team]:
    folder = tmp_path / "team"
    folder.mkdir()
    team = Team(cx, folder, hello, free_port())
    (folder / "host.toml").write_text(
        cx.config.read_text()
        + f"""
[listen]
port = {team.port}
secrets = ["env:HOOK"]
[github]
allow_local = true
sync_s = 3600
[github.repositories."Acme/Shop"]
url = "file://{team.bare}"
env = {{ GREETING = "{GREETING}" }}
"""
    )
    yield team
    if team.process:
        team.stop(signal.SIGKILL)
    for number in (7, 8, 9):
        cx("delete", "--namespace", f"preview-{number}", "--force")


def test_a_pull_requests_life(team: Team) -> None:
    team.start()
    one = team.push(7, "one")
    team.deliver(7, "opened")
    team.until_told(7, "ready", one)
    assert team.answer(7) == f"one {GREETING}"
    shown = team.last(7)
    assert shown["services"] == [
        {"name": "app", "url": f"http://preview-7-app.localhost:{team.cx.port}", "state": "running"}
    ]
    assert shown["took_s"] > 0

    # Pushed twice during a build: the old one is ended with all that it started, and only the newest is built.
    two = team.push(7, "two", slow=True)
    team.deliver(7)
    team.until_told(7, "building", two)
    team.until(team.builds)
    assert team.answer(7) == f"one {GREETING}"
    team.push(7, "three", slow=True)
    team.deliver(7)
    four = team.push(7, "four")
    team.deliver(7)
    team.until_told(7, "ready", four)
    assert team.answer(7) == f"four {GREETING}"
    assert [told["head"] for told in team.hub.told(7) if told["phase"] == "ready"] == [one, four]

    # Closed during a build: nothing stays.
    five = team.push(7, "five", slow=True)
    team.deliver(7)
    team.until_told(7, "building", five)
    team.until(team.builds)
    team.hub.set(7, open=False)
    team.deliver(7, "closed")
    team.until_told(7, "removed")
    assert team.cx.observe("preview-7").leftovers() == []
    assert team.cx.ask("preview-7")[0] == 404
    assert team.jobs() == []

    # Reopened, and killed in the middle of a build: the build ends with the listener; the next one goes on.
    six = team.push(7, "six", slow=True, open=True)
    team.deliver(7, "reopened")
    team.until_told(7, "building", six)
    team.until(team.builds)
    team.stop(signal.SIGKILL)
    team.until(lambda: team.jobs() == [])
    team.start()
    team.until_told(7, "ready", six)
    assert team.answer(7) == f"six {GREETING}"

    # Closed while nobody listens, its delivery lost: the comparison at the start sees it.
    assert team.stop() == 0
    team.hub.set(7, open=False)
    eight = team.push(8, "eight")
    team.start()
    team.until_told(7, "removed")
    team.until_told(8, "ready", eight)
    assert team.cx.observe("preview-7").leftovers() == []
    assert team.answer(8) == f"eight {GREETING}"
    team.hub.set(8, open=False)
    team.deliver(8, "closed")
    team.until_told(8, "removed")
    assert team.cx.observe("preview-8").leftovers() == []


def test_a_fork_waits_for_approval_and_gets_no_secrets(team: Team) -> None:
    team.start()
    head = team.push(9, "fork", head_repository_id=2)
    team.deliver(9, "opened")
    team.until_told(9, "waiting for approval", head)
    assert not held(team.cx, head)
    team.says(9, "/cx approve", login="stranger")
    team.until(lambda: bool(team.last(9)["notes"]))
    assert team.last(9)["phase"] == "waiting for approval"
    assert not held(team.cx, head)
    team.says(9, "/cx approve")
    team.until_told(9, "ready", head)
    assert team.answer(9) == "fork"
    newer = team.push(9, "newer")
    team.deliver(9)
    team.until_told(9, "waiting for approval", newer)
    assert team.answer(9) == "fork"
    assert not held(team.cx, newer)
    team.hub.set(9, open=False)
    team.deliver(9, "closed")
    team.until_told(9, "removed")
    assert team.cx.observe("preview-9").leftovers() == []


def held(cx: Cx, sha: str) -> bool:
    """One of cx's mirrors has the commit."""
    mirrors = (cx.config.parent / "state" / "git").glob("*.git")
    asked = [["git", "--git-dir", str(one), "cat-file", "-e", sha] for one in mirrors]
    return any(subprocess.run(one, capture_output=True, check=False).returncode == 0 for one in asked)
