"""Runs `docker compose` and `docker buildx`: argv only, an environment of their own, bounded in time.

Models go in by standard input, so that no secret of theirs is on a disk or in argv.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from cx.core.errors import CxError, Retryable, Terminal
from cx.core.json_in_yaml import json_in_yaml
from cx.docker.address import address
from cx.plugins import program

# What Docker's programs need of ours beside the engine's address, to reach it, a registry and a build's network.
PASSED_ON = (
    "PATH",
    "HOME",
    "DOCKER_CONFIG",
    "SSH_AUTH_SOCK",
    "XDG_RUNTIME_DIR",
)

CHECK_S = 0.5  # so often it is seen whether a command is wanted still


# No file but those that it is given: no `.env` of a folder, no repository around a context, whose git it would start.
UNASKED = {"COMPOSE_DISABLE_ENV_FILE": "1", "BUILDX_GIT_INFO": "false"}
# So that a plugin takes it that `docker` had started it: buildx by itself leaves TLS to the engine out.
BEGUN_BY_DOCKER = {"DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND": "docker"}


def plugin(name: str) -> tuple[str, ...]:
    """The argv that runs Docker's plugin `name` (compose, buildx) so that it dies with this process.

    The plugin is started itself, not through `docker`: a signal to that would leave the plugin at work, and a
    pass that was killed could go on starting containers beside the next one. Raises Terminal where there is none.
    """
    guard = ("setpriv", "--pdeathsig", "KILL") if shutil.which("setpriv") else ()
    return (*guard, program(name), name)


class CommandFailed(Terminal):
    """A command of Docker's ended with another status than 0; `log` has its last lines."""


def environment(**more: str) -> dict[str, str]:
    """Docker's programs find the engine by it that cx itself talks to."""
    ours = {key: os.environ[key] for key in PASSED_ON if key in os.environ}
    return ours | address().environment | UNASKED | BEGUN_BY_DOCKER | more


def become(*argv: str) -> NoReturn:
    """This process is `docker` with `argv`, in an environment of its own."""
    here = {name: os.environ[name] for name in ("TERM",) if name in os.environ}
    os.execvpe("docker", ["docker", *argv], environment(**here))  # noqa: S606 - no shell


def run(
    argv: Sequence[str],
    *,
    stdin: str = "",
    timeout_s: float,
    line: Callable[[str], None] | None = None,
    env: Mapping[str, str] | None = None,
    descriptors: Sequence[int] = (),
    keep: int = 40,
    still_wanted: Callable[[], None] = lambda: None,
) -> list[str]:
    """Run to the end; gives the last `keep` lines of output, each also handed to `line` as it comes.

    It inherits `descriptors`. Its whole process group dies with a timeout, an interrupt, or when `still_wanted` raises.
    Raises CommandFailed, Retryable (timeout), and what `still_wanted` raises.
    """
    last: deque[str] = deque(maxlen=keep)
    try:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=dict(env if env is not None else environment()),
            cwd="/",  # not where the user is, for that is in a project
            pass_fds=descriptors,
            encoding="utf-8",
            errors="replace",
            process_group=0,  # and in cx's session: what ends a session of cx's ends it, too
        )
    except FileNotFoundError as exc:
        raise Terminal(f"{argv[0]} is not installed", remedy="see `cx doctor`") from exc
    watchdog = _Watchdog(process, timeout_s, still_wanted)
    try:
        assert process.stdin is not None  # noqa: S101 - both are pipes
        assert process.stdout is not None  # noqa: S101
        with suppress(BrokenPipeError), process.stdin:  # it ended before it read all: its output says why
            process.stdin.write(stdin)
        for text in process.stdout:
            last.append(text.rstrip())
            if line:
                line(text.rstrip())
        status = process.wait()
    except BaseException:
        watchdog.kill()
        process.wait()
        raise
    finally:
        watchdog.stop()
        process.stdout.close() if process.stdout else None
    if watchdog.unwanted:
        raise watchdog.unwanted
    if watchdog.fired:
        raise Retryable(f"{_name(argv)} took more than {timeout_s:.0f} s", log=tuple(last))
    if status:
        raise CommandFailed(reason(last) or f"{_name(argv)} ended with status {status}", log=telling(last))
    return list(last)


class _Watchdog:
    """Ends the process when it takes too long, and when `still_wanted` raises: nobody wants it any more."""

    def __init__(self, process: subprocess.Popen[str], timeout_s: float, still_wanted: Callable[[], None]) -> None:
        self.process = process
        self.fired = False
        self.unwanted: CxError | None = None
        self._until, self._still_wanted = time.monotonic() + timeout_s, still_wanted
        self._over = threading.Event()
        threading.Thread(target=self._watch, daemon=True, name="watchdog").start()

    def _watch(self) -> None:
        while not self._over.wait(max(0.0, min(CHECK_S, self._until - time.monotonic()))):
            try:
                self._still_wanted()
            except CxError as exc:
                self.unwanted = exc
            self.fired = time.monotonic() >= self._until
            if self.fired or self.unwanted:
                self.kill()
                return

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def stop(self) -> None:
        self._over.set()


def _name(argv: Sequence[str]) -> str:
    return next((Path(word).name for word in argv if "docker" in word), Path(argv[0]).name)


def telling(lines: Sequence[str]) -> tuple[str, ...]:
    """`lines` without Docker's progress and its warnings about the model."""
    return tuple(
        one for one in lines if not one.startswith(("time=", " Container ", " Image ", " Volume ", " Network "))
    )


def reason(lines: Sequence[str]) -> str:
    """The line that says why, of what Docker printed."""
    for text in reversed(lines):
        plain = text.strip()
        if plain and not plain.startswith(("time=", "[+]", "#", "---")):
            return plain.removeprefix("Error response from daemon: ").removeprefix("ERROR: ")[:400]
    return ""


def create(
    project: str,
    model: Mapping[str, Any],
    *,
    services: Sequence[str] = (),
    timeout_s: float,
    line: Callable[[str], None] | None = None,
    still_wanted: Callable[[], None] = lambda: None,
) -> None:
    """`docker compose up --no-start`: makes what is missing or changed, and starts nothing."""
    argv = [*plugin("compose"), "--project-name", project, "--file", "-", "--project-directory", "/"]
    argv += ["--progress", "plain", "up", "--no-start", "--no-build", "--quiet-pull", "--no-color"]
    argv += services if services else ["--remove-orphans"]
    run(argv, stdin=json_in_yaml(model), timeout_s=timeout_s, line=line, still_wanted=still_wanted)
