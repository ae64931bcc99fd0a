"""Deleting and pruning while the database server is away, or its data, or the state."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
from live import EXAMPLES, Cx, Project, free_pool, sweep
from ports import free_port

from cx.core.names import LABEL_INSTANCE, LABEL_NAMESPACE


@pytest.fixture
def own(tmp_path: Path, production: str) -> Iterator[Cx]:
    """A host of the test's own, with a golden, up."""
    instance = f"t{secrets.token_hex(3)}"
    port, config = free_port(), tmp_path / "host.toml"
    config.write_text(
        f"""
instance = "{instance}"
state_dir = "{tmp_path / "state"}"
[router]
http_port = {port}
admin_port = {free_port()}
[network]
pool = "{free_pool()}"
[postgres]
spares = 0
[databases.app]
source = "{production}"
sanitise = "{EXAMPLES / "mask.sql"}"
"""
    )
    cx = Cx(config, port, instance)
    try:
        cx("up")
        cx("db", "refresh", "app")
        yield cx
    finally:
        sweep(instance)


def left(cx: Cx) -> list[str]:
    """What the engine has of namespaces."""
    client = docker.from_env()
    label = {"label": [f"{LABEL_INSTANCE}={cx.instance}", LABEL_NAMESPACE]}
    try:
        things = [*client.containers.list(all=True, filters=label), *client.networks.list(filters=label)]
        return [one.name for one in [*things, *client.volumes.list(filters=label)]]
    finally:
        client.close()


def clones(cx: Cx) -> list[str]:
    """Whose clones the database server has."""
    found: Any = cx.json("db", "list")
    return [one["namespace"]["name"] for one in found["clones"]]


def test_a_server_that_is_away_and_comes_back(own: Cx, guestbook: Project) -> None:
    own("deploy", guestbook.folder, "--namespace", "preview-1")
    own("down", "--force")
    said = own("delete", "--namespace", "preview-1", "--force", check=False)
    assert said.returncode == 75
    assert "all of it is gone but for databases that may be left" in said.stderr
    assert left(own) == []
    own("up")
    assert clones(own) == ["preview-1"]
    own("delete", "--namespace", "preview-1", "--force")
    assert clones(own) == []
    assert own.json("list") == []


def test_data_that_was_given_up_with_previews_that_live(own: Cx, guestbook: Project, hello: Project) -> None:
    own("deploy", guestbook.folder, "--namespace", "preview-1")
    own("deploy", hello.folder, "--namespace", "preview-2")
    said = own("down", "--volumes", "--force")
    assert said.returncode == 0
    assert left(own)
    own("delete", "--namespace", "preview-1", "--force")  # its clone went with the server's volume
    own("delete", "--namespace", "preview-2", "--force")
    assert left(own) == []


def test_a_state_that_was_lost_is_pruned(own: Cx, guestbook: Project, tmp_path: Path) -> None:
    own("deploy", guestbook.folder, "--namespace", "preview-1")
    shutil.rmtree(tmp_path / "state")
    said = own("prune", "--force", check=False)  # the server knows another password
    assert said.returncode == 75
    assert "left alone: databases, as the database server refuses cx" in said.stdout
    assert left(own) == []
    own("down", "--volumes", "--force")
    assert "done" in own("prune", "--force").stdout
    assert own("prune", "--force").stdout == "nothing to prune\n"
