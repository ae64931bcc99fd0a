"""An engine of a test's own, in a network of its own, that may be killed. Needs root."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import docker
from live import until

_ASK = """
import http.client, sys
connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=40)
connection.request(sys.argv[2], sys.argv[3], sys.argv[5] or None, {"Host": sys.argv[4]})
answer = connection.getresponse()
print(answer.status, answer.read().decode())
"""


@dataclass
class EngineApart:
    """`network` and `mounts` are descriptors of its namespaces: those outlive the process which made them."""

    folder: Path
    live_restore: bool = False
    network: int = -1
    mounts: int = -1
    process: subprocess.Popen[bytes] | None = field(default=None)

    @property
    def host(self) -> str:
        return f"unix://{self.folder}/docker.sock"

    def start(self) -> None:
        """It answers; what it had before it ended is started again, as it sees fit."""
        at = self.folder
        (at / "daemon.json").write_text(json.dumps({"live-restore": self.live_restore}))
        options = ["--config-file", at / "daemon.json", "--data-root", at / "data", "--exec-root", at / "exec"]
        daemon = ["dockerd", *options, "--pidfile", at / "pid", "--host", self.host]
        inside = ["sh", "-c", 'ip link set lo up; exec "$@"', "sh", *daemon]
        (at / "pid").unlink(missing_ok=True)  # of one that was killed
        with (at / "log").open("ab") as log:
            own = [*self.within, f"--mount=/proc/{os.getpid()}/fd/{self.mounts}"]
            self.process = subprocess.Popen(
                [*(own if self.network >= 0 else ["unshare", "--net", "--mount"]), *map(str, inside)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        until(self._answers)
        if self.network < 0:
            self.network = os.open(f"/proc/{self.process.pid}/ns/net", os.O_RDONLY)
            self.mounts = os.open(f"/proc/{self.process.pid}/ns/mnt", os.O_RDONLY)

    def kill(self) -> None:
        """As a crash does it: nobody is asked to stop, and what runs is nobody's until the next start."""
        assert self.process
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """Everything in it has ended, and nothing of it is left."""
        if self.process and self.process.poll() is None:
            with self.client() as client:
                for one in client.containers.list(all=True):
                    one.remove(force=True, v=True)
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(60)
        for one in (self.network, self.mounts):
            if one >= 0:
                os.close(one)
        shutil.rmtree(self.folder)

    @property
    def within(self) -> list[str]:
        """What a command has before it to run in the engine's network."""
        return ["nsenter", f"--net=/proc/{os.getpid()}/fd/{self.network}"]

    def load(self, *images: str) -> None:
        """It has these images of the machine's engine."""
        with subprocess.Popen(["docker", "save", *images], stdout=subprocess.PIPE) as saved:
            subprocess.run(
                ["docker", "--host", self.host, "load", "--quiet"], stdin=saved.stdout, check=True, capture_output=True
            )

    def run(self, argv: Sequence[str | Path], **environment: str) -> subprocess.CompletedProcess[str]:
        """`argv` in its network, with the engine as the one that is asked."""
        return subprocess.run(
            [*self.within, *map(str, argv)],
            env={**os.environ, "DOCKER_HOST": self.host, **environment},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def ask(self, port: int, host: str, path: str = "/", body: str = "") -> tuple[int, str]:
        """What the router in there answers; 0 where it does not."""
        method = "POST" if body else "GET"
        done = self.run([sys.executable, "-S", "-c", _ASK, str(port), method, path, host, body])
        status, _, text = done.stdout.partition(" ")
        return int(status or 0), text

    @contextmanager
    def client(self) -> Iterator[docker.DockerClient]:
        client = docker.DockerClient(self.host, version="1.45")  # asks nothing yet
        try:
            yield client
        finally:
            client.close()

    def _answers(self) -> bool:
        assert self.process
        assert self.process.poll() is None, (self.folder / "log").read_text()[-2000:]
        asked = subprocess.run(["docker", "--host", self.host, "version"], capture_output=True, check=False)
        return asked.returncode == 0
