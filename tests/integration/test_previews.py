"""What a developer does with previews, on real containers."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import docker
import pytest
from live import Cx, Project


def test_each_preview_has_code_and_data_of_its_own(cx: Cx, preview: Callable[[], str], guestbook: Project) -> None:
    first = guestbook.commit()
    guestbook.replace("app.py", 'GREETING = "Guestbook"', 'GREETING = "Second edition"')
    second = guestbook.commit()
    one, two = preview(), preview()
    done = cx("deploy", guestbook.folder, "--namespace", one, "--ref", first)
    assert f"http://{one}-app.localhost:{cx.port}" in done.stdout
    cx("deploy", guestbook.folder, "--namespace", two, "--ref", second)

    cx.get(one, method="POST", body=urlencode({"author": "ada", "note": "only in one"}))
    assert "<h1>Guestbook</h1>" in cx.get(one)
    assert "<h1>Second edition</h1>" in cx.get(two)
    assert "1000 customers" in cx.get(two)
    assert "only in one" in cx.get(one)
    assert "only in one" not in cx.get(two)


def test_the_data_stays_with_a_new_commit_and_goes_with_a_reset(
    cx: Cx, preview: Callable[[], str], guestbook: Project
) -> None:
    name = preview()
    cx("deploy", guestbook.folder, "--namespace", name)
    cx.get(name, method="POST", body=urlencode({"author": "ada", "note": "stays"}))
    guestbook.replace("app.py", 'GREETING = "Guestbook"', 'GREETING = "Third"')
    cx("deploy", guestbook.folder, "--namespace", name)
    assert "<h1>Third</h1>" in cx.get(name)
    assert "stays" in cx.get(name)
    cx("db", "reset", name, "--force")
    assert "stays" not in cx.get(name)  # and the release command made its table again


def test_with_nothing_changed_nothing_is_done(cx: Cx, preview: Callable[[], str], hello: Project) -> None:
    name = preview()
    cx("deploy", hello.folder, "--namespace", name)
    before = cx.observe(name)
    assert "nothing changed" in cx("deploy", hello.folder, "--namespace", name).stdout
    assert cx.observe(name) == before


def test_no_request_fails_while_a_new_commit_takes_over(cx: Cx, preview: Callable[[], str], hello: Project) -> None:
    name = preview()
    cx("deploy", hello.folder, "--namespace", name)
    seen: list[tuple[int, str]] = []
    stop = threading.Event()

    def load() -> None:
        while not stop.is_set():
            try:
                status, text = cx.ask(name)
                seen.append((status, text.split()[0] if text.split() else ""))
            except OSError as exc:
                seen.append((0, repr(exc)))

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for version in ("two", "three"):
            hello.write(
                "app.py", (hello.folder / "app.py").read_text().replace('VERSION = "', f'VERSION = "{version}-')
            )
            cx("deploy", hello.folder, "--namespace", name)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert len(seen) > 100
    assert {status for status, _ in seen} == {200}
    assert {text for _, text in seen} == {"one", "two-one", "three-two-one"}


PYTHON = "FROM python:3.13-slim\nEXPOSE 8000\n"
BROKEN = {
    "build": ("Dockerfile", PYTHON + "RUN echo mark-of-the-build && exit 3\n"),
    "start": ("Dockerfile", PYTHON + 'CMD ["sh", "-c", "echo mark-of-the-start; exit 3"]\n'),
    "health": (
        "cx.toml",
        """[services.app]\nbuild = "."\nport = 8000\n"""
        """healthcheck = { test = "echo mark-of-the-health; false", interval = "1s", retries = 1 }\n""",
    ),
    "probe": ("Dockerfile", PYTHON + 'CMD ["sh", "-c", "echo mark-of-the-probe; sleep 600"]\n'),
    "release": (
        "cx.toml",
        """release = ["sh", "-c", "echo mark-of-the-release; exit 4"]\n[services.app]\nbuild = "."\nport = 8000\n""",
    ),
}


@pytest.mark.parametrize("what", sorted(BROKEN))
def test_a_failed_deployment_leaves_the_old_one_serving(
    cx: Cx, preview: Callable[[], str], hello: Project, what: str
) -> None:
    name = preview()
    cx("deploy", hello.folder, "--namespace", name)
    before = cx.observe(name)
    path, text = BROKEN[what]
    hello.write(path, text)
    patience = {"CX_LIMITS_START_TIMEOUT_S": "5"} if what == "probe" else {}  # it never listens, however long one waits
    done = cx("deploy", hello.folder, "--namespace", name, check=False, **patience)
    assert done.returncode == 1
    assert f"mark-of-the-{what}" in done.stderr
    ends = re.search(r"service app ended .*with status 3", done.stderr)
    assert bool(ends) is (what == "start"), done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("cx: ")
    assert name in last
    assert "Traceback" not in done.stderr
    assert cx.get(name).startswith("one")
    after = cx.observe(name)
    assert after.containers == before.containers
    assert after.networks == before.networks


def test_an_interrupt_ends_a_deploy_at_once(cx: Cx, preview: Callable[[], str], hello: Project) -> None:
    name = preview()
    dockerfile = (hello.folder / "Dockerfile").read_text()
    hello.write("Dockerfile", dockerfile + "RUN echo it sleeps && sleep 120\n")
    argv = [sys.executable, "-m", "cx", "deploy", str(hello.folder), "--namespace", name, "--json"]
    environment = {**os.environ, "CX_CONFIG": str(cx.config)}
    with subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout
        assert running.stderr
        next(line for line in running.stdout if '"line"' in line and "it sleeps" in line)
        running.send_signal(signal.SIGINT)
        try:
            assert running.wait(timeout=20) == 130
        finally:
            running.kill()
        assert json.loads(running.stdout.readlines()[-1])["exit_code"] == 130
        assert running.stderr.read().startswith(f"cx: {name}: interrupted; ")
    events: Any = cx.json("events", name)
    assert [one["outcome"] for one in events["deployments"]] == ["interrupted"]
    hello.write("Dockerfile", dockerfile)
    cx("deploy", hello.folder, "--namespace", name)
    assert cx.get(name).startswith("one")


def test_a_first_deployment_that_fails_leaves_no_container(cx: Cx, preview: Callable[[], str], hello: Project) -> None:
    name = preview()
    path, text = BROKEN["start"]
    hello.write(path, text)
    assert cx("deploy", hello.folder, "--namespace", name, check=False).returncode == 1
    seen = cx.observe(name)
    assert (seen.containers, dict(seen.networks), seen.route) == ((), {}, "")
    assert cx.ask(name)[0] == 404


@pytest.mark.parametrize("whose", ["the image's", "the project's"])
def test_a_deploy_does_not_wait_for_a_health_check_of_once_a_minute(
    cx: Cx, preview: Callable[[], str], hello: Project, whose: str
) -> None:
    name = preview()
    if whose == "the image's":
        dockerfile = (hello.folder / "Dockerfile").read_text()
        hello.write("Dockerfile", dockerfile + "HEALTHCHECK --interval=60s CMD true\n")
    else:
        check = 'healthcheck = { test = ["CMD", "true"], interval = "60s" }'
        hello.write("cx.toml", f'[services.app]\nbuild = "."\nport = 8000\n{check}\n')
    cx("deploy", hello.folder, "--namespace", name)
    (container,) = cx.observe(name).containers
    assert container.well or container.starting  # cx has asked it itself; the engine does within a second
    (healthy,) = [one for one in cx.json("events", name)["steps"] if one["step"] == "healthy"]
    assert healthy["duration_s"] < 30


def test_who_is_well_need_not_wait_until_the_engine_asks(cx: Cx, preview: Callable[[], str], hello: Project) -> None:
    """The project says that it is not asked before 10 minutes have passed: cx asks when it has started."""
    name = preview()
    check = 'test = "test -e /tmp/asked && test $(pwd) = / || ! touch /tmp/asked"'  # well at the second time
    times = 'interval = "10m"\nstart_period = "10m"\nstart_interval = "10m"'
    hello.write("cx.toml", f'[services.app]\nbuild = "."\nport = 8000\n[services.app.healthcheck]\n{check}\n{times}\n')
    hello.replace("app.py", "sys.exit(0)", "os._exit(0)")  # at once, whoever is connected to it
    dockerfile = (hello.folder / "Dockerfile").read_text()
    hello.write("Dockerfile", dockerfile + "WORKDIR /\nUSER nobody\n")
    cx("deploy", hello.folder, "--namespace", name)
    (container,) = cx.observe(name).containers
    assert container.starting
    (row,) = [one for one in cx.json("list") if one["namespace"] == name]
    assert row["state"] == "ready"
    again = cx("deploy", hello.folder, "--namespace", name, "--json").stdout.splitlines()
    assert json.loads(again[-1])["event"] == "unchanged"
    assert [one["doing"] for one in cx.json("show", name)["deployments"]] == ["deploy"]

    # Who ends and runs again is not one that has just started: it could do so for ever.
    client = docker.from_env()
    try:
        client.containers.get(container.id).exec_run(["python", "-c", "import os; os.kill(1, 15)"])
        until = time.monotonic() + 20
        while (
            client.api.inspect_container(container.id)["RestartCount"] == 0
            or not cx.observe(name).containers[0].running
        ):
            assert time.monotonic() < until
            time.sleep(0.1)
    finally:
        client.close()
    (row,) = [one for one in cx.json("list") if one["namespace"] == name]
    assert row["state"] == "unwell"


def test_who_is_not_probed_is_waited_for_as_the_engine_says(cx: Cx, preview: Callable[[], str], hello: Project) -> None:
    """The check of a database says yes to the server that runs while its image makes it."""
    name = preview()
    worker = 'command = ["sleep", "600"]\n[services.worker.healthcheck]\ntest = "true"\n'
    hello.write("cx.toml", f'[services.app]\nbuild = "."\n[services.worker]\nbuild = "."\nroute = false\n{worker}')
    cx("deploy", hello.folder, "--namespace", name)
    (health,) = [one.health for one in cx.observe(name).containers if one.service == "worker"]
    assert health == "healthy"


def test_delete_leaves_nothing_and_can_be_repeated(cx: Cx, preview: Callable[[], str], guestbook: Project) -> None:
    name = preview()
    cx("deploy", guestbook.folder, "--namespace", name)
    seen = cx.observe(name)
    assert seen.containers
    assert seen.clones
    assert seen.images
    cx("delete", "--namespace", name, "--force")
    assert cx.observe(name).leftovers() == []
    assert cx.ask(name)[0] == 404
    assert cx("delete", "--namespace", name, "--force").returncode == 0
    assert cx("show", name, check=False).returncode == 1


def test_delete_asks_first(cx: Cx, preview: Callable[[], str], hello: Project) -> None:
    name = preview()
    cx("deploy", hello.folder, "--namespace", name)
    done = cx("delete", "--namespace", name, check=False)
    assert done.returncode == 1
    assert "--force" in done.stderr
    assert cx.get(name)


def test_containers_have_no_more_rights_than_they_need(cx: Cx, preview: Callable[[], str], guestbook: Project) -> None:
    name = preview()
    cx("deploy", guestbook.folder, "--namespace", name)
    client = docker.from_env()
    try:
        for one in cx.observe(name).containers:
            found = client.api.inspect_container(one.id)
            host = found["HostConfig"]
            assert host["SecurityOpt"] == ["no-new-privileges:true"]
            assert host["CapDrop"] == ["ALL"]
            assert not host["Privileged"]
            assert 0 < host["PidsLimit"] <= 256
            assert 0 < host["Memory"] <= 512 << 20
            assert host["NanoCpus"] > 0
            assert host["LogConfig"]["Config"]["max-size"]
            assert not host["Binds"]
            assert not host["PortBindings"]
            assert host["RestartPolicy"]["Name"] == ("no" if one.role == "release" else "always")
            labels = found["Config"]["Labels"]
            assert labels["dev.cx.instance"] == cx.instance
            assert labels["dev.cx.namespace"] == name
            assert labels["dev.cx.revision"] == one.revision
            environment = "\n".join(found["Config"]["Env"] or [])
            assert "CX_CONFIG" not in environment
            assert "shop" not in environment  # the source's user, password and database
    finally:
        client.close()


CONNECT = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=2)"


def test_a_preview_reaches_neither_its_siblings_nor_the_database_server(
    cx: Cx, preview: Callable[[], str], guestbook: Project
) -> None:
    one, two = preview(), preview()
    cx("deploy", guestbook.folder, "--namespace", one)
    cx("deploy", guestbook.folder, "--namespace", two)
    client = docker.from_env()
    try:
        (app,) = [found for found in cx.observe(two).containers if found.role == "service"]
        networks = client.api.inspect_container(app.id)["NetworkSettings"]["Networks"]
        sibling = next(iter(networks.values()))["IPAddress"]
        networks = client.api.inspect_container(f"{cx.instance}-postgres")["NetworkSettings"]["Networks"]
        server = next(iter(networks.values()))["IPAddress"]
    finally:
        client.close()

    def reaches(address: str, port: int) -> bool:
        done = cx("exec", one, "app", "--", "python", "-c", CONNECT, address, str(port), check=False)
        return done.returncode == 0

    assert reaches("db", 5432)
    assert not reaches(sibling, 8000)
    assert not reaches(server, 5432)
    assert not reaches(f"{cx.instance}-postgres", 5432)


def test_labels_of_an_image_route_nothing(cx: Cx, preview: Callable[[], str], hello: Project) -> None:
    name = preview()
    hello.replace(
        "Dockerfile",
        "EXPOSE",
        'LABEL traefik.enable=true\nLABEL traefik.http.routers.evil.rule="Host(`evil-x.localhost`)"\nEXPOSE',
    )
    cx("deploy", hello.folder, "--namespace", name)
    assert cx.ask("evil", service="x")[0] == 404


def test_what_a_developer_looks_at(cx: Cx, preview: Callable[[], str], hello: Project) -> None:
    name = preview()
    cx("deploy", hello.folder, "--namespace", name, "--set", "GREETING=hi there $HOME ${X}")
    assert cx.get(name) == "one hi there $HOME ${X}\n"
    (row,) = [row for row in cx.json("list") if row["namespace"] == name]
    assert (row["state"], row["services"]) == ("ready", "1/1")
    detail = cx.json("show", name)
    assert detail["urls"] == [f"http://{name}-app.localhost:{cx.port}"]
    assert [one["outcome"] for one in detail["deployments"]] == ["ready"]
    assert "GET / HTTP/1.1" in cx("logs", name, "app").stdout
    assert cx("exec", name, "app", "--", "cat", "/etc/hostname").stdout
    argv = [sys.executable, "-m", "cx", "logs", name, "--follow"]
    environment = {**os.environ, "CX_CONFIG": str(cx.config)}
    with subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout
        assert running.stderr
        assert running.stdout.readline()
        running.send_signal(signal.SIGINT)
        assert (running.wait(timeout=20), running.stderr.read()) == (0, "")
    with subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout
        assert running.stdout.readline()
        cx("deploy", hello.folder, "--namespace", name, "--set", "GREETING=another")
        assert "have ended" in running.communicate(timeout=20)[1]
        assert running.returncode == 0
    steps = [one["step"] for one in cx.json("events", name)["steps"]]
    assert steps.index("start") < steps.index("probe") < steps.index("publish")
    assert cx("logs", name, "nothing", check=False).returncode == 1


def test_json_events_are_one_object_a_line(cx: Cx, preview: Callable[[], str], hello: Project) -> None:
    name = preview()
    lines = cx("deploy", hello.folder, "--namespace", name, "--json").stdout.splitlines()
    events = [json.loads(line) for line in lines]
    assert events[0]["event"] == "began"
    assert events[-1]["event"] == "ready"
    assert events[-1]["urls"] == [f"http://{name}-app.localhost:{cx.port}"]


def test_prune_takes_orphans_of_this_instance_only(cx: Cx, preview: Callable[[], str], hello: Project) -> None:
    kept, orphan = preview(), preview()
    cx("deploy", hello.folder, "--namespace", kept)
    cx("deploy", hello.folder, "--namespace", orphan)
    import sqlite3

    with sqlite3.connect(cx.config.parent / "state" / "cx.db") as store:
        store.execute("DELETE FROM desired WHERE namespace = ?", (orphan,))
    store.close()
    client = docker.from_env()
    other = client.containers.create(
        "python:3.13-slim", labels={"dev.cx.instance": "another", "dev.cx.namespace": orphan}
    )
    try:
        done = cx("prune", "--force")
        assert orphan in done.stdout
        assert kept not in done.stdout
        assert cx.observe(orphan).leftovers() == []
        assert cx.get(kept)
        other.reload()
        with sqlite3.connect(cx.config.parent / "state" / "cx.db") as store:
            store.execute("UPDATE desired SET origin = 'github:acme/gone' WHERE namespace = ?", (kept,))
        store.close()
        assert f"left alone, of repositories that are not followed any more (--unfollowed): {kept}" in (
            cx("prune", "--force").stdout
        )
        assert cx.get(kept)
        assert f"{kept}: acme/gone is not followed any more" in cx("prune", "--unfollowed", "--force").stdout
        assert cx.observe(kept).leftovers() == []
    finally:
        other.remove()
        client.close()


def test_a_container_that_is_gone_comes_back_with_the_next_deploy(
    cx: Cx, preview: Callable[[], str], hello: Project
) -> None:
    name = preview()
    cx("deploy", hello.folder, "--namespace", name)
    client = docker.from_env()
    client.api.remove_container(cx.observe(name).containers[0].id, force=True)
    client.close()
    until = time.monotonic() + 10
    while cx.ask(name)[0] < 500 and time.monotonic() < until:
        pass
    cx("deploy", hello.folder, "--namespace", name)
    assert cx.get(name).startswith("one")
