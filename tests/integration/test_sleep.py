"""What sleeps keeps all that it has and runs nothing; waking starts the very same containers. Also after kill -9."""

from __future__ import annotations

import json
import time
from pathlib import Path
from urllib.parse import urlencode

import docker
import pytest
from live import EXAMPLES, Cx, Project

SLEEP = ("after route to sleep", "inside stop")
WAKE = ("before wake", "inside wake", "before publish")


@pytest.fixture(scope="module")
def guest(cx: Cx, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Project]:
    """A deployed guestbook with a note in it, for all tests of this file."""
    project = Project(tmp_path_factory.mktemp("sleeping") / "guestbook", EXAMPLES / "guestbook")
    name = "preview-sleeper"
    cx("deploy", project.folder, "--namespace", name)
    cx.get(name, method="POST", body=urlencode({"author": "a", "note": "kept asleep"}))
    return name, project


def ids(cx: Cx, name: str) -> set[str]:
    return {one.id for one in cx.observe(name).containers}


def died(cx: Cx, point: str, *argv: object) -> None:
    done = cx(*argv, check=False, CX_TEST_DIE_AT=point)
    assert done.returncode == -9, (point, done.returncode, done.stdout, done.stderr)


def test_it_sleeps_and_wakes_with_its_containers_and_data(cx: Cx, guest: tuple[str, Project]) -> None:
    name, _ = guest
    before, first = cx.observe(name), ids(cx, name)
    cx("sleep", name)
    seen = cx.observe(name)
    assert all(one.stopped for one in seen.containers)
    assert (seen.networks, seen.volumes, seen.images, seen.clones, seen.route) == (
        before.networks, before.volumes, before.images, before.clones, before.route,
    )  # fmt: skip
    status, text = cx.ask(name)
    assert (status, text.strip()) == (503, "no available server")
    assert cx("list").stdout.splitlines()[1].split()[1] == "asleep"
    client = docker.from_env()
    ran = [one.id for one in seen.containers if one.role != "release"]
    policies = {client.containers.get(one).attrs["HostConfig"]["RestartPolicy"]["Name"] for one in ran}
    assert policies == {"unless-stopped"}  # or the engine would wake it when it comes back
    assert "nothing changed" in cx("sleep", name).stdout

    began = time.monotonic()
    assert "awake" in cx("wake", name).stdout
    assert time.monotonic() - began < 20
    assert "kept asleep" in cx.get(name)
    assert ids(cx, name) == first
    running = [one for one in cx.observe(name).containers if one.role in ("service", "pooler")]
    assert {one.service for one in running} == {"app", "db"}
    policies = {client.containers.get(one.id).attrs["HostConfig"]["RestartPolicy"]["Name"] for one in running}
    client.close()
    assert policies == {"always"}
    assert "nothing changed" in cx("wake", name).stdout


@pytest.mark.parametrize("point", SLEEP)
def test_a_sleep_that_was_killed_is_completed_by_the_next(cx: Cx, guest: tuple[str, Project], point: str) -> None:
    name, _ = guest
    cx("wake", name)
    died(cx, point, "sleep", name)
    cx("sleep", name)
    assert all(one.stopped for one in cx.observe(name).containers)
    assert cx.ask(name)[0] == 503


@pytest.mark.parametrize("point", WAKE)
def test_a_wake_that_was_killed_is_completed_by_the_next(cx: Cx, guest: tuple[str, Project], point: str) -> None:
    name, _ = guest
    cx("sleep", name)
    first = ids(cx, name)
    died(cx, point, "wake", name)
    cx("wake", name)
    assert "kept asleep" in cx.get(name)
    assert ids(cx, name) == first
    assert "nothing changed" in cx("wake", name).stdout


def test_a_deploy_wakes(cx: Cx, guest: tuple[str, Project]) -> None:
    name, project = guest
    cx("sleep", name)
    events = [json.loads(line) for line in cx("deploy", project.folder, "-n", name, "--json").stdout.splitlines()]
    assert events[-1]["event"] == "awake"
    cx("sleep", name)
    project.write("more.txt", "another tree")
    cx("deploy", project.folder, "--namespace", name)
    assert "kept asleep" in cx.get(name)
    assert len(cx.observe(name).revisions) == 1


def test_what_is_over_goes_with_prune(cx: Cx, guest: tuple[str, Project]) -> None:
    """Last in this file: the guestbook goes."""
    name, _ = guest
    assert "ends in 3 d" in cx("extend", name, "3d").stdout
    assert name not in cx("prune", "--expired", "--force").stdout
    assert cx.json("extend", name, "1h")["expires_at"] - time.time() > 2 * 86400  # type: ignore[index]  # not earlier
    assert cx("extend", name, "never").stdout.strip().endswith("has no end")
    assert cx("extend", name, "3 days", check=False).returncode == 2
    cx("extend", name, "1h")
    cx("sleep", name)
    over(cx, name)
    assert name not in cx("prune", "--force").stdout
    cx("prune", "--expired", "--force")
    assert cx.observe(name).leftovers() == []
    assert name not in cx("list").stdout


def over(cx: Cx, name: str) -> None:
    """Its end has come: an hour is too long for a test."""
    import sqlite3

    state = next(line.split('"')[1] for line in cx.config.read_text().splitlines() if line.startswith("state_dir"))
    with sqlite3.connect(Path(state) / "cx.db") as database:
        database.execute("UPDATE desired SET expires_at = ? WHERE namespace = ?", (time.time() - 1, name))
    database.close()
