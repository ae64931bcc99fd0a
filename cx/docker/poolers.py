"""Poolers: containers of cx's own, one before each clone. Nothing of a project's is in them, so the engine is asked
for them itself, beside what Compose does for the project's containers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

from docker.errors import NotFound

from cx.core.errors import Retryable
from cx.core.names import LABEL_DATA
from cx.core.sizes import size_bytes
from cx.core.state import Container
from cx.docker import containers
from cx.docker.connection import Engine, translated
from cx.docker.files import tarred
from cx.docker.model import PoolerContainer


def due(wanted: Iterable[PoolerContainer], there: Iterable[Container]) -> list[PoolerContainer]:
    """Those of `wanted` that do not run as they should."""
    running = {(one.name, one.data) for one in there if one.state == "running"}
    return [one for one in wanted if (one.name, one.owned[LABEL_DATA]) not in running]


def run(
    engine: Engine, wanted: Iterable[PoolerContainer], there: Sequence[Container], fault: Callable[[str], None]
) -> None:
    """Each of `wanted` runs; one that was just started takes connections some ms later.

    What is `there` and does not run as it should is made anew. Raises what the engine refuses.
    """
    old = {one.name: one.id for one in there}
    containers.each(lambda one: _start(engine, one, old.get(one.name), fault), due(wanted, there))


def _start(engine: Engine, pooler: PoolerContainer, old: str | None, fault: Callable[[str], None]) -> None:
    api = engine.api
    with translated(f"start {pooler.name}"):
        if old:
            with suppress(NotFound):
                api.remove_container(old, force=True, v=True)
        made = api.create_container(
            pooler.image,
            name=pooler.name,
            labels=pooler.owned,
            stop_timeout=pooler.stop_timeout_s,
            use_config_proxy=False,
            networking_config=api.create_networking_config(
                {name: api.create_endpoint_config(**here) for name, here in pooler.networks.items()}
            ),
            host_config=api.create_host_config(
                network_mode=next(iter(pooler.networks)),
                mem_limit=size_bytes(pooler.memory),
                nano_cpus=int(pooler.cpus * 1e9),
                pids_limit=pooler.pids,
                cap_drop=["ALL"],
                security_opt=["no-new-privileges:true"],
                log_config={"Type": "json-file", "Config": dict(pooler.log)},
                restart_policy={"Name": "always"},
            ),
        )["Id"]
        fault("inside pooler")
        api.put_archive(made, "/", tarred(pooler.files))
        try:
            api.start(made)
        except NotFound as exc:  # it, or a network of it: `cx up` makes the data network anew where it must
            raise Retryable(f"start {pooler.name}: {exc.explanation}", remedy="try again") from exc
