"""What services mount from the checkout, as a volume: no container ever sees the host's file system."""

from __future__ import annotations

import io
import tarfile
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from docker.errors import APIError, DockerException
from requests import RequestException

from cx.docker.connection import Engine, translated

INSIDE = "/files"


def fill(engine: Engine, volume: str, image: str, labels: dict[str, str], checkout: Path, paths: Iterable[str]) -> None:
    """`volume` has the files at `paths` (relative to `checkout`), owned by root, modes as in git.

    The files go through the engine's archive API and a container that is never started.
    """
    with translated(f"fill volume {volume}"):
        carrier = engine.api.create_container(
            image,
            entrypoint=["/none"],
            labels=labels,
            network_disabled=True,
            host_config=engine.api.create_host_config(binds={volume: {"bind": INSIDE, "mode": "rw"}}),
        )["Id"]
        try:
            with archive(checkout, {path: path for path in paths}) as packed:
                if not engine.api.put_archive(carrier, INSIDE, packed):
                    raise APIError("the engine took only a part of the archive")
        except BaseException:
            with suppress(
                DockerException, RequestException
            ):  # it has its labels: whoever deletes the namespace finds it
                engine.api.remove_container(carrier, force=True)
            raise
        engine.api.remove_container(carrier, force=True)


def place(engine: Engine, container: str, checkout: Path, placed: Mapping[str, str]) -> None:
    """The container has the files of the checkout at the given absolute paths."""
    with translated(f"put files into container {container[:12]}"), archive(checkout, placed) as packed:
        engine.api.put_archive(container, "/", packed)


def put(engine: Engine, container: str, files: Mapping[str, bytes]) -> None:
    """The container has `files`, by their absolute paths."""
    with translated(f"put files into container {container[:12]}"):
        engine.api.put_archive(container, "/", tarred(files))


@contextmanager
def archive(checkout: Path, paths: Mapping[str, str]) -> Iterator[BinaryIO]:
    """A tar of what is at `paths` in the checkout, under the names that they are mapped to: on the disk, for two
    gigabytes of zeros are a small commit."""
    with tempfile.TemporaryFile() as file:
        with tarfile.open(fileobj=file, mode="w") as tar:
            for path, name in sorted(paths.items()):
                tar.add(checkout / path, arcname=name.lstrip("/"), filter=_ours)
        file.seek(0)
        yield file


def tarred(files: Mapping[str, bytes], *, mode: int = 0o444) -> bytes:
    """A tar of `files` by path, owned by root."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path, content in sorted(files.items()):
            member = tarfile.TarInfo(path.lstrip("/"))
            member.size, member.mode = len(content), mode
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def _ours(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    if not (member.isreg() or member.isdir() or member.issym()):
        return None
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
    return member
