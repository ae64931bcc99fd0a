"""A dump in the tools container, whatever made it: what it holds, and what there is to restore of it."""

from __future__ import annotations

import gzip
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from cx.core.names import shown
from cx.data.errors import DumpUnusable
from cx.data.refresh import archive, plain
from cx.data.refresh.archive import Contents, Locale
from cx.data.refresh.source import first_error
from cx.data.workbench.tools import WORK, Ran, Tools

_PART_BYTES = 4 << 20
_LIST = f"{WORK}/list"


@dataclass(frozen=True)
class Dump:
    """A dump that was looked into. `path` is in the tools container's volume.

    `contents` is None for plain SQL, which is run as it was filtered on its way in.
    """

    origin: str  # for messages: the source or the file that it came from
    path: str
    parallel: bool  # whether several connections can restore it
    locale: Locale
    roles: tuple[str, ...]  # that policies name
    extensions: Mapping[str, str]  # name -> schema
    contents: Contents | None = None
    notes: tuple[str, ...] = ()
    source_version: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)
    column_versions: bool = False  # see archive.WITHOUT_COLUMN_VERSIONS


def examined(tools: Tools, path: str, origin: str, *, parallel: bool) -> Dump:
    """The archive at `path`. Raises DumpUnusable where pg_restore cannot read it."""
    contents = archive.contents(_restored(tools, path, origin, "--list"))
    tools.put(_LIST, "\n".join((*contents.extensions.values(), *contents.policies)).encode())
    some = _restored(tools, path, origin, f"--use-list={_LIST}", "--file=-").splitlines()
    create = _restored(tools, path, origin, "--create", "--schema-only", "--file=-")
    return Dump(
        origin,
        path,
        parallel,
        archive.locale_of(create.splitlines()),
        tuple(sorted(set(archive.policy_roles(some)))),
        dict(archive.extension_schemas(some)),
        contents,
        contents.notes,
        column_versions=archive.has_column_versions(create),
    )


def _restored(tools: Tools, path: str, origin: str, *options: str) -> str:
    ran = tools.run(["pg_restore", *options, path])
    if ran.ok:
        return ran.output
    raise unreadable(origin, ran)


def unreadable(origin: str, ran: Ran) -> DumpUnusable:
    message = first_error(ran.errors)
    remedy = "make it again with pg_dump"
    if "unsupported version" in message:
        remedy = "it was made by a newer pg_dump: raise the version of the previews' server"
    return DumpUnusable(f"{origin} cannot be restored ({message})", remedy=remedy)


# --- dump files


class Kind(Enum):
    """What pg_dump's option --format is called by."""

    FOLDER = "directory"
    CUSTOM = "custom"
    TAR = "tar"
    PLAIN = "plain"
    PACKED = "plain, gzipped"


def dump_kind(path: Path) -> Kind:
    """What kind of dump is at `path`, by its first bytes. Raises DumpUnusable where it is none."""
    origin = _origin(path)
    with _readable(path):
        if path.is_dir():
            if (path / "toc.dat").is_file():
                return Kind.FOLDER
            raise DumpUnusable(f"{origin} is a folder without toc.dat", remedy="name the folder of pg_dump -Fd")
        head = _head(path)
        if not head:
            raise DumpUnusable(f"{origin} is empty", remedy="make it again with pg_dump")
        if head.startswith(b"PGDMP"):
            return Kind.CUSTOM
        if head.startswith(b"toc.dat\0"):
            _check_tar(path)
            return Kind.TAR
        kind = Kind.PACKED if head.startswith(b"\x1f\x8b") else Kind.PLAIN
        text = _head(path, packed=True) if kind is Kind.PACKED else head
    if text.startswith(b"PGDMP"):
        raise DumpUnusable(f"{origin} is a packed archive", remedy="unpack it: gunzip")
    if not text.strip() or b"\0" in text:
        raise DumpUnusable(f"{origin} is no dump of PostgreSQL", remedy="make it with pg_dump")
    return kind


def from_file(tools: Tools, path: Path) -> Dump:
    """The dump file, or folder, at `path` is in the container. Raises DumpUnusable."""
    kind = dump_kind(path)
    with _readable(path):
        if kind in (Kind.PLAIN, Kind.PACKED):
            return _plain(tools, path, packed=kind is Kind.PACKED)
        tools.put_path(WORK, "dump", path)
    return examined(tools, f"{WORK}/dump", _origin(path), parallel=kind is not Kind.TAR)


def _origin(path: Path) -> str:
    return f"dump file {shown(str(path), 200)}"


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, EOFError, zlib.error, tarfile.TarError) as exc:
        said = getattr(exc, "strerror", None) or exc
        raise DumpUnusable(f"{_origin(path)} cannot be read ({said})", remedy="make it again") from exc


def _head(path: Path, *, packed: bool = False) -> bytes:
    with gzip.open(path, "rb") if packed else path.open("rb") as file:
        return file.read(512)


def _check_tar(path: Path) -> None:
    """pg_restore takes a member that is cut for a whole one: the rows that are there would be loaded."""
    with tarfile.open(path, "r:") as tar:
        last = tar.getmembers()[-1]
    if last.offset_data + last.size > path.stat().st_size:
        raise DumpUnusable(f"{_origin(path)} is cut: its end is missing", remedy="make it again with pg_dump")


def _plain(tools: Tools, path: Path, *, packed: bool) -> Dump:
    origin, reading = _origin(path), plain.Reading()
    with gzip.open(path, "rb") if packed else path.open("rb") as file:
        tools.put_parts(WORK, _parts(plain.filtered(iter(file), reading)))
    if reading.cluster:
        raise DumpUnusable(f"{origin} is of a whole cluster", remedy="dump the one database with pg_dump")
    if reading.cut:
        raise DumpUnusable(f"{origin} is cut: its end is missing", remedy="make it again with pg_dump")
    return Dump(
        origin,
        f"{WORK}/plain-*",
        False,
        Locale(),
        tuple(sorted(reading.roles)),
        reading.extensions,
        notes=reading.notes,
    )


def _parts(lines: Iterator[bytes]) -> Iterator[tuple[str, bytes]]:
    """The lines as files of a few megabytes: a member of an archive must say its size beforehand."""
    number, part = 0, bytearray()
    for line in lines:
        part += line
        if len(part) >= _PART_BYTES:
            yield f"plain-{number:08}", bytes(part)
            number, part = number + 1, bytearray()
    yield f"plain-{number:08}", bytes(part)
