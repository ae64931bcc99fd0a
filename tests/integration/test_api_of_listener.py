"""`cx git listen` as a process serves the API, too: the command line with --remote has neither engine nor host here."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
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

    process: subprocess.Popen[bytes]
    url: str
    folder: Path

    def __call__(self, *argv: object, check: bool = True, token: str = API_TOKEN) -> subprocess.CompletedProcess[str]:
        elsewhere = self.folder / "elsewhere"
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("CX_", "DOCKER_", "XDG_"))}
        done = subprocess.run(
            [sys.executable, "-m", "cx", *map(str, argv), "--remote", self.url],
            env=kept | {"HOME": str(elsewhere), "DOCKER_HOST": "unix:///nowhere.sock", "CX_REMOTE_TOKEN": token},
            capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=120, check=False,
        )  # fmt: skip
        assert not check or done.returncode == 0, (argv, done.returncode, done.stdout, done.stderr, self.log())
        return done

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
    given = {"CX_CONFIG": str(tmp_path / "host.toml"), "API_TOKEN": API_TOKEN, "HOOK": HOOK}
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "cx", "git", "listen"], env={**os.environ, **given}, stdout=log, stderr=log
        )
    listener = Listener(process, f"http://127.0.0.1:{port}", tmp_path)
    try:
        until = time.monotonic() + 30
        while '"listening"' not in listener.log():
            assert process.poll() is None, listener.log()
            assert time.monotonic() < until, listener.log()
            time.sleep(0.05)
        yield listener
    finally:
        process.kill()
        process.wait()


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
        listener.process.send_signal(signal.SIGTERM)
        assert listener.process.wait(40) == 0
        assert API_TOKEN not in listener.log()
    finally:
        cx("delete", "--namespace", name, "--force")
