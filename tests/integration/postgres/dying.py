"""Runs one operation of the adapter, and kills its own process at a named point. Called by test_crash."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import docker

from cx.core.names import Names, Namespace
from cx.data.shared.clones import PostgresClones
from cx.data.shared.goldens import PostgresGoldens
from cx.data.shared.spares import PostgresSpares
from cx.data.values import Server, Source, Terms


def main() -> None:
    told = json.load(sys.stdin)

    def checkpoint(point: str) -> None:
        if point == told["point"]:
            os.kill(os.getpid(), signal.SIGKILL)

    server = Server(told["host"], 5432, told["password"])
    names = Names(told["instance"])
    clones = PostgresClones(server, names, told["key"].encode(), checkpoint=checkpoint)
    goldens = PostgresGoldens(server, names, docker.from_env(), told["image"], checkpoint=checkpoint)
    namespace = Namespace(told["namespace"])
    if told["operation"] == "refresh":
        script = Path(told["sanitise"]) if told.get("sanitise") else None
        goldens.refresh(Source("shop", url=told["url"], sanitise=script))
    elif told["operation"] == "spares":
        PostgresSpares(server, names, checkpoint=checkpoint).refill("shop", Terms(spares=told.get("spares", 2)))
    elif told["operation"] == "snapshot":
        clones.snapshot(namespace, "shop", "x")
    elif told["operation"] == "restore":
        clones.restore(namespace, "shop", "full")
    elif told["operation"] == "branch":
        clones.branch(Namespace("preview-2"), "shop", namespace)
    else:
        getattr(clones, told["operation"])(namespace, "shop")


main()
