"""Whatever keeps its state in files: a volume of the project's, filled by a command or from the host's files.

It is the project's own services that run on the copies.
"""

from __future__ import annotations

import errno
import io
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from cx.core.blueprint import DatabaseUse
from cx.core.errors import Invalid
from cx.data.workbench.making import Making
from cx.data.workbench.values import GOLDEN, FillFailed, Spec, Volume
from cx.data.workbench.volumes import mount

_CHUNK = 1 << 20


class Plain:
    user = ""
    without_golden = False
    masking = None
    client: tuple[str, ...] = ()
    alive: tuple[str, ...] = ()

    def fill(self, making: Making) -> Mapping[str, str]:
        spec, volumes = making.spec, making.volumes
        labels = making.labels()
        if spec.file:
            making.progress(f"{spec.name}: reading {spec.file}")
            files = packed(spec, spec.file)
            ran = volumes.run(spec.image, "true", [mount(making.golden.name, GOLDEN)], labels, files=files)
        else:
            making.progress(f"{spec.name}: running its command")
            # As the image would have the folder: who owns it, and its mode.
            like = f"if [ -d {spec.target} ]; then chown --reference={spec.target} {GOLDEN}/data; fi"
            volumes.run(spec.image, like, [mount(making.golden.name, GOLDEN)], labels)
            ran = volumes.run(
                spec.image,
                "",
                [mount(making.golden.name, spec.target, subpath="data")],
                labels,
                entrypoint=spec.fill,
                network="bridge",
                user=None,
            )
        if ran.exit_code:
            last = next((line for line in reversed(ran.output) if line.strip()), "it said nothing")
            raise FillFailed(
                f"{spec.name}: filling it ended with status {ran.exit_code}: {last[:300]}",
                remedy="mend it; the golden that was there serves on",
                log=ran.output[-20:],
            )
        return {}

    def serve(self, spec: Spec, use: DatabaseUse, password: str, copy: Volume) -> None:
        return None

    def dump(self, copy: Volume) -> tuple[str, ...]:
        return ()

    def compared(self, spec: Spec, copy: Volume) -> None:
        return None


def packed(spec: Spec, path: Path) -> Iterator[bytes]:
    """A file, or a folder, as a tar that makes the golden's `data`, read while it is sent; owners and modes as they
    are.

    Sockets stay away. Raises FillFailed where a file is not what it was a moment ago.
    """
    if not path.exists():
        raise Invalid("host configuration", f"databases.{spec.name}.file", f"{path}: is not there")
    top = path.parent if path.is_file() else path
    found = [path] if path.is_file() else [path, *sorted(path.rglob("*"))]
    with tarfile.open(fileobj=io.BytesIO(), mode="w") as tar:
        for one in found:
            try:
                info = tar.gettarinfo(one, str(PurePosixPath(GOLDEN, "data", one.relative_to(top))).lstrip("/"))
                if info is None:
                    continue
                yield info.tobuf(tarfile.PAX_FORMAT)
                if info.isreg():
                    yield from _content(one, info.size)
            except OSError as exc:
                raise FillFailed(
                    f"{spec.name}: {one}: {exc.strerror}", remedy="let nobody write there meanwhile"
                ) from exc
    yield b"\0" * (2 * tarfile.BLOCKSIZE)


def _content(path: Path, size: int) -> Iterator[bytes]:
    """The file's bytes, filled up to whole blocks."""
    left = size
    with path.open("rb") as file:
        while left and (chunk := file.read(min(_CHUNK, left))):
            left -= len(chunk)
            yield chunk
    if left:
        raise OSError(errno.ESTALE, "became shorter while it was read")
    yield b"\0" * (-size % tarfile.BLOCKSIZE)
