"""The commands of data, as a user has them: snapshots, branches, differences, dumps, the schedule, spares."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from live import Cx, Project


def test_states_of_the_data(cx: Cx, guestbook: Project, preview: Callable[[], str], tmp_path: Path) -> None:
    one, two = preview(), preview()
    for name in (one, two):
        cx("deploy", guestbook.folder, "--namespace", name)
    before = cx.get(one)
    assert "no difference" not in cx("db", "diff", one).stdout  # its release command made a table
    cx("db", "snapshot", one, "before")
    cx.get(one, method="POST", body="author=a+new+guest&note=x")
    after = cx.get(one)
    assert (after != before, "a new guest" in after) == (True, True)

    cx("db", "branch", two, "--from", one, "--force")
    assert "a new guest" in cx.get(two)
    cx("db", "restore", one, "before", "--force")
    assert "a new guest" not in cx.get(one)
    assert (history(cx, one), history(cx, two)) == (["restore ready", "deploy ready"], ["branch ready", "deploy ready"])
    with ThreadPoolExecutor() as pool:  # each from the other, at once: the second waits for the first
        list(pool.map(lambda pair: cx("db", "branch", pair[0], "--from", pair[1], "--force"), [(one, two), (two, one)]))
    assert cx.get(one) == cx.get(two)
    listed = cx.json("db", "list")
    assert isinstance(listed, dict)
    assert [kept["name"] for kept in listed["snapshots"]] == ["before"]

    difference = cx.json("db", "diff", two)
    assert isinstance(difference, dict)
    assert difference["rows"]
    cx("db", "dump", one, "--file", tmp_path / "one.dump")
    assert (tmp_path / "one.dump").read_bytes()[:5] == b"PGDMP"

    cx("db", "snapshot", one, "before", "--remove")
    missing = cx("db", "restore", one, "before", "--force", check=False)
    assert (missing.returncode, "it has none" in missing.stderr) == (1, True)
    assert history(cx, one) == ["branch ready", "restore ready", "deploy ready"]  # nothing was changed


def history(cx: Cx, name: str) -> list[str]:
    """Newest first."""
    return [f"{one['doing']} {one['outcome']}" for one in json.loads(cx("show", name, "--json").stdout)["deployments"]]


def test_a_deployment_takes_a_spare_and_another_is_made_behind_it(
    cx: Cx, guestbook: Project, preview: Callable[[], str]
) -> None:
    on = {"CX_POSTGRES_SPARES": "1"}

    def ready() -> list[dict[str, str]]:
        listed = json.loads(cx("db", "list", "--json").stdout)
        assert isinstance(listed, dict)
        return list(listed["spares"])

    cx("db", "spares", **on)
    (first,) = ready()
    name = preview()
    cx("deploy", guestbook.folder, "--namespace", name, **on)
    listed = json.loads(cx("db", "list", "--json").stdout)
    assert [one["made"] for one in listed["clones"] if one["namespace"] in (name, {"name": name})] == ["spare"]
    deadline = time.monotonic() + 60
    while [one["database"] for one in ready()] in ([], [first["database"]]):
        assert time.monotonic() < deadline
    cx("db", "spares")  # of which none are wanted by the file
    assert ready() == []


def test_only_what_is_due_is_refreshed(cx: Cx) -> None:
    def made() -> str:
        listed = cx.json("db", "list")
        assert isinstance(listed, dict)
        return str(listed["goldens"][0]["database"])

    before = made()
    assert cx("db", "refresh", "--schedule", CX_DATABASES_APP_REFRESH_EVERY_H="24").stdout == ""
    assert made() == before
    assert cx("db", "refresh", check=False).returncode == 2


def test_prune_removes_what_is_for_nobody_on_the_server(cx: Cx, production: str) -> None:
    """A source is tried, and taken out of the configuration again: its spare and its golden go."""
    tried = cx.config.with_name("tried.toml")
    tried.write_text(cx.config.read_text() + f'[databases.tried]\nsource = "{production}"\nspares = 2\n')
    before = cx("db", "list", "--json").stdout
    cx("db", "refresh", "tried", CX_CONFIG=str(tried))
    cx("db", "spares", CX_CONFIG=str(tried))
    assert "tried" not in cx("prune", "--force", CX_CONFIG=str(tried)).stdout
    said = cx("prune", "--force").stdout
    assert said.count("spare that nobody will take") == 2
    assert "golden of tried, which is not configured" in said
    assert cx("db", "list", "--json").stdout == before
    assert "tried" not in cx("prune", "--force").stdout
