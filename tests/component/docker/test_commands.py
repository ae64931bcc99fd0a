"""compose.run: bounded in time and output, in an environment of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cx.core.errors import Busy, Retryable, Terminal
from cx.docker.compose import CommandFailed, environment, run


def python(code: str, *argv: str) -> list[str]:
    return [sys.executable, "-c", code, *argv]


def gone(pid: int) -> bool:
    """True when the process has ended, within 5 s; a zombie has."""
    until = time.monotonic() + 5
    while time.monotonic() < until:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.01)
    return False


def test_gives_its_lines_also_as_they_come() -> None:
    told: list[str] = []
    code = "import sys; print('out'); print('err', file=sys.stderr)"
    assert sorted(run(python(code), timeout_s=30, line=told.append)) == ["err", "out"]
    assert sorted(told) == ["err", "out"]


def test_a_timeout_ends_it_with_its_children(tmp_path: Path) -> None:
    """A shell, a child of it that holds the pipe, and one of that: the whole group goes."""
    pids = tmp_path / "pids"
    script = f"sh -c 'echo $$ >> {pids}; sleep 60' & echo $$ >> {pids}; echo begun; sleep 60"
    began = time.monotonic()
    with pytest.raises(Retryable, match="took more than 1 s") as caught:
        run(["sh", "-c", script], timeout_s=1)
    assert time.monotonic() - began < 20
    assert caught.value.log == ("begun",)
    found = [int(pid) for pid in pids.read_text().split()]
    assert len(found) == 2
    assert all(gone(pid) for pid in found)


def test_an_interrupt_ends_it_with_its_children(tmp_path: Path) -> None:
    pids: list[int] = []

    def interrupted(text: str) -> None:
        pids.append(int(text))
        if len(pids) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(["sh", "-c", "sh -c 'echo $$; sleep 60' & echo $$; sleep 60"], timeout_s=30, line=interrupted)
    assert all(gone(pid) for pid in pids)


def test_keeps_the_last_lines_only() -> None:
    assert run(python("for n in range(10_000): print(n)"), timeout_s=30, keep=3) == ["9997", "9998", "9999"]


def test_a_failure_says_why_and_carries_what_matters() -> None:
    lines = ["time=x warning", " Container a  Created", "Error response from daemon: no space"]
    code = f"print(*{lines}, sep=chr(10)); exit(3)"
    with pytest.raises(CommandFailed) as caught:
        run(python(code), timeout_s=30)
    assert caught.value.what == "no space"
    assert caught.value.log == ("Error response from daemon: no space",)


def test_a_failure_that_says_nothing() -> None:
    with pytest.raises(CommandFailed, match="ended with status 3"):
        run(python("exit(3)"), timeout_s=30)


def test_output_that_is_no_text() -> None:
    assert run(python(r"import sys; sys.stdout.buffer.write(b'\xff\xfe\n')"), timeout_s=30) == ["\ufffd\ufffd"]


def test_what_it_is_told_comes_by_standard_input() -> None:
    assert run(python("print(len(input()))"), stdin="x" * 1_000_000, timeout_s=30) == ["1000000"]


def test_one_that_does_not_read_what_it_is_told() -> None:
    with pytest.raises(CommandFailed, match="no, thanks"):
        run(python("print('no, thanks'); exit(1)"), stdin="x" * 1_000_000, timeout_s=30)


def test_a_program_that_is_not_there() -> None:
    with pytest.raises(Terminal, match="is not installed; see `cx doctor`"):
        run(["cx-no-such-program"], timeout_s=1)


def test_nothing_of_our_environment_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CX_POSTGRES_PASSWORD", "secret")
    monkeypatch.setenv("GITHUB_TOKEN", "secret")
    monkeypatch.setenv("COMPOSE_FILE", "/elsewhere")
    monkeypatch.setenv("DOCKER_HOST", "unix:///there")
    code = "import os, json; print(json.dumps(sorted(os.environ)))"
    (said,) = run(python(code), timeout_s=30)
    assert "DOCKER_HOST" in said
    assert not any(name in said for name in ("CX_", "GITHUB", "COMPOSE_FILE", "PYTEST"))


def test_more_may_be_added(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    found = environment(BUILDX_GIT_INFO="false")
    assert found["BUILDX_GIT_INFO"] == "false"
    assert found["PATH"] == os.environ["PATH"]
    assert "AWS_SECRET_ACCESS_KEY" not in found


def test_what_nobody_wants_any_more_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    pids = tmp_path / "pids"

    def still_wanted() -> None:
        if pids.exists() and len(pids.read_text().split()) == 2:
            raise Busy("something else is wanted")

    script = f"sh -c 'echo $$ >> {pids}; sleep 60' & echo $$ >> {pids}; sleep 60"
    with pytest.raises(Busy):
        run(["sh", "-c", script], timeout_s=50, still_wanted=still_wanted)
    assert all(gone(int(pid)) for pid in pids.read_text().split())


def test_docker_gets_no_more_of_our_environment_when_it_takes_our_place(tmp_path: Path) -> None:
    docker = tmp_path / "docker"
    docker.write_text('#!/bin/sh\nprintf "%s\\n" "$*"\nenv\n')
    docker.chmod(0o755)
    argv = python('from cx.docker.compose import become; become("exec", "-i", "container", "psql")')
    given = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "HOME": "/nowhere", "TERM": "dumb", "PRODUCTION_URL": "secret"}
    printed = subprocess.run(argv, env=given, capture_output=True, text=True, check=True).stdout
    command, *environment_ = printed.splitlines()
    assert command == "exec -i container psql"
    assert {"HOME=/nowhere", "TERM=dumb"} <= set(environment_)
    assert "secret" not in printed
