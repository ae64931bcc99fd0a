"""`cx git listen` as a process serves the API, too: the command line with --remote has neither engine nor host here."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import httpx
import pytest
from live import Cx, Project, free_port

API_TOKEN, HOOK = secrets.token_hex(16), secrets.token_hex(16)


@dataclass
class Listener:
    """The process, what it logged, and the command line as somebody elsewhere has it."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        given = {"CX_CONFIG": str(self.folder / "host.toml"), "API_TOKEN": API_TOKEN, "HOOK": HOOK}
        with (self.folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "cx", "git", "listen"], env={**os.environ, **given}, stdout=log, stderr=log
            )
        until = time.monotonic() + 30
        while '"listening"' not in self.log():
            assert self.process.poll() is None, self.log()
            assert time.monotonic() < until, self.log()
            time.sleep(0.05)

    def stop(self) -> int:
        assert self.process
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(40)

    def begin(self, *argv: object, token: str = API_TOKEN) -> subprocess.Popen[str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("CX_", "DOCKER_", "XDG_"))}
        elsewhere = {"HOME": str(self.folder / "elsewhere"), "DOCKER_HOST": "unix:///nowhere.sock"}
        return subprocess.Popen(
            [sys.executable, "-m", "cx", *map(str, argv), "--remote", self.url],
            env=kept | elsewhere | {"CX_REMOTE_TOKEN": token},
            text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def __call__(self, *argv: object, check: bool = True, token: str = API_TOKEN) -> subprocess.CompletedProcess[str]:
        with self.begin(*argv, token=token) as process:
            out, err = process.communicate(timeout=120)
        assert not check or process.returncode == 0, (argv, process.returncode, out, err, self.log())
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def log(self) -> str:
        return (self.folder / "log").read_text()


@pytest.fixture
def listener(cx: Cx, tmp_path: Path) -> Iterator[Listener]:
    port = free_port()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "host.toml").write_text(
        cx.config.read_text()
        + f"""
[listen]
port = {port}
secrets = ["env:HOOK"]
[api]
tokens = ["env:API_TOKEN"]
[github]
base_url = "http://127.0.0.1:1"
token = "none"
[github.repositories."acme/shop"]
"""
    )
    listener = Listener(tmp_path, port)
    try:
        listener.start()
        yield listener
    finally:
        if listener.process:
            listener.process.kill()
            listener.process.wait()


def test_a_preview_by_the_listener_that_runs(cx: Cx, listener: Listener, guestbook: Project) -> None:
    name = f"preview-{secrets.randbelow(10**6)}"
    try:
        refused = listener("list", check=False, token="not the token of this host")
        assert (refused.returncode, "no token, or a wrong one" in refused.stderr) == (1, True)

        told = listener("deploy", guestbook.folder, "--namespace", name).stdout
        assert f"{name}: ready in" in told
        assert f"  http://{name}-app.localhost:{cx.port}" in told
        cx.get(name, method="POST", body=urlencode({"author": "a", "note": "signed from afar"}))
        assert "signed from afar" in cx.get(name)
        assert name in listener("list").stdout
        shown = json.loads(listener("show", name, "--json").stdout)
        assert (shown["state"], [one["source"] for one in shown["databases"]]) == ("ready", ["app"])
        assert listener("logs", name, "app").stdout.strip()

        assert f"{name}: ready in" in listener("db", "reset", name, "--force").stdout
        assert "signed from afar" not in cx.get(name)
        shown = json.loads(listener("show", name, "--json").stdout)
        assert [(one["doing"], one["outcome"]) for one in shown["deployments"]] == [
            ("reset", "ready"), ("deploy", "ready"),
        ]  # fmt: skip

        assert f"{name}: deleted" in listener("delete", "--namespace", name, "--force").stdout
        assert cx.observe(name).leftovers() == []
        assert listener("show", name, check=False).returncode == 1
        assert httpx.get(f"{listener.url}/healthz").status_code == 200  # the rest is there beside it
        assert httpx.post(f"{listener.url}/webhook", content=b"{}").status_code == 401
        assert listener.stop() == 0
        assert API_TOKEN not in listener.log()
    finally:
        cx("delete", "--namespace", name, "--force")


def test_a_listener_that_stops_in_the_middle_leaves_nothing_that_works_on(
    cx: Cx, listener: Listener, hello: Project, preview: Callable[[], str]
) -> None:
    name = preview()
    hello.replace("Dockerfile", "EXPOSE", f"RUN sleep 30 # {secrets.token_hex(4)}\nEXPOSE")
    with listener.begin("deploy", hello.folder, "-n", name, "--json") as deploying:
        assert deploying.stdout
        while '"build app"' not in deploying.stdout.readline():
            assert deploying.poll() is None
        began = time.monotonic()
        assert listener.stop() == 0
        assert time.monotonic() - began < 15
        _, said = deploying.communicate(timeout=20)
    assert (deploying.returncode, "ended in the middle" in said) == (75, True), said
    listener.start()
    shown = json.loads(listener("show", name, "--json").stdout)
    assert [one["outcome"] for one in shown["deployments"]] == ["died"]
    hello.replace("Dockerfile", "sleep 30", "true")
    assert f"{name}: ready in" in listener("deploy", hello.folder, "-n", name).stdout
    shown = json.loads(listener("show", name, "--json").stdout)
    assert [one["outcome"] for one in shown["deployments"]] == ["ready", "died"]
