"""What the engine has of a container: whether its end is its own."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from cx.core.state import Container
from cx.docker.connection import Engine
from cx.docker.facts import closely, container

NOON = "2026-12-01T12:00:00.123456789Z"
REVISION_AT = datetime(2026, 12, 1, 11, 59, tzinfo=UTC)


def looked_at(one: Container, policy: str, ended: str, since: datetime | None = None, restarts: int = 0) -> Container:
    found: dict[str, Any] = {
        "RestartCount": restarts,
        "HostConfig": {"RestartPolicy": {"Name": policy}},
        "State": {"StartedAt": NOON, "FinishedAt": ended},
    }
    api = SimpleNamespace(inspect_container=lambda _: found)
    engine = Engine("unix:///none")
    engine.__dict__["client"] = SimpleNamespace(api=api)
    return closely(engine, one, since)


SOON, LATE = "2026-12-01T12:04:00Z", "2026-12-01T12:40:00+00:00"


@pytest.mark.parametrize(
    ("role", "restart", "policy", "ended", "done"),
    [
        ("service", "default", "on-failure", SOON, True),
        ("service", "no", "no", SOON, True),
        ("service", "always", "always", SOON, False),
        ("service", "default", "unless-stopped", SOON, False),  # it was put to sleep
        ("service", "no", "unless-stopped", SOON, False),
        ("service", "default", "on-failure", LATE, False),  # a server, which ended with its machine
        ("service", "no", "no", LATE, True),  # unless the project says that it ends
        ("service", "on-failure", "on-failure", LATE, True),
        ("job", "no", "no", LATE, True),
        ("pinned", "default", "on-failure", SOON, True),
        ("pinned", "default", "on-failure", LATE, False),
    ],
)
def test_what_is_done_has_ended_by_itself(role: str, restart: str, policy: str, ended: str, done: bool) -> None:
    one = Container("1", "it", "it", role, "r", "exited", restart=restart)
    assert looked_at(one, policy, ended).done == done
    assert looked_at(one, policy, ended).well == done


def test_what_outlives_revisions_is_done_for_the_one_that_it_ran_for() -> None:
    one = Container("1", "it", "it", "pinned", "", "exited", restart="default")
    assert looked_at(one, "on-failure", SOON, REVISION_AT).done
    assert not looked_at(one, "on-failure", SOON, datetime(2026, 12, 1, 12, 1, tzinfo=UTC)).done


def test_a_failure_is_not_done() -> None:
    assert not Container("1", "it", "it", "service", "r", "exited", exit_code=1, restart="default").done


def test_a_container_of_before_there_was_a_label_is_to_run_always() -> None:
    listed = {"Id": "1", "Names": ["/it"], "State": "exited", "Status": "Exited (0) 2 minutes ago"}
    one = container(listed | {"Labels": {"dev.cx.role": "service"}})
    assert (one.restart, one.well) == ("always", False)
