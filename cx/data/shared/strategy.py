"""Which way of copying a golden is the fastest on this server: chosen from what was measured. Pure.

Seconds come from bytes and files, with factors measured on a 2-core machine (PostgreSQL 18; docs/data.md). They need
not be right on another machine, only in the right order: WAL_LOG pays by the byte, a copy of files by the byte and by
the file, a reflink by the file alone.
"""

from __future__ import annotations

from typing import Final

from cx.data.shared.volume import Volume

WAL_LOG: Final = "wal_log"
FILE_COPY: Final = "file_copy"
REFLINK: Final = "reflink"
STRATEGIES: Final = (WAL_LOG, FILE_COPY, REFLINK)

_CLONE_SINCE = 180000  # file_copy_method
_CHECKPOINTS_S = 0.05  # FILE_COPY, also by reflinks, asks for two
_FILE_S = 0.00013
_WORTH_S = 0.1  # what WAL_LOG must save to be worth that it shares nothing


def chosen(size_bytes: int, files: int, volume: Volume, server_version: int) -> str:
    """The strategy for a golden of this size on this volume."""
    gigabytes = size_bytes / 1e9
    wal_log = 1.4 * gigabytes + 0.00003 * files
    if volume.reflink and server_version >= _CLONE_SINCE:
        reflink = _CHECKPOINTS_S + _FILE_S * files + 0.02 * gigabytes
        return WAL_LOG if wal_log + _WORTH_S < reflink else REFLINK
    file_copy = 2 * _CHECKPOINTS_S + _FILE_S * files + 0.5 * gigabytes
    return WAL_LOG if wal_log < file_copy else FILE_COPY


def room_needed(size_bytes: int, strategy: str) -> int:
    """Free bytes that a spare must find: itself, and as much again that the previews may come to need."""
    own = 0 if strategy == REFLINK else 2 * size_bytes
    return own + (1 << 30)
