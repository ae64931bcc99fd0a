"""What is done to containers that are there: start, stop, keep, remove. All of it is safe to repeat."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from docker.errors import APIError, NotFound

from cx.core.state import Container
from cx.docker.connection import Engine, translated

T = TypeVar("T")


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


def keep(engine: Engine, container: Container, policy: str) -> None:
    """Whether the engine starts it again (`always`, `no`), also when the engine itself comes back."""
    with translated(f"set the restart policy of {container.name}"):
        try:
            engine.api.update_container(container.id, restart_policy={"Name": policy})
        except NotFound:
            return


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
