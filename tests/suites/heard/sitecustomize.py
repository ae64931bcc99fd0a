"""Loaded by every Python of a test that has this folder in PYTHONPATH: writes down each program that it starts."""

import json
import os
import sys

LOG = os.environ.get("CX_TEST_PROGRAMS", "")


def hear(event: str, arguments: tuple) -> None:  # type: ignore[type-arg]
    if event == "subprocess.Popen":
        _, argv, _, environment = arguments
    elif event in ("os.exec", "os.posix_spawn"):
        _, argv, environment = arguments
    else:
        return
    given = os.environ if environment is None else environment
    record = {
        "argv": [os.fsdecode(word) for word in argv],
        "environment": [os.fsdecode(text) for text in given.values()],
    }
    descriptor = os.open(LOG, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(descriptor, json.dumps(record).encode() + b"\n")
    os.close(descriptor)


if LOG:
    sys.addaudithook(hear)
