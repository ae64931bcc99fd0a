"""What the server's volume can do, asked of the volume itself: PostgreSQL's `clone` copies without a word where the
file system cannot share blocks, so that its success says nothing.

The questions are asked by the server, as its superuser may (`COPY ... FROM PROGRAM`): they are about the folder that
holds the databases, wherever that is.
"""

from __future__ import annotations

from dataclasses import dataclass

from psycopg import errors, sql

from cx.data.session import Session, script

# FICLONE on two files beside the databases; the type of the file system; bytes that are free.
_PROBE = """
cd base && trap 'rm -f pgsql_tmp_cx_$$.*' EXIT || exit
if head -c 8192 /dev/zero > pgsql_tmp_cx_$$.a && cp --reflink=always pgsql_tmp_cx_$$.a pgsql_tmp_cx_$$.b
then echo yes; else echo no; fi 2> /dev/null
stat -f -c %T .
df -Pk . | tail -n 1 | awk '{ print $4 }'
"""

_FREE = "stat -f -c '%a %b %S' base"  # blocks that are free, all of them, and a block's bytes

# What a file takes for itself when a part of it that it shares is written to: XFS's default of 128 KB made 885 MB
# of scattered updates that take 61 MB with 8 KB. New databases inherit it from their folder. ioctl_xfs_fsgetxattr(2).
_COW_EXTENT = """
perl -e 'open(my $d, "<", "base") or die; my $x = "\\0" x 28;
  ioctl($d, 0x801c581f, $x) or die; my @f = unpack("L7", $x); ($f[0] | 0x10000) == $f[0] && $f[4] == 8192 and exit;
  $f[0] |= 0x10000; $f[4] = 8192; ioctl($d, 0x401c5820, pack("L7", @f)) or die "$!"'
"""


@dataclass(frozen=True)
class Volume:
    """`reflink`: a copy of a file shares its blocks. `filesystem` as stat(1) calls it: ext2/ext3, xfs, btrfs."""

    filesystem: str = ""
    reflink: bool = False
    free_bytes: int | None = None


def look(connection: Session) -> Volume:
    """What the volume can do at this moment. A server that cannot tell has a volume that can do nothing."""
    try:
        lines = _said(connection, _PROBE)
    except errors.ExternalRoutineException:
        lines = []
    if len(lines) != 3:
        return Volume()
    reflink, filesystem, free = (line.strip() for line in lines)
    return Volume(filesystem, reflink == "yes", int(free) << 10 if free.isdigit() else None)


def free(connection: Session) -> tuple[int | None, int | None]:
    """How many bytes are free beside the databases, and how many there are in all; None where it cannot tell."""
    try:
        words = " ".join(_said(connection, _FREE)).split()
    except errors.ExternalRoutineException:
        return None, None
    if len(words) != 3 or not all(map(str.isdigit, words)):
        return None, None
    available, blocks, block = map(int, words)
    return available * block, blocks * block


def tune(connection: Session) -> Volume:
    """As `look`; and on XFS databases made from now on copy little of what they share. Safe to repeat."""
    found = look(connection)
    if found.filesystem == "xfs" and found.reflink:
        _said(connection, f"({_COW_EXTENT.strip()}) 2> /dev/null || true")
    return found


def files(connection: Session, database: str) -> int:
    """How many files `database` is."""
    row = connection.execute(
        "SELECT (SELECT count(*) FROM pg_ls_dir('base/' || oid)) FROM pg_database WHERE datname = %s", [database]
    ).fetchone()
    return int(row[0]) if row else 0


def _said(connection: Session, program: str) -> list[str]:
    """What `program` prints on the server, line by line: one round trip, and one transaction."""
    cursor = connection.execute(
        script(
            sql.SQL("SET LOCAL synchronous_commit = off"),  # it waits for nobody's WAL
            sql.SQL("CREATE TEMPORARY TABLE cx_said (line text) ON COMMIT DROP"),
            sql.SQL("COPY cx_said FROM PROGRAM {}").format(sql.Literal(program)),
            sql.SQL("SELECT line FROM cx_said"),
        )
    )
    while cursor.nextset():
        pass
    return [line for (line,) in cursor.fetchall()]
