"""Builds of two projects on one host: steps of the one never run beside the other's, whoever dies, and however."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from live import HERE, Cx, Project

from cx import settings as host_settings
from cx.core.names import Namespace
from cx.host import Host
from cx.host.following import job_environment
from cx.host.jobs.running import Jobs
from cx.pulls import Order

REST = 'COPY app.py /srv/app.py\nEXPOSE 8000\nCMD ["python", "/srv/app.py"]\n'


@dataclass
class Deploy:
    """`cx deploy --json`, running, and its events so far."""

    process: subprocess.Popen[str]
    events: list[dict[str, Any]] = field(default_factory=list)

    def until(self, what: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The next event that is so. Raises AssertionError where it ends before."""
        assert self.process.stdout
        for line in self.process.stdout:
            self.events.append(json.loads(line))
            if what(self.events[-1]):
                return self.events[-1]
        raise AssertionError(self.events[-3:])

    def begun(self) -> None:
        """A step of its build runs."""
        self.until(lambda one: one["event"] == "line" and one["text"].endswith(" begun"))

    def waits(self) -> str:
        return str(self.until(lambda one: one["event"] == "line" and one["step"] == "wait")["text"])

    def ends(self) -> int:
        assert self.process.stdout
        self.events += [json.loads(line) for line in self.process.stdout]
        return self.process.wait()


@pytest.fixture
def deploy(cx: Cx) -> Iterator[Callable[[Project, str], Deploy]]:
    running: list[subprocess.Popen[str]] = []

    def started(project: Project, name: str) -> Deploy:
        argv = [sys.executable, "-m", "cx", "deploy", str(project.folder), "--namespace", name, "--json"]
        environment = {**os.environ, "CX_CONFIG": str(cx.config)}
        running.append(subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE, text=True))
        return Deploy(running[-1])

    yield started
    for process in running:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()


@pytest.fixture
def other(tmp_path: Path) -> Project:
    project = Project(tmp_path / "other", HERE / "projects" / "hello")
    project.write("Dockerfile", f"FROM python:3.13-slim\nRUN : {secrets.token_hex(4)}; echo begun\n{REST}")
    return project


@dataclass
class Endless:
    """A project whose build does not end by itself."""

    project: Project
    mark: str

    def builds(self) -> bool:
        """A step of its build runs somewhere on this host."""
        for process in Path("/proc").iterdir():
            try:
                if process.name.isdigit() and f"sleep\0{self.mark}" in (process / "cmdline").read_text(
                    errors="replace"
                ):
                    return True
            except OSError:
                continue
        return False


@pytest.fixture
def endless(hello: Project) -> Endless:
    mark = str(100_000_000 + secrets.randbelow(10**8))
    hello.write("Dockerfile", f"FROM python:3.13-slim\nRUN echo begun; trap '' TERM INT; sleep {mark}\n{REST}")
    return Endless(hello, mark)


def test_a_build_waits_for_anothers_and_goes_on_when_that_is_killed(
    preview: Callable[[], str], deploy: Callable[[Project, str], Deploy], endless: Endless, other: Project
) -> None:
    first, second, third = preview(), preview(), preview()
    holder = deploy(endless.project, first)
    holder.begun()
    waiting = deploy(other, second)
    assert waiting.waits() == f"{second}: app waits for the build of {first}"
    same = deploy(endless.project, third)  # of the scope that builds, but behind the one that waits
    assert same.waits() == f"{third}: app waits for the build of {second}"
    assert endless.builds()
    holder.process.kill()
    waiting.begun()
    assert not endless.builds()
    assert waiting.ends() == 0
    same.begun()


def test_builds_of_one_project_do_not_wait_for_each_other(
    preview: Callable[[], str], deploy: Callable[[Project, str], Deploy], endless: Endless
) -> None:
    first = deploy(endless.project, preview())
    first.begun()
    endless.project.write("Dockerfile", f"FROM python:3.13-slim\nRUN : {endless.mark}; echo begun\n{REST}")
    second = deploy(endless.project, preview())
    assert second.ends() == 0
    assert not [one for one in second.events if one.get("step") == "wait"]
    assert endless.builds()


@pytest.mark.parametrize("how", ["an interrupt", "a delete"])
def test_who_waits_can_be_told_to_stop(
    cx: Cx,
    preview: Callable[[], str],
    deploy: Callable[[Project, str], Deploy],
    endless: Endless,
    other: Project,
    how: str,
) -> None:
    name = preview()
    deploy(endless.project, preview()).begun()
    waiting = deploy(other, name)
    waiting.waits()
    if how == "an interrupt":
        waiting.process.send_signal(signal.SIGINT)
        assert waiting.ends() == 130
    else:
        cx("delete", "--namespace", name, "--force")
        assert waiting.ends() == 75
        assert "something else is wanted of it by now" in waiting.events[-1]["error"]
        assert cx.observe(name).leftovers() == []
    assert endless.builds()


@contextmanager
def job(cx: Cx, project: Project, name: str, begun: threading.Event) -> Iterator[None]:
    """A deployment of the listener's, in a process of its own, which is ended with the block."""
    host = Host(host_settings.load(cx.config, {}))
    source = host.read_source(project.folder)
    host.close()
    order = Order(Namespace(name), "deploy", source.project, source.origin, source.commit, source.tree, dirty=True)
    jobs = Jobs(job_environment({**os.environ, "CX_CONFIG": str(cx.config)}))
    over = threading.Event()

    def heard(event: Any) -> None:
        if event["event"] == "line" and event["text"].endswith(" begun"):
            begun.set()

    worker = threading.Thread(target=jobs.run, args=(order, over.is_set, heard))
    worker.start()
    try:
        yield
    finally:
        over.set()
        worker.join()


def test_the_listeners_jobs_take_part(
    cx: Cx, preview: Callable[[], str], deploy: Callable[[Project, str], Deploy], endless: Endless, other: Project
) -> None:
    first, second, begun = preview(), preview(), threading.Event()
    with job(cx, endless.project, first, begun):
        assert begun.wait(timeout=120)
        waiting = deploy(other, second)
        assert waiting.waits() == f"{second}: app waits for the build of {first}"
    waiting.begun()
    assert not endless.builds()
    assert waiting.ends() == 0
