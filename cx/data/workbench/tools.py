"""A one-shot container of the server's image in which PostgreSQL's own programs run.

Its first process reads our end of its standard input: when cx ends, in whatever way, the container ends too,
and the engine removes it with its volume. What is secret goes in as files (law 8).
"""

from __future__ import annotations

import io
import os
import tarfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import docker.errors
import requests
from docker.types import Mount
from docker.utils.socket import STDOUT, frames_iter

from cx.core.errors import Terminal
from cx.data.errors import ServerUnavailable
from cx.docker.output import close

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container

WORK = "/cx"  # the container's volume
_USER = "postgres"
_CHUNK = 1 << 20
_TAIL_LINES = 60

OnLine = Callable[[str], None]


@dataclass(frozen=True)
class Ran:
    """How a command ended: `errors` are the last lines of its standard error."""

    exit_code: int
    output: str
    errors: tuple[str, ...]

    @property
    def ok(self) -> bool:
        return self.exit_code == 0


class Tools:
    """The container, from `with` to its end. Its volume at WORK may be another's (`volume_of`); `mounts` are more.

    `read_of`: the id of a container whose volumes are there too, read-only.
    """

    def __init__(
        self,
        client: DockerClient,
        image: str,
        labels: Mapping[str, str],
        *,
        network: str,
        volume_of: Tools | None = None,
        user: str = _USER,
        mounts: Sequence[Mapping[str, Any]] = (),
        read_of: str = "",
    ) -> None:
        self._client = client
        self._image = image
        self._labels = dict(labels)
        self._network = network
        self._volume_of = volume_of
        self._user = user
        self._mounts = mounts
        self._read_of = read_of
        self._container: Container | None = None
        self._stdin: Any = None
        self.ids = (0, 0)  # of the user that runs here, and of the group

    def __enter__(self) -> Tools:
        # Nameless, so that it goes with its container; labelled, so that it is known as ours (law 4).
        own = Mount(WORK, None, type="volume", labels=self._labels)
        volumes: dict[str, Any] = {"mounts": [own, *self._mounts]}
        if self._volume_of:
            volumes = {"volumes_from": [self._volume_of.container.id], "mounts": list(self._mounts)}
        if self._read_of:
            volumes.setdefault("volumes_from", []).append(f"{self._read_of}:ro")
        try:
            self._container = self._client.containers.create(
                self._image,
                entrypoint=["cat"],
                command=[],
                user=self._user,
                labels=self._labels,
                network_mode=self._network,
                stdin_open=True,
                auto_remove=True,
                cap_drop=["ALL"],
                security_opt=["no-new-privileges"],
                shm_size="512m",
                **volumes,
            )
            self._stdin = self._container.attach_socket(params={"stdin": 1, "stream": 1})
            self._container.start()
        except (docker.errors.DockerException, requests.RequestException) as exc:
            self.__exit__(None, None, None)
            if isinstance(exc, docker.errors.ImageNotFound):
                raise Terminal(f"the image {self._image} is not on this host", remedy="cx up") from exc
            raise ServerUnavailable(f"no container of {self._image} could be started ({exc})") from exc
        uid, gid = self.run(["sh", "-c", "id -u; id -g"]).output.split()
        self.ids = (int(uid), int(gid))
        if not self._volume_of:
            self._put_folder(WORK)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._stdin is not None:
            close(self._stdin)
        if self._container is not None:
            remove(self._container)

    @property
    def container(self) -> Container:
        if self._container is None:
            raise RuntimeError("the container is not started")
        return self._container

    # --- commands

    def run(
        self,
        argv: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        on_error_line: OnLine | None = None,
    ) -> Ran:
        """Runs `argv` to its end; messages come in English. Nothing in it or in `environment` is secret."""
        api = self._client.api
        plain = {"LC_ALL": "C.UTF-8", "LC_MESSAGES": "C", **(environment or {})}
        try:
            made = api.exec_create(self.container.id, list(argv), environment=plain, user=self._user)
            output, errors = bytearray(), _Lines(on_error_line)
            stream = api.exec_start(made["Id"], socket=True)
            try:
                for number, data in frames_iter(stream, tty=False):  # type: ignore[no-untyped-call]
                    if number == STDOUT:
                        output += data
                    else:
                        errors.feed(data)
            finally:
                close(stream)
            errors.end()
            code = api.exec_inspect(made["Id"])["ExitCode"]
        except (docker.errors.DockerException, requests.RequestException) as exc:
            raise ServerUnavailable(f"the container for {argv[0]} went away ({exc})") from exc
        return Ran(-1 if code is None else code, output.decode(errors="replace").strip(), tuple(errors.tail))

    # --- files

    def put(self, path: str, content: bytes, *, mode: int = 0o600) -> None:
        self.put_parts(os.path.dirname(path), [(os.path.basename(path), content)], mode=mode)

    def put_parts(self, folder: str, parts: Iterable[tuple[str, bytes]], *, mode: int = 0o600) -> None:
        """The files of `parts` are in `folder`; they are sent while they are made."""
        self._send(folder, (self._member(name, len(content), mode, iter([content])) for name, content in parts))

    def put_path(self, folder: str, name: str, path: Path) -> None:
        """The file or the folder (without its subfolders) at `path` is in `folder` as `name`."""
        if path.is_dir():
            self._put_folder(f"{folder}/{name}")
            files = [(f"{name}/{entry.name}", entry) for entry in sorted(path.iterdir()) if entry.is_file()]
        else:
            files = [(name, path)]
        members = (self._member(to, file.stat().st_size, 0o600, _read(file)) for to, file in files)
        self._send(folder, members)

    def _put_folder(self, path: str) -> None:
        info = tarfile.TarInfo(os.path.basename(path))
        info.type, info.mode = tarfile.DIRTYPE, 0o700
        info.uid, info.gid = self.ids
        self._send(os.path.dirname(path) or "/", iter([iter([info.tobuf()])]))

    def _member(self, name: str, size: int, mode: int, content: Iterator[bytes]) -> Iterator[bytes]:
        info = tarfile.TarInfo(name)
        info.size, info.mode = size, mode
        info.uid, info.gid = self.ids
        yield info.tobuf(tarfile.PAX_FORMAT)
        yield from content
        if size % tarfile.BLOCKSIZE:
            yield b"\0" * (tarfile.BLOCKSIZE - size % tarfile.BLOCKSIZE)

    def _send(self, folder: str, members: Iterator[Iterator[bytes]]) -> None:
        def stream() -> Iterator[bytes]:
            for member in members:
                yield from member
            yield b"\0" * (2 * tarfile.BLOCKSIZE)

        try:
            self.container.put_archive(folder, stream())
        except (docker.errors.DockerException, requests.RequestException) as exc:
            raise ServerUnavailable(f"files could not be put into a container ({exc})") from exc


def remove(container: Container) -> None:
    """The container and its anonymous volumes are gone, or the engine is removing them already."""
    try:
        container.remove(v=True, force=True)
    except docker.errors.NotFound:
        pass
    except docker.errors.APIError as exc:
        if exc.status_code != 409:
            raise ServerUnavailable(f"a container could not be removed ({exc.explanation})") from exc


def _read(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk


class _Lines:
    """Cuts a stream into lines, keeps the last ones, and passes each on."""

    def __init__(self, on_line: OnLine | None) -> None:
        self.tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self._on_line = on_line
        self._rest = io.BytesIO()

    def feed(self, data: bytes) -> None:
        *lines, rest = (self._rest.getvalue() + data).split(b"\n")
        self._rest = io.BytesIO()
        self._rest.write(rest)
        for line in lines:
            self._line(line)

    def end(self) -> None:
        if rest := self._rest.getvalue():
            self._line(rest)

    def _line(self, line: bytes) -> None:
        text = line.decode(errors="replace").rstrip()
        self.tail.append(text)
        if self._on_line:
            self._on_line(text)
