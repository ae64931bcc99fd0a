"""The program itself: what it imports, and the code with which it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from subprocess import PIPE

import pytest

from cx.cli.start import OVERVIEW
from cx.core.names import Namespace
from cx.core.state import Desired
from cx.store import Database, Store

HEAVY = ("docker", "psycopg", "jinja2", "rich", "yaml", "requests", "hypothesis")
COMMANDS = (
    "deploy", "delete", "list", "show", "logs", "exec", "open", "events", "prune",
    "up", "down", "doctor", "config", "db",
)  # fmt: skip


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host with a state of its own, and no engine."""
    (tmp_path / "host.toml").touch()
    monkeypatch.setenv("CX_CONFIG", str(tmp_path / "host.toml"))
    monkeypatch.setenv("CX_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nothing.sock")
    return tmp_path


def program(*argv: str, code: str = "") -> subprocess.CompletedProcess[str]:
    start = ["-c", code] if code else ["-m", "cx"]
    return subprocess.run([sys.executable, *start, *argv], capture_output=True, text=True, timeout=60, check=False)


def test_help_lists_every_command_and_imports_nothing_heavy(host: Path) -> None:
    code = f"""
import sys
sys.argv = ["cx", "--help"]
from cx.cli import main
def leave(code):
    print("heavy:", [name for name in {HEAVY} if name in sys.modules])
main.leave = leave
try:
    main.main()
except SystemExit as left:
    leave(left.code)
"""
    said = program(code=code)
    assert said.stdout.splitlines()[-1] == "heavy: []"
    listed = {line.split()[0] for line in said.stdout.partition("Commands:")[2].splitlines() if line.startswith("  ")}
    assert listed >= set(COMMANDS)


def test_the_program_ends_with_the_code_of_its_error(host: Path) -> None:
    said = program("show", "Bad")
    assert said.returncode == 2
    assert said.stdout == ""
    assert said.stderr.startswith("cx: namespace: Bad: ")
    assert len(said.stderr.splitlines()) == 1


def test_it_is_there_at_once() -> None:
    script = "import sys; sys.argv = ['cx', '--help']\nimport cx.cli.start as s; s.main(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(OVERVIEW)
    assert "typer" not in done.stdout.removeprefix(OVERVIEW).split()


BASH = """\
eval "$(cx --show-completion bash)"
COMP_WORDS=(cx "$@") COMP_CWORD=$#
$(complete -p cx | sed 's/.*-F \\([^ ]*\\) .*/\\1/') cx
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("show", "pre"), ["preview-1", "preview-2"]),
        (("delete", "--namespace", "sh"), ["shop-7"]),
        (("db", "psql", "preview-2"), ["preview-2"]),
        (("lo",), ["logs"]),
    ],
)
def test_bash_completes_commands_and_the_names_of_namespaces(
    host: Path, words: tuple[str, ...], expected: list[str]
) -> None:
    (host / "state").mkdir()
    store = Store(Database(host / "state" / "cx.db"))
    for name in ("preview-1", "preview-2", "shop-7"):
        store.want(Desired(Namespace(name)), 0.0)
    store.database.close()
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    said = subprocess.run(
        ["bash", "--norc", "-c", BASH, "bash", *words],
        capture_output=True, text=True, timeout=60, check=True, env={**os.environ, "PATH": path},
    )  # fmt: skip
    assert said.stdout.split() == expected


WAITS = """
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from cx.cli.namespaces import change
from cx.core.names import Namespace

def doing(report):
    report.step_began("build app")
    with ThreadPoolExecutor() as pool:
        pool.submit(threading.Event().wait)
        print("it waits", flush=True)

there = SimpleNamespace(interrupted=lambda: print("written down", flush=True))
change(there, Namespace("preview-1"), doing, as_json=False)
"""


def test_an_interrupt_does_not_wait_for_the_threads_of_a_pass() -> None:
    with subprocess.Popen([sys.executable, "-c", WAITS], stdout=PIPE, stderr=PIPE, text=True) as running:
        assert running.stdout
        assert running.stderr
        assert running.stdout.readline() == "it waits\n"
        running.send_signal(signal.SIGINT)
        try:
            assert running.wait(timeout=20) == 130
        finally:
            running.kill()
        assert running.stdout.read() == "written down\n"
        assert running.stderr.read() == "cx: preview-1: interrupted; the same command goes on from there\n"


def test_a_ref_that_is_not_there(host: Path) -> None:
    """git is asked for it."""
    (host / "app").mkdir()
    (host / "app" / "Dockerfile").write_text("FROM scratch\n")
    said = program("deploy", str(host / "app"), "--namespace", "preview-1", "--ref=nosuch")
    assert said.returncode == 2
    (line,) = said.stderr.splitlines()
    assert line.startswith("cx: --ref: ")
    store = Store(Database(host / "state" / "cx.db"))
    assert store.all_desired() == []
    store.database.close()
