"""Pull requests end to end: a bare repository with real refs, `cx git listen` as a process, signed deliveries, real
containers, and the tests' own GitHub (tests/suites/forge)."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from forge.fake import TOKEN, FakeGitHub, Repository, fake_github
from live import Cx, Project, free_port

from cx.process.sessions import members

REPOSITORY = "Acme/Shop"

SECRET = "a secret of the webhook"
GREETING = "good day from the owner"
SLOW = f"RUN sleep 5 # {secrets.token_hex(4)}\n"  # not what another run has left in the cache of builds
WAIT_S = 90


@dataclass
class Team:
    """A repository with pull requests, and a listener that follows it."""

    cx: Cx
    folder: Path
    project: Project
    port: int
    github: FakeGitHub
    process: subprocess.Popen[bytes] | None = None
    deliveries: int = 0
    sessions: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.github.repository(REPOSITORY).people |= {"owner": "write", "stranger": "read"}
        self.bare = self.folder / "origin.git"
        subprocess.run(["git", "init", "--quiet", "--bare", str(self.bare)], check=True)

    # --- people
    @property
    def there(self) -> Repository:
        return self.github.repository(REPOSITORY)

    def push(self, number: int, version: str, *, slow: bool = False, fork: bool = False, release: str = "") -> str:
        """A new head of the pull request that answers with `version`; GitHub knows it."""
        text = (self.project.folder / "app.py").read_text()
        self.project.write("app.py", re.sub(r'VERSION = ".*"', f'VERSION = "{version}"', text))
        plain = (self.project.folder / "Dockerfile").read_text().replace(SLOW, "")
        self.project.write("Dockerfile", plain.replace("EXPOSE", SLOW + "EXPOSE") if slow else plain)
        if release:
            command = json.dumps(["sh", "-c", release])
            self.project.write("cx.toml", f'release = {command}\n[services.app]\nbuild = "."\nport = 8000\n')
        sha = self.project.commit()
        ref = f"{sha}:refs/pull/{number}/head"
        subprocess.run(["git", "-C", str(self.project.folder), "push", "-qf", str(self.bare), ref], check=True)
        if number in self.there.pulls:
            self.github.push(REPOSITORY, number, sha)
        else:
            self.github.open(REPOSITORY, number, sha, fork=fork)
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

    def says(self, number: int, text: str, login: str = "owner") -> int:
        """Its identity."""
        time.sleep(1.1)  # GitHub tells the time of a comment in whole seconds
        identity = self.github.comment(REPOSITORY, number, login, text)
        self.deliver(
            number,
            "created",
            "issue_comment",
            issue={"number": number, "pull_request": {"url": "https://api.github.com/x"}},
            comment={
                "id": identity,
                "body": text,
                "user": {"login": login},
                "created_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            },
        )
        return identity

    # --- the listener
    def start(self, **environment: str) -> None:
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "cx", "git", "listen"],
                env={
                    **os.environ,
                    "CX_CONFIG": str(self.folder / "host.toml"),
                    "GITHUB_TOKEN": TOKEN,
                    "HOOK": SECRET,
                    **environment,
                },
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
    def logged(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / "log").read_text().splitlines()]

    def until(self, true: Callable[[], bool]) -> None:
        end = time.monotonic() + WAIT_S
        while not true():
            if time.monotonic() > end:
                raise AssertionError((self.folder / "log").read_text()[-6000:])
            time.sleep(0.05)

    def shown(self, number: int) -> str:
        """The comment of cx. There is one at most."""
        comments = self.github.comments_on(REPOSITORY, number)
        assert len(comments) <= 1
        return comments[0] if comments else ""

    def until_shown(self, number: int, phase: str, head: str = "") -> None:
        title = f"Preview `preview-{number}` {phase}\n"

        def shown() -> bool:
            said = self.shown(number)
            return title in said and head[:8] in said

        self.until(shown)

    def deployed(self, number: int) -> dict[str, str]:
        """Commit -> the last status of its deployment on GitHub."""
        return self.github.states(REPOSITORY, f"preview-{number}")

    def outcomes(self, number: int) -> dict[str, str]:
        """Version -> how it ended, by cx's own history."""
        found = json.loads(self.cx("events", f"preview-{number}", "--json").stdout)["deployments"]
        return {one["version"]: one["outcome"] for one in reversed(found)}

    def answer(self, number: int) -> str:
        return self.cx.get(f"preview-{number}").strip()

    def jobs(self) -> list[str]:
        """What runs of the listener's jobs, and of what they started; also of those whose job is gone."""
        mine = f"CX_CONFIG={self.folder / 'host.toml'}".encode()
        for one in Path("/proc").iterdir():
            try:
                if one.name.isdigit() and b"cx.host.jobs" in (one / "cmdline").read_bytes():
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
    with fake_github() as github:
        team = Team(cx, folder, hello, free_port(), github)
        (folder / "host.toml").write_text(
            cx.config.read_text()
            + f"""
[listen]
port = {team.port}
secrets = ["env:HOOK"]
[github]
base_url = "{github.url}"
allow_local = true
sync_s = 3600
[github.repositories."{REPOSITORY}"]
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
    # The first comparison is over: it would find the pull request too, and then it is no delivery that asked.
    team.until(lambda: any(one["event"] == "compared" for one in team.logged()))
    one = team.push(7, "one")
    team.deliver(7, "opened")
    team.until_shown(7, "is ready", one)
    assert team.answer(7) == f"one {GREETING}"

    # Every step is in the log under the delivery that asked for it.
    logged = [one for one in team.logged() if one.get("delivery") == "d-1"]
    assert [one["event"] for one in logged if one["event"] != "looked"][:2] == ["delivery stored", "fetched"]
    assert {"build app", "start", "probe", "publish"} <= {one["step"] for one in logged if one["event"] == "step"}
    assert "deployed" in [one["event"] for one in logged]

    assert f"http://preview-7-app.localhost:{team.cx.port}" in team.shown(7)
    team.until(lambda: team.deployed(7) == {one: "success"})
    team.until(lambda: bool(team.there.statuses[one][-1]["state"] == "success"))

    # Pushed twice during a build: the old one is ended with all that it started, and only the newest is built.
    two = team.push(7, "two", slow=True)
    team.deliver(7)
    team.until(team.builds)
    assert team.answer(7) == f"one {GREETING}"
    team.push(7, "three", slow=True)
    team.deliver(7)
    four = team.push(7, "four")
    team.deliver(7)
    team.until_shown(7, "is ready", four)
    assert team.answer(7) == f"four {GREETING}"
    team.until(lambda: {sha for sha, state in team.deployed(7).items() if state == "success"} == {four})
    outcomes = team.outcomes(7)
    assert {version for version, outcome in outcomes.items() if outcome == "ready"} == {one[:8], four[:8]}
    assert outcomes[two[:8]] == "superseded"

    # Closed during a build: nothing stays.
    team.push(7, "five", slow=True)
    team.deliver(7)
    team.until(team.builds)
    team.github.close(REPOSITORY, 7)
    team.deliver(7, "closed")
    team.until_shown(7, "is removed")
    assert team.cx.observe("preview-7").leftovers() == []
    assert team.cx.ask("preview-7")[0] == 404
    assert team.jobs() == []
    team.until(lambda: team.there.environments == set())
    assert set(team.deployed(7).values()) == {"inactive"}

    # Reopened, and killed in the middle of a build: the build ends with the listener; the next one goes on.
    team.github.reopen(REPOSITORY, 7)
    six = team.push(7, "six", slow=True)
    team.deliver(7, "reopened")
    team.until(team.builds)
    team.stop(signal.SIGKILL)
    team.until(lambda: team.jobs() == [])
    team.start()
    team.until_shown(7, "is ready", six)
    assert team.answer(7) == f"six {GREETING}"

    # Closed while nobody listens, its delivery lost, another one opened: the comparison at the start sees both.
    assert team.stop() == 0
    team.github.close(REPOSITORY, 7)
    eight = team.push(8, "eight", release="echo migrated")
    team.start()
    team.until_shown(7, "is removed")
    team.until_shown(8, "is ready", eight)
    assert re.search(r"· release command [0-9.]+ s", team.shown(8))
    assert "release command" not in team.shown(7)
    assert team.cx.observe("preview-7").leftovers() == []
    assert team.answer(8) == f"eight {GREETING}"
    nine = team.push(8, "nine", release="echo no such column >&2; exit 4")
    team.deliver(8)
    team.until_shown(8, "failed at `release`", nine)
    said = team.shown(8)
    assert re.search(r"failed · release command [0-9.]+ s", said)
    assert "no such column" in said
    assert team.answer(8) == f"eight {GREETING}"
    team.github.close(REPOSITORY, 8)
    team.deliver(8, "closed")
    team.until_shown(8, "is removed")
    assert team.cx.observe("preview-8").leftovers() == []


def test_a_fork_waits_for_approval_and_gets_no_secrets(team: Team) -> None:
    team.start()
    head = team.push(9, "fork", fork=True)
    team.deliver(9, "opened")
    team.until_shown(9, "waits for approval", head)
    assert not held(team.cx, head)
    said = team.says(9, f"/cx approve {head}", login="stranger")
    team.until(lambda: team.github.repository(REPOSITORY).reactions.get(said) == ["-1"])
    assert "waits for approval" in team.shown(9)
    assert not held(team.cx, head)
    team.says(9, f"/cx approve {head}")
    team.until_shown(9, "is ready", head)
    assert team.answer(9) == "fork"
    newer = team.push(9, "newer")
    team.deliver(9)
    team.until_shown(9, "waits for approval", newer)
    assert team.answer(9) == "fork"
    assert not held(team.cx, newer)
    team.github.close(REPOSITORY, 9)
    team.deliver(9, "closed")
    team.until_shown(9, "is removed")
    assert team.cx.observe("preview-9").leftovers() == []


def held(cx: Cx, sha: str) -> bool:
    """One of cx's mirrors has the commit."""
    mirrors = (cx.config.parent / "state" / "git").glob("*.git")
    asked = [["git", "--git-dir", str(one), "cat-file", "-e", sha] for one in mirrors]
    return any(subprocess.run(one, capture_output=True, check=False).returncode == 0 for one in asked)


def test_the_listener_keeps_spares_ready(team: Team) -> None:
    """By its timer: nothing was deployed, and nobody asked."""

    def ready() -> list[object]:
        return list(json.loads(team.cx("db", "list", "--json").stdout)["spares"])

    team.start(CX_POSTGRES_SPARES="1")
    team.until(lambda: len(ready()) == 1)
    assert team.stop() == 0
    team.start()  # of which none are wanted any more
    team.until(lambda: ready() == [])


def test_a_namespace_is_its_owners(team: Team, tmp_path: Path) -> None:
    mine = tmp_path / "by-hand"
    shutil.copytree(team.project.folder, mine, ignore=shutil.ignore_patterns(".git"))
    (mine / "app.py").write_text(re.sub(r'VERSION = ".*"', 'VERSION = "mine"', (mine / "app.py").read_text()))
    config = {"CX_CONFIG": str(team.folder / "host.toml"), "GITHUB_TOKEN": TOKEN, "HOOK": SECRET}
    cx = partial(team.cx, **config)
    taken = "`preview-{}` belongs to somebody else\n".format

    # Deployed by hand before a pull request comes: that one gets nothing of it, and takes nothing away.
    cx("deploy", mine, "--namespace", "preview-8")
    before = team.cx.observe("preview-8")
    team.start()
    head = team.push(8, "eight")
    team.deliver(8, "opened")
    team.until(lambda: taken(8) in team.shown(8))
    team.until(lambda: [one["state"] for one in team.there.statuses.get(head, [])] == ["error"])
    for text in ("/cx reset-db", "/cx sleep", "/cx delete"):
        said = team.says(8, text)
        team.until(lambda said=said: bool(team.there.reactions.get(said)))
    team.github.close(REPOSITORY, 8)
    team.deliver(8, "closed")
    team.until(lambda: [one["why"] for one in team.logged() if one["event"] == "looked"][-1].endswith("is closed"))
    cx("git", "sync")
    assert team.answer(8).startswith("mine")
    assert team.cx.observe("preview-8") == before
    assert taken(8) in team.shown(8)
    assert str(tmp_path) not in team.shown(8)

    # A pull request's own: whoever comes by hand is told whose it is.
    seven = team.push(7, "seven")
    team.deliver(7, "opened")
    team.until_shown(7, "is ready", seven)
    refused = cx("deploy", mine, "--namespace", "preview-7", check=False)
    assert (refused.returncode, len(refused.stderr.splitlines())) == (1, 1)
    assert refused.stderr.startswith("cx: preview-7 belongs to a pull request of acme/shop; choose another name, or ")
    assert team.answer(7) == f"seven {GREETING}"

    # The host's owner may delete it, and take it over; the pull request says so.
    assert "nobody to ask" in cx("delete", "--namespace", "preview-7", "--json", check=False).stderr
    cx("delete", "--namespace", "preview-7", "--force")
    team.until_shown(7, "is removed", "")
    team.says(7, "/cx deploy")
    team.until_shown(7, "is ready", seven)
    cx("deploy", mine, "--namespace", "preview-7", "--take-over")
    team.until(lambda: taken(7) in team.shown(7))
    team.until(lambda: team.there.statuses[seven][-1]["state"] == "error")
    assert team.answer(7).startswith("mine")
    cx("delete", "--namespace", "preview-7", "--force")
    cx("git", "sync")
    team.until_shown(7, "is ready", seven)
