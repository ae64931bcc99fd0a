"""The listener on a disk that is full: a file system of the test's own, in memory and a few megabytes large."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from listening import SECRET, Listener, pull_request

from cx.web.serving import bound

HOST = """
state_dir = "{state}"
[listen]
port = {port}
secrets = ["env:HOOK"]
[github]
base_url = "http://127.0.0.1:1"
token = "none"
sync_s = 5
[github.repositories."acme/shop"]
"""
MOUNTED = 'mount -t tmpfs -o size=2m none "$1"; exec "$2" -m cx git listen'


class Disk:
    """The listener's file system, which only its process sees."""

    def __init__(self, process: subprocess.Popen[bytes], folder: Path) -> None:
        self.process = process
        self.folder = Path(f"/proc/{process.pid}/root{folder}")
        self._filler = self.folder / "filler"

    def fill(self) -> None:
        step = 64 * 1024
        with self._filler.open("ab", buffering=0) as file:
            while step >= 512:
                try:
                    file.write(b"x" * step)
                except OSError:
                    step //= 2

    def make_room(self) -> None:
        self._filler.unlink()


@contextmanager
def on_a_small_disk(folder: Path) -> Iterator[tuple[Listener, Disk]]:
    state, log = folder / "state", folder / "log"
    state.mkdir()
    with bound("127.0.0.1", 0) as probe:
        port = int(probe.getsockname()[1])
    (folder / "host.toml").write_text(HOST.format(state=state, port=port))
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CX_", "DOCKER_"))}
    with log.open("w") as out:
        process = subprocess.Popen(
            ["unshare", "--mount", "--map-root-user", "sh", "-ec", MOUNTED, "sh", str(state), sys.executable],
            env=kept | {"CX_CONFIG": str(folder / "host.toml"), "HOOK": SECRET.decode()}, stdout=out, stderr=out,
        )  # fmt: skip
    try:
        until(lambda: '"listening"' in log.read_text(), process, log)
        yield Listener(port, None), Disk(process, state)
        assert process.poll() is None, log.read_text()
    finally:
        process.kill()
        process.wait()


def until(true: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + 30
    while not true():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.05)


def test_a_full_disk_is_seen_before_a_delivery_meets_it(tmp_path: Path) -> None:
    """Pull requests wait in the queue meanwhile, which cannot be worked: the listener lives on."""
    with on_a_small_disk(tmp_path) as (listener, disk):

        def becomes(status: int) -> list[str]:
            until(lambda: listener.ask("GET", "/readyz").status == status, disk.process, tmp_path / "log")
            said: list[str] = listener.ask("GET", "/readyz").json["missing"]
            return said

        assert listener.send("pull_request", pull_request(), "d-1").status == 202
        assert becomes(200) == []
        disk.fill()
        (said,) = becomes(503)
        assert "the disk is full; free some space" in said
        assert listener.ask("GET", "/healthz").status == 200
        assert listener.send("pull_request", pull_request(number=8), "d-2").status == 503
        until(lambda: "the queue cannot be worked" in (tmp_path / "log").read_text(), disk.process, tmp_path / "log")
        disk.make_room()
        assert becomes(200) == []
        assert listener.send("pull_request", pull_request(number=8), "d-2").status == 202
