"""What is done to containers that are there: start, stop, keep, remove. All of it is safe to repeat."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from docker.errors import APIError, NotFound

from cx.core.state import Container
from cx.docker.connection import Engine, translated
from cx.docker.model import policy_of

T = TypeVar("T")
# The engine's policy for what sleeps: it starts nothing that was stopped, and no project gets it.
ASLEEP = "unless-stopped"
RESTING = (ASLEEP, "no")  # "no": put to sleep by a cx of before


def start(engine: Engine, containers: Iterable[Container]) -> None:
    def one(container: Container) -> None:
        with translated(f"start {container.name}"):
            engine.api.start(container.id)

    each(one, containers)


def stop(engine: Engine, containers: Iterable[Container]) -> None:
    """Those that run have ended, after the grace that their models give."""

    def one(container: Container) -> None:
        with translated(f"stop {container.name}"):
            try:
                engine.api.stop(container.id)
            except NotFound:
                return

    each(one, [one for one in containers if one.state in ("running", "restarting", "paused")])


def rest(engine: Engine, them: Iterable[Container]) -> None:
    """They are stopped, and stay so when the engine comes back: `ASLEEP` tells that they ran until then."""
    each(lambda one: _set(engine, one, {"Name": ASLEEP}), them)
    stop(engine, them)


def keep(engine: Engine, one: Container) -> None:
    """The engine starts it again as its own label says, also when the engine itself comes back: it may have slept."""
    with translated(f"look at {one.name}"):
        try:
            now = engine.api.inspect_container(one.id)["HostConfig"]["RestartPolicy"]["Name"]
        except NotFound:
            return
    name, _, most = policy_of(one.restart).partition(":")
    if now != name and now in RESTING:
        _set(engine, one, {"Name": name, "MaximumRetryCount": int(most or 0)})


def _set(engine: Engine, one: Container, policy: Mapping[str, object]) -> None:
    with translated(f"set the restart policy of {one.name}"):
        for last in (False, False, True):
            try:
                engine.api.update_container(one.id, restart_policy=policy)
                return
            except NotFound:
                return
            except APIError as exc:  # it may have ended while the engine was about to change what runs, too
                if last or exc.response is None or exc.response.status_code < 500:
                    raise


def remove(engine: Engine, containers: Iterable[Container]) -> None:
    def one(container: Container) -> None:
        with translated(f"remove {container.name}"):
            try:
                engine.api.remove_container(container.id, force=True, v=True)
            except NotFound:
                return
            except APIError as exc:
                if "is already in progress" not in str(exc.explanation):
                    raise

    each(one, containers)


def each(do: Callable[[T], None], things: Iterable[T]) -> None:
    """`do` for each of `things`, a few at once; the first error is raised when all have ended."""
    things = list(things)
    if len(things) < 2:
        for one in things:
            do(one)
        return
    with ThreadPoolExecutor(max_workers=8) as pool:
        for _ in pool.map(do, things):
            pass
