"""The end of a session of processes, and of a job whose listener is gone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from cx.core.names import Namespace
from cx.host.jobs.running import Jobs
from cx.process.sessions import end_session, members
from cx.pulls import Order

# A child in a group of its own, as Docker's commands are, that ignores everything but SIGKILL.
TREE = """
import subprocess, sys
subprocess.Popen(["sh", "-c", "trap '' TERM INT HUP; sleep 60; sleep 60"], process_group=0)
sys.stdin.read()
"""


def started() -> subprocess.Popen[bytes]:
    process = subprocess.Popen([sys.executable, "-c", TREE], stdin=subprocess.PIPE, start_new_session=True)
    until = time.monotonic() + 10
    while len(members(process.pid)) < 3:
        assert time.monotonic() < until
        time.sleep(0.01)
    return process


def test_all_of_it_ends_and_nothing_else():
    mine, other = started(), started()
    try:
        end_session(mine.pid)
        assert members(mine.pid) == []
        assert len(members(other.pid)) == 3
        assert os.getpid() in members(os.getsid(0))
    finally:
        end_session(other.pid)
        for one in (mine, other):
            one.communicate()


def environment(folder: Path) -> dict[str, str]:
    (folder / "host.toml").write_text(f'state_dir = "{folder / "state"}"')
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "CX_CONFIG": str(folder / "host.toml"),
        "DOCKER_HOST": f"unix://{folder}/none.sock",
    }


def test_a_job_says_what_is_wrong(tmp_path):
    jobs = Jobs(environment(tmp_path))
    order = Order(Namespace("preview-7"), "delete")
    ended = jobs.run(order, lambda: False, lambda event: None)
    assert ended.outcome == "retry"
    assert "the Docker Engine does not answer" in ended.message
    ended = jobs.run(Order(Namespace("preview-7"), "dance"), lambda: False, lambda event: None)
    said = "job: action: should be deploy, reset, sleep, wake, settle or delete"
    assert (ended.outcome, ended.message) == ("failed", said)


def test_a_job_that_cannot_begin_is_tried_again(tmp_path):
    ended = Jobs(environment(tmp_path) | {"CX_CONFIG": "/none"}).run(
        Order(Namespace("preview-7"), "delete"), lambda: False, lambda event: None
    )
    assert (ended.outcome, "CX_CONFIG" in ended.message) == ("failed", True)


def test_a_job_ends_with_who_wanted_it(tmp_path):
    """The namespace is locked by somebody, so the job waits."""
    lock = "from cx.host import open_host\nimport sys\nwith open_host() as host, host.lock('preview-7', 'x'):\n"
    lock += "    print('held', flush=True)\n    sys.stdin.read()"
    env = environment(tmp_path)
    holder = subprocess.Popen(
        [sys.executable, "-c", lock], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout
    assert holder.stdout.readline() == "held\n"
    job = subprocess.Popen(
        [sys.executable, "-m", "cx.host.jobs"],
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        assert job.stdin
        assert job.stdout
        job.stdin.write(json.dumps({"namespace": "preview-7", "action": "delete", "origin": ""}).encode() + b"\n")
        job.stdin.flush()
        assert json.loads(job.stdout.readline())["event"] == "line"
        job.stdin.close()
        assert job.wait(10) == -9
    finally:
        job.kill()
        job.wait()
        job.stdout.close()
        holder.communicate("")
