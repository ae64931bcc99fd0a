"""The listener as a process: `cx git listen`, killed and started again. No GitHub answers, and no engine."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from forge.fake import TOKEN, fake_github
from listening import SECRET, Listener, pull_request
from ports import free_port

from cx.store import Database
from cx.store.deliveries import Deliveries


@pytest.fixture
def host(tmp_path: Path) -> Path:
    (tmp_path / "host.toml").write_text(
        f"""
state_dir = "{tmp_path / "state"}"
[listen]
port = {free_port()}
secrets = ["env:HOOK"]
[github]
base_url = "http://127.0.0.1:1"
token = "none"
[github.repositories."acme/shop"]
"""
    )
    return tmp_path


def environment(host: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CX_", "DOCKER_"))}
    return kept | {
        "CX_CONFIG": str(host / "host.toml"),
        "HOOK": SECRET.decode(),
        "DOCKER_HOST": f"unix://{host / 'no.sock'}",
    }


def cx(host: Path, *argv: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cx", *argv],
        env=environment(host) | more,
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@contextmanager
def running(host: Path, *argv: str) -> Iterator[tuple[subprocess.Popen[str], Listener]]:
    """The process, once it answers, and the way to send it deliveries."""
    log = (host / "log").open("a+")
    start = log.tell()
    process = subprocess.Popen(
        [sys.executable, "-m", "cx", "git", "listen", *argv], env=environment(host), stderr=log, stdout=log, text=True
    )
    try:
        until = time.monotonic() + 30
        while '"listening"' not in (host / "log").read_text()[start:]:
            assert process.poll() is None, (host / "log").read_text()
            assert time.monotonic() < until
            time.sleep(0.05)
        port = int(next(line for line in (host / "host.toml").read_text().splitlines() if "port = " in line)[7:])
        box = Deliveries(Database(host / "state" / "cx.db"))
        yield process, Listener(port, box)
        box.database.close()
    finally:
        process.kill()
        process.wait()
        log.close()


def lines(host: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (host / "log").read_text().splitlines()]


def test_kill_9_loses_no_acknowledged_delivery(host: Path) -> None:
    acknowledged: set[tuple[str, int]] = set()
    with running(host) as (process, listener):

        def send(worker: int) -> None:
            with suppress(OSError, http.client.HTTPException):  # it was killed
                for number in range(10_000):
                    pull = worker * 10_000 + number + 1
                    if listener.send("pull_request", pull_request(number=pull), f"d-{pull}").status == 202:
                        acknowledged.add((f"d-{pull}", pull))

        senders = [threading.Thread(target=send, args=(worker,)) for worker in range(4)]
        for one in senders:
            one.start()
        until = time.monotonic() + 30
        while len(acknowledged) < 100 and time.monotonic() < until:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
        for one in senders:
            one.join()
    assert len(acknowledged) >= 100
    with running(host) as (_, listener):
        asked = {one.number for one in [*listener.box.waiting(), *listener.box.running()]}
        for name, number in acknowledged:
            assert listener.box.seen(name) == 1
            assert number in asked


def test_sigterm_ends_it_well_and_the_next_one_goes_on(host: Path) -> None:
    with running(host) as (process, listener):
        assert listener.send("pull_request", pull_request(number=5)).status == 202
        process.terminate()
        assert process.wait(40) == 0
    assert lines(host)[-1]["event"] == "stopped"
    with running(host) as (_, listener):
        assert 5 in {one.number for one in [*listener.box.waiting(), *listener.box.running()]}


def test_a_token_that_github_refuses_is_seen_until_it_is_taken(host: Path) -> None:
    def becomes(listener: Listener, status: int, missing: list[str]) -> None:
        until = time.monotonic() + 30
        while True:
            said = listener.ask("GET", "/readyz")
            if (said.status, said.json["missing"]) == (status, missing):
                return
            assert time.monotonic() < until, (said.status, said.json)
            time.sleep(0.05)

    with fake_github() as github:
        github.open("acme/shop", 5, "1" * 40)
        path = host / "host.toml"
        path.write_text(path.read_text().replace("http://127.0.0.1:1", github.url).replace('"none"', f'"{TOKEN}"'))
        github.tokens.clear()
        with running(host) as (_, listener):
            becomes(listener, 503, ["GitHub refuses the token"])  # as the comparison of the start was told
            assert listener.ask("GET", "/healthz").status == 200
            assert listener.send("pull_request", pull_request(number=4)).status == 202  # stored all the same
            github.tokens.add(TOKEN)
            assert listener.send("pull_request", pull_request(number=6)).status == 202
            becomes(listener, 200, [])


def test_two_listeners_on_one_host_do_not_both_work(host: Path) -> None:
    with running(host) as (process, listener):
        second = cx(host, "git", "listen", "--port", str(free_port()))
        assert second.returncode == 75
        assert f"held by process {process.pid}" in second.stderr
        done = cx(host, "git", "sync")
        assert done.returncode == 0, done.stderr
        assert "the listener that runs" in done.stdout
        assert 0 in {one.number for one in [*listener.box.waiting(), *listener.box.running()]} or any(
            one.get("pull") == "acme/shop#0" for one in lines(host)
        )


def test_replay_signs_and_sends(host: Path) -> None:
    (host / "payload.json").write_text(json.dumps(pull_request(number=9)))
    nobody = cx(host, "git", "replay", str(host / "payload.json"))
    assert (nobody.returncode, "no listener answers" in nobody.stderr) == (75, True)
    with running(host) as (_, listener):
        done = cx(host, "git", "replay", str(host / "payload.json"), "--delivery", "d-9")
        assert json.loads(done.stdout) == {"delivery": "d-9", "outcome": "stored"}
        assert listener.box.seen("d-9") == 1
        wrong = cx(host, "git", "replay", str(host / "payload.json"), HOOK="another secret that is long")
        assert (wrong.returncode, "401" in wrong.stderr) == (1, True)


def test_a_dry_run_changes_nothing(host: Path) -> None:
    with running(host, "--dry-run") as (_, listener):
        assert listener.send("pull_request", pull_request(number=5)).status == 202
        assert listener.stored() == []


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--host", "0.0.0.0", "--insecure"], "for loopback only"),
        (["--insecure", "--host", "nosuch.example"], "for loopback only"),
        ([], "there is none, so anyone could send deliveries"),
        (["--secret", "short"], "16 characters or more"),
        (["--secret", "env:NOT_SET"], "NOT_SET"),
    ],
)
def test_what_it_refuses_to_be(host: Path, argv: list[str], said: str) -> None:
    text = (host / "host.toml").read_text()
    (host / "host.toml").write_text(text.replace('secrets = ["env:HOOK"]', ""))
    done = cx(host, "git", "listen", *argv)
    assert done.returncode == 2
    assert said in done.stderr
    assert not (host / "state").exists()


def test_a_variable_that_a_preview_needs_and_that_is_not_set_is_said_at_the_start(host: Path) -> None:
    """Each push of the repository would fail by it."""
    path = host / "host.toml"
    path.write_text(path.read_text() + 'env = { KEY = "env:NOT_SET_ANYWHERE" }\n')
    for command in (["git", "listen"], ["git", "sync"]):
        done = cx(host, *command)
        assert done.returncode == 2
        key = "github.repositories.acme/shop.env.KEY"
        assert f"{path}: {key}: NOT_SET_ANYWHERE: is not set; export it, and run again" in done.stderr
    doctor = cx(host, "doctor", "--json")
    rows = [one for one in json.loads(doctor.stdout) if one["name"] == "configuration"]
    assert [(one["state"], key in one["finding"]) for one in rows] == [("broken", True)]
    assert doctor.returncode == 1


def test_without_repositories_it_says_what_to_set(host: Path) -> None:
    text = (host / "host.toml").read_text()
    (host / "host.toml").write_text(text.replace('[github.repositories."acme/shop"]', ""))
    for command in (["listen"], ["sync"]):
        done = cx(host, "git", *command)
        assert done.returncode == 2
        assert "github.repositories: holds no repository" in done.stderr
