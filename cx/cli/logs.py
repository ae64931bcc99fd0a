"""Logs of several containers as one stream of lines."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from cx.adapters.docker.engine import Engine, translated
from cx.cli.output import printable
from cx.model.state import Container


def print_logs(engine: Engine, containers: Sequence[Container], *, follow: bool, tail: int) -> None:
    """Each line with its service in front, where there are several."""
    width = max(len(one.service) for one in containers)
    lock = threading.Lock()

    def read(one: Container) -> None:
        label = f"{one.service:<{width}} | " if len(containers) > 1 else ""
        with translated(f"read the log of {one.name}"):
            stream = engine.api.logs(one.id, stream=True, follow=follow, tail=tail)
            rest = b""
            for chunk in stream:
                *lines, rest = (rest + chunk).split(b"\n")
                with lock:
                    for line in lines:
                        print(label + printable(line.decode(errors="replace").rstrip("\r")), flush=True)
            if rest:
                print(label + printable(rest.decode(errors="replace")), flush=True)

    if not follow or len(containers) == 1:
        for one in containers:
            read(one)
        return
    threads = [threading.Thread(target=read, args=(one,), daemon=True) for one in containers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
