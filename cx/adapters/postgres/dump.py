"""A dump in the tools container, whatever made it: what it holds, and what there is to restore of it."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cx.adapters.postgres import archive, plain
from cx.adapters.postgres.archive import Contents, Locale
from cx.adapters.postgres.errors import DumpUnusable
from cx.adapters.postgres.source import first_error
from cx.adapters.postgres.tools import WORK, Ran, Tools
from cx.model.names import shown

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


def from_file(tools: Tools, path: Path) -> Dump:
    """The dump file, or folder, at `path` is in the container. Raises DumpUnusable."""
    origin = f"dump file {shown(str(path), 200)}"
    try:
        return _from_file(tools, path, origin)
    except (OSError, EOFError, zlib.error) as exc:
        raise DumpUnusable(f"{origin} cannot be read ({getattr(exc, 'strerror', None) or exc})") from exc


def _from_file(tools: Tools, path: Path, origin: str) -> Dump:
    if path.is_dir():
        if not (path / "toc.dat").is_file():
            raise DumpUnusable(f"{origin} is a folder without toc.dat", remedy="name the folder of pg_dump -Fd")
        tools.put_path(WORK, "dump", path)
        return examined(tools, f"{WORK}/dump", origin, parallel=True)
    with path.open("rb") as file:
        head = file.read(512)
    if not head:
        raise DumpUnusable(f"{origin} is empty", remedy="make it again with pg_dump")
    if head.startswith(b"PGDMP"):
        tools.put_path(WORK, "dump", path)
        return examined(tools, f"{WORK}/dump", origin, parallel=True)
    if head.startswith(b"toc.dat\0"):
        tools.put_path(WORK, "dump", path)
        return examined(tools, f"{WORK}/dump", origin, parallel=False)
    return _plain(tools, path, origin, packed=head.startswith(b"\x1f\x8b"))


def _plain(tools: Tools, path: Path, origin: str, *, packed: bool) -> Dump:
    reading = plain.Reading()
    with gzip.open(path, "rb") if packed else path.open("rb") as file:
        head = file.read(512)
        if head.startswith(b"PGDMP"):
            raise DumpUnusable(f"{origin} is a packed archive", remedy="unpack it: gunzip")
        if not head.strip() or b"\0" in head:
            raise DumpUnusable(f"{origin} is no dump of PostgreSQL", remedy="make it with pg_dump")
        file.seek(0)
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
