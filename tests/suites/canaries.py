"""Secrets that a test plants, and all places where another user of the host, or of the engine, could read them.

Three watchers, of which each sees what the others miss: every process of the host, again and again, in /proc; every
program that cx starts, by a hook of Python's (tests/suites/heard); every command and container that the engine is asked
for, by its events.
"""

from __future__ import annotations

import base64
import json
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import docker
from docker.errors import NotFound

HERE = Path(__file__).parent
# Reads canaries as {kind: [form, ...]} in a line, and prints each place once, until its standard input ends.
SAMPLER = """
import json, os, select, sys, time
canaries = {kind: [form.encode() for form in forms] for kind, forms in json.loads(sys.stdin.readline()).items()}
own, mine, printed, rounds = os.readlink("/proc/self/ns/pid"), str(os.getpid()), set(), 0
while not select.select([sys.stdin], [], [], 0.01)[0]:
    for name in os.listdir("/proc"):
        if not name.isdigit() or name == mine:
            continue
        for file in ("cmdline", "environ"):
            try:
                with open(f"/proc/{name}/{file}", "rb") as opened:
                    content = opened.read()
                kinds = [kind for kind, forms in canaries.items() if any(form in content for form in forms)]
                if not kinds:
                    continue
                with open(f"/proc/{name}/cmdline", "rb") as opened:
                    command = opened.read().decode(errors="replace").replace(chr(0), " ").strip()
                inside = os.readlink(f"/proc/{name}/ns/pid") != own
            except OSError:
                continue
            for kind in kinds:
                record = (kind, file, command, inside)
                if record not in printed:
                    printed.add(record)
                    print(json.dumps(record), flush=True)
    rounds += 1
print(json.dumps([rounds]), flush=True)
"""


@dataclass(frozen=True)
class Place:
    """`where`: cmdline, environ (of a process), command, container (as the engine has them)."""

    kind: str
    where: str
    command: str
    inside: bool = False  # a container


def nobody(_: Place) -> bool:
    return False


def containers(place: Place) -> bool:
    return place.inside


@dataclass(frozen=True)
class Canary:
    """A secret. `given` says who may have it in an environment, beside cx as its user runs it."""

    kind: str
    text: str
    given: Callable[[Place], bool] = nobody

    @property
    def forms(self) -> list[str]:
        """As it is, in a URL, in hexadecimal, and in Base64 behind whatever stands before it."""
        raw = self.text.encode()
        packed = [base64.b64encode(b"x" * before + raw).decode()[(before * 8 + 5) // 6 : -4] for before in range(3)]
        return [*dict.fromkeys([self.text, quote(self.text, safe=""), raw.hex(), *packed])]


def planted(kind: str, given: Callable[[Place], bool] = nobody) -> Canary:
    return Canary(kind, f"canary{secrets.token_hex(12)}", given)


@dataclass
class Watch:
    """While it lasts. `environment` is for the command line of cx."""

    canaries: Mapping[str, Canary]
    folder: Path
    places: list[Place] = field(default_factory=list)
    heard: int = 0
    rounds: int = 0

    @property
    def environment(self) -> dict[str, str]:
        return {"PYTHONPATH": str(HERE / "heard"), "CX_TEST_PROGRAMS": str(self.folder / "programs")}

    def note(self, where: str, text: str, command: str, *, inside: bool = False) -> None:
        for kind, canary in self.canaries.items():
            if any(form in text for form in canary.forms):
                self.places.append(Place(kind, where, command, inside))

    def leaks(self) -> list[Place]:
        """Where a canary must not be: in a command line ever, and in the environment of whom it was not given."""
        return [one for one in dict.fromkeys(self.places) if not self._may(one)]

    def _may(self, place: Place) -> bool:
        if place.where in ("cmdline", "command"):
            return False
        if " -m cx " in f" {place.command} ":
            return place.where == "environ"
        return self.canaries[place.kind].given(place)

    def until(self, true: Callable[[], bool]) -> None:
        end = time.monotonic() + 30
        while not true():
            assert time.monotonic() < end, self.places
            time.sleep(0.02)


@contextmanager
def watching(canaries: Mapping[str, Canary], folder: Path, *, engine: bool = True) -> Iterator[Watch]:
    watch = Watch(canaries, folder)
    with _sampling(watch), _events(watch) if engine else nullcontext():
        yield watch
    programs = folder / "programs"
    for line in programs.read_text().splitlines() if programs.exists() else ():
        record = json.loads(line)
        command = " ".join(record["argv"])
        watch.heard += 1
        watch.note("cmdline", command, command)
        watch.note("environ", "\0".join(record["environment"]), command)


@contextmanager
def _sampling(watch: Watch) -> Iterator[None]:
    argv = [sys.executable, "-I", "-S", "-c", SAMPLER]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={}) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(json.dumps({kind: one.forms for kind, one in watch.canaries.items()}) + "\n")
        process.stdin.flush()
        lines = process.stdout

        def read() -> None:
            for line in lines:
                record = json.loads(line)
                if len(record) == 1:
                    watch.rounds = record[0]
                else:
                    watch.places.append(Place(*record))

        reader = threading.Thread(target=read)
        reader.start()
        try:
            yield
        finally:
            process.stdin.close()
            reader.join()


@contextmanager
def _events(watch: Watch) -> Iterator[None]:
    client = docker.from_env()
    stream = client.events(decode=True, filters={"type": "container"})

    def read() -> None:
        for event in stream:
            action, _, command = event["Action"].partition(": ")
            watch.heard += 1
            if action == "exec_create":
                watch.note("command", command, command, inside=True)
            elif action == "create":
                _container(watch, client, event["Actor"]["ID"])

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield
    finally:
        stream.close()
        reader.join()
        client.close()


def _container(watch: Watch, client: Any, identity: str) -> None:
    with suppress(NotFound):
        facts = client.api.inspect_container(identity)
        config = facts["Config"]
        command = " ".join([*(config["Entrypoint"] or ()), *(config["Cmd"] or ())])
        watch.note("command", command, command, inside=True)
        watch.note(
            "container", json.dumps([config["Env"], config["Labels"], facts["HostConfig"]]), command, inside=True
        )
