"""A job is a process of its own: how its end is told, whatever that is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cx import settings
from cx.core.names import Namespace
from cx.core.state import Desired
from cx.host import Host
from cx.host.jobs.running import Jobs
from cx.process.locks import held
from cx.pulls import Order

SPACE = Namespace("preview-1")


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    config = tmp_path / "host.toml"
    config.write_text(f'state_dir = "{tmp_path / "state"}"\n')
    return {"PATH": os.environ["PATH"], "CX_CONFIG": str(config)}


def test_a_defect_is_a_failure_that_tells_its_type_and_leaves_the_rest_to_the_log(
    tmp_path: Path, environment: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "library").mkdir()
    (tmp_path / "library" / "docker.py").write_text('raise RuntimeError("postgresql://user:secret@host")')
    ended = Jobs(environment | {"PYTHONPATH": str(tmp_path / "library")}).run(
        Order(SPACE, "settle"), lambda: False, lambda event: None
    )
    assert (ended.outcome, ended.message) == ("failed", "a defect of cx ended it (RuntimeError)")
    assert ended.log[0].startswith("builtins.RuntimeError in cx.")
    assert "secret" not in str(ended)
    (told,) = [one for one in caplog.records if one.message == "job met a defect"]
    assert "RuntimeError: postgresql://user:secret@host" in told.facts["traceback"]  # type: ignore[attr-defined]


def test_whoever_cancels_a_job_writes_down_what_became_of_its_attempt(environment: dict[str, str]) -> None:
    """It is killed, and cannot do it itself."""
    host = Host(settings.load(Path(environment["CX_CONFIG"]), {}))
    try:
        host.store.begin(Desired(SPACE, tree="a" * 40), 1.0)
        jobs = Jobs(environment, lambda namespace: host.cut_off(namespace, "superseded"))
        assert jobs.run(Order(SPACE, "settle"), lambda: True, lambda event: None).outcome == "cancelled"
        assert [one.outcome for one in host.history(SPACE)] == ["superseded"]
    finally:
        host.close()


def test_an_attempt_of_somebody_else_is_left_alone(environment: dict[str, str]) -> None:
    host = Host(settings.load(Path(environment["CX_CONFIG"]), {}))
    try:
        host.store.begin(Desired(SPACE, tree="a" * 40), 1.0)
        with held(host.state_dir / "locks" / f"{SPACE}.lock", "deploy"):
            host.cut_off(SPACE, "superseded")
            assert [one.outcome for one in host.history(SPACE)] == ["running"]
        assert [one.outcome for one in host.history(SPACE)] == ["died"]
    finally:
        host.close()
