"""The watchers that look for secrets see one in a command line and in an environment, also where it is packed."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from pathlib import Path

from canaries import planted, watching

IDLE = "import sys; sys.stdin.read()"


def test_processes_and_the_programs_that_one_starts(tmp_path: Path) -> None:
    canaries = {kind: planted(kind) for kind in ("argv", "environ", "packed", "program")}
    text = {kind: one.text for kind, one in canaries.items()}
    packed = base64.b64encode(f"x-access-token:{text['packed']}".encode()).decode()
    with watching(canaries, tmp_path, engine=False) as watch:
        started = [
            subprocess.Popen([sys.executable, "-c", IDLE, text["argv"]], stdin=subprocess.PIPE),
            subprocess.Popen([sys.executable, "-c", IDLE, packed], stdin=subprocess.PIPE),
            subprocess.Popen([sys.executable, "-c", IDLE], stdin=subprocess.PIPE, env={"WORD": text["environ"]}),
        ]
        try:
            watch.until(lambda: {"argv", "environ", "packed"} <= {one.kind for one in watch.places})
        finally:
            for process in started:
                process.communicate()
        starts = f"import subprocess; subprocess.run(['true'], env={{'WORD': '{text['program']}'}})"
        subprocess.run([sys.executable, "-c", starts], check=True, env={**os.environ, **watch.environment})
    assert {one.kind for one in watch.leaks()} == set(canaries)


def test_who_was_given_a_secret_may_have_it(tmp_path: Path) -> None:
    canaries = {"kept": planted("kept", lambda place: place.where == "environ"), "lost": planted("lost")}
    environment = {"KEPT": canaries["kept"].text, "LOST": canaries["lost"].text}
    with watching(canaries, tmp_path, engine=False) as watch:
        process = subprocess.Popen([sys.executable, "-c", IDLE], stdin=subprocess.PIPE, env=environment)
        try:
            watch.until(lambda: {one.kind for one in watch.places} == {"kept", "lost"})
        finally:
            process.communicate()
    assert {one.kind for one in watch.leaks()} == {"lost"}
