"""Services that end: once for a revision, in their order, and never waited for without a word or an end."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable

import pytest
from live import Cx, Project

WEB = "  web:\n    build: .\n    ports: [8000]\n    volumes: ['data:/data']\n"
COMPOSE = f"services:\n{WEB}%s\nvolumes:\n  data:\n"
RUN = '    image: python:3.13-slim\n    command: ["sh", "-c", "%s"]\n'
NOTE = "date >> /data/runs"


def written(project: Project, services: str, web: str = "") -> None:
    project.write("compose.yml", (COMPOSE % services).replace(WEB, WEB + web))
    project.commit()


def runs(cx: Cx, name: str, file: str = "runs") -> int:
    return len(cx("exec", name, "web", "--", "cat", f"/data/{file}").stdout.splitlines())


def state(cx: Cx, name: str) -> str:
    rows = cx.json("list")
    assert isinstance(rows, list)
    return next(str(row["state"]) for row in rows if row["namespace"] == name)


ONCE = {
    "no": '    restart: "no"\n',
    "none": "    deploy: { restart_policy: { condition: none } }\n",
    "on-failure": "    restart: on-failure\n",
    "unsaid": "",
}


@pytest.mark.parametrize("said", ONCE)
@pytest.mark.parametrize("volumes", ["    volumes: ['data:/data']\n"], ids=["on a volume"])
def test_what_is_done_runs_once_for_a_revision(
    cx: Cx, preview: Callable[[], str], hello: Project, said: str, volumes: str
) -> None:
    name = preview()
    written(hello, "  migrate:\n" + RUN % NOTE + volumes + ONCE[said])
    cx("deploy", hello.folder, "--namespace", name)
    (migrate,) = [one for one in cx.observe(name).containers if one.service == "migrate"]
    assert migrate.done
    assert runs(cx, name) == 1
    assert state(cx, name) == "ready"
    assert "nothing changed" in cx("deploy", hello.folder, "--namespace", name).stdout
    cx("sleep", name)
    cx("wake", name)
    assert runs(cx, name) == 1
    assert state(cx, name) == "ready"
    hello.replace("app.py", 'VERSION = "one"', 'VERSION = "two"')
    cx("deploy", hello.folder, "--namespace", name)
    assert runs(cx, name) == 2


def test_jobs_run_before_what_waits_for_them_whatever_they_mount(
    cx: Cx, preview: Callable[[], str], hello: Project
) -> None:
    """One before a service that keeps state, on the same volume; one after that; a web that waits for both."""
    name = preview()
    volumes = "    volumes: ['data:/data']\n"
    store = '  store:\n    image: redis:8\n    command: ["sh", "-c", "test -e /data/first && date >> /data/store && '
    store += 'exec redis-server --protected-mode no"]\n    healthcheck: { test: redis-cli ping, interval: 1s }\n'
    store += volumes + "    depends_on: { first: { condition: service_completed_successfully } }\n"
    first = "  first:\n" + RUN % "sleep 1; date >> /data/first" + volumes
    second = "  second:\n" + RUN % "test -e /data/store && date >> /data/second" + volumes
    second += "    depends_on: { store: { condition: service_healthy } }\n"
    web = "    depends_on: { second: { condition: service_completed_successfully } }\n"
    written(hello, store + first + second, web)
    lines = cx("deploy", hello.folder, "--namespace", name, "--json").stdout
    assert "store waits for first to complete" in lines
    assert [runs(cx, name, one) for one in ("first", "store", "second")] == [1, 1, 1]
    hello.replace("app.py", 'VERSION = "one"', 'VERSION = "two"')
    cx("deploy", hello.folder, "--namespace", name)
    assert [runs(cx, name, one) for one in ("first", "store", "second")] == [2, 1, 2]  # the store went on
    assert {one.service: one.role for one in cx.observe(name).containers} == {
        "web": "service", "first": "job", "second": "job", "store": "pinned",
    }  # fmt: skip


def test_fresh_data_runs_jobs_again(cx: Cx, preview: Callable[[], str], hello: Project) -> None:
    name = preview()
    seed = "  seed:\n" + RUN % NOTE + "    volumes: ['data:/data']\n    depends_on: [db]\n"
    db = "  db:\n    image: postgres:18\n    environment: { POSTGRES_PASSWORD: x }\n"
    web = "    depends_on: { seed: { condition: service_completed_successfully } }\n"
    written(hello, seed + db, web)
    cx("deploy", hello.folder, "--namespace", name)
    assert runs(cx, name) == 1
    cx("db", "reset", name, "--force")
    assert runs(cx, name) == 2


def test_a_job_that_fails_says_why(cx: Cx, preview: Callable[[], str], hello: Project) -> None:
    name = preview()
    init = "  init:\n" + RUN % "echo the bucket is missing; exit 3" + "    volumes: ['data:/data']\n"
    written(hello, init, "    depends_on: { init: { condition: service_completed_successfully } }\n")
    done = cx("deploy", hello.folder, "--namespace", name, check=False)
    assert done.returncode == 1
    assert "  | the bucket is missing" in done.stderr
    assert "service init ended with status 3, and web waits for init to complete" in done.stderr
    assert cx.observe(name).containers == ()


FAILS = {
    "not restarted": ("sleep 0.5; echo no such key; exit 4", '    restart: "no"\n', "init ended with status 4"),
    "again and again": ("echo no such key; exit 4", "", "the last time it ended with status 4"),
    "after a second": ("sleep 1; echo no such key; exit 4", "    restart: always\n", "it ended with status 4"),
    "out of memory": (
        *("echo no such key; python -c 'x = bytearray(600000000)'", '    mem_limit: 64m\n    restart: "no"\n'),
        "service init ran out of memory at 64m; raise memory of [services.init] in cx.toml",
    ),
    "a child out of memory": (
        "echo no such key; python -c 'x = bytearray(600000000)'; exit 1",
        '    mem_limit: 64m\n    restart: "no"\n',
        "service init ran out of memory at 64m; raise memory of [services.init] in cx.toml",
    ),
}


@pytest.mark.parametrize("what", FAILS)
def test_a_deployment_is_ready_when_every_service_stays_up(
    cx: Cx, preview: Callable[[], str], hello: Project, what: str
) -> None:
    """Nobody waits for it, and it has no URL: the web has answered long before."""
    name = preview()
    command, said, why = FAILS[what]
    written(hello, "  init:\n" + RUN % command + said)
    done = cx("deploy", hello.folder, "--namespace", name, check=False)
    assert done.returncode == 1, done.stdout
    assert "  | no such key" in done.stderr
    assert why in done.stderr
    assert cx.observe(name).containers == ()


def until(cx: Cx, name: str, wanted: str) -> dict[str, object]:
    """The row of the namespace, when it is in the state that is wanted."""
    deadline = time.monotonic() + 60
    while True:
        rows = cx.json("list")
        assert isinstance(rows, list)
        row = next(row for row in rows if row["namespace"] == name)
        if row["state"] == wanted:
            return dict(row)
        assert time.monotonic() < deadline, row
        time.sleep(0.2)


def test_a_service_that_ends_after_it_was_ready_is_told_with_its_reason(
    cx: Cx, preview: Callable[[], str], hello: Project
) -> None:
    name = preview()
    command = "sleep 6; python -c 'x = bytearray(600000000)'"
    written(hello, "  worker:\n" + RUN % command + "    mem_limit: 64m\n    restart: always\n")
    cx("deploy", hello.folder, "--namespace", name)
    row = until(cx, name, "unwell")
    assert "worker ended 1 time, the last time it ran out of memory at 64m: raise memory of [services.worker]" in str(
        row["why"]
    )
    assert row["restarts"]
    assert f"{name}: worker ended" in cx("list").stdout
    (worker,) = [one for one in cx.json("show", name)["services"] if one["service"] == "worker"]
    assert worker["restarts"]
    assert "ran out of memory at 64m" in worker["why"]
    assert "worker ended" in cx("show", name).stdout


def test_a_process_that_memory_ran_out_for_is_told_though_its_service_goes_on(
    cx: Cx, preview: Callable[[], str], hello: Project
) -> None:
    name = preview()
    command = "python -c 'x = bytearray(600000000)'; sleep 600"
    written(hello, "  worker:\n" + RUN % command + "    mem_limit: 64m\n")
    cx("deploy", hello.folder, "--namespace", name)
    (worker,) = [one for one in cx.json("show", name)["services"] if one["service"] == "worker"]
    assert (worker["state"], worker["restarts"]) == ("running", 0)
    assert worker["why"].startswith("ran out of memory at 64m: raise memory of [services.worker] in cx.toml")


def test_a_wait_ends_after_the_start_timeout_and_names_what_it_waited_for(
    cx: Cx, preview: Callable[[], str], hello: Project
) -> None:
    name = preview()
    endless = "  endless:\n" + RUN % "echo still at it; sleep 600"
    chain = "  next:\n" + RUN % "true" + "    depends_on: { endless: { condition: service_completed_successfully } }\n"
    written(hello, endless + chain, "    depends_on: { next: { condition: service_completed_successfully } }\n")
    done = cx("deploy", hello.folder, "--namespace", name, check=False)
    assert done.returncode == 1
    assert "  | still at it" in done.stderr
    assert (
        "service endless did not come to complete within 20 s (limits.start_timeout_s), and next waits for endless"
        in done.stderr
    )


WAITS = {
    "a job": (
        "  job:\n" + RUN % "sleep 600",
        "    depends_on: { job: { condition: service_completed_successfully } }\n",
    ),
    "an image that is built": ("", ""),
    "a release": ("", ""),
}


@pytest.mark.parametrize("what", WAITS)
def test_a_delete_ends_a_deploy_that_waits(cx: Cx, preview: Callable[[], str], hello: Project, what: str) -> None:
    name = preview()
    services, web = WAITS[what]
    written(hello, services, web)
    if what == "an image that is built":
        hello.replace("Dockerfile", "EXPOSE", "RUN sleep 300\nEXPOSE")
    if what == "a release":
        hello.write("cx.toml", 'release = "sleep 300"\n')
    argv = [sys.executable, "-m", "cx", "deploy", str(hello.folder), "--namespace", name, "--json"]
    begun = {"a job": "waits for job", "an image that is built": "RUN sleep 300", "a release": "release command"}[what]
    environment = {**os.environ, "CX_CONFIG": str(cx.config)}
    with subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as deploy:
        assert deploy.stdout
        assert deploy.stderr
        for line in deploy.stdout:
            if begun in line:
                break
        cx("delete", "--namespace", name, "--force")
        assert deploy.wait(timeout=30) == 75
        assert "something else is wanted of it by now" in deploy.stderr.read()
    assert cx.observe(name).leftovers() == []
