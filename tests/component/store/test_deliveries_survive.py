"""What was acknowledged is on the disk."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from cx.store import Database
from cx.store.deliveries import Deliveries


def test_what_was_accepted_survives_kill_9(tmp_path: Path) -> None:
    program = """
import os, pathlib, sys
from cx.store import Database
from cx.store.deliveries import Deliveries, Delivery
from cx.pulls.values import PullId
queue = Deliveries(Database(pathlib.Path(sys.argv[1])))
for number in range(1, 10**6):
    queue.accept(Delivery(f"d-{number}", "pull_request", "opened", (PullId("acme/shop", number),)))
    os.write(1, b"%d\\n" % number)
"""
    path = tmp_path / "cx.db"
    with subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE) as writer:
        assert writer.stdout
        for line in writer.stdout:
            if int(line) >= 50:
                break
        os.kill(writer.pid, signal.SIGKILL)
        acknowledged = [int(line) for line in writer.stdout.read().split()] or [50]
    queue = Deliveries(Database(path))
    assert len(queue.waiting()) >= max(acknowledged)
    assert [one.number for one in queue.waiting()[:50]] == list(range(1, 51))
    queue.database.close()
