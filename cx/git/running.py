"""git (and what brings large files) runs for a fetch: by argv only, with no hooks and no configuration, one protocol,
and limits to all of it together. Each program dies with its limits, and when nobody wants it any more.
"""

from __future__ import annotations

import hashlib
import os
import re
import resource
import select
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from cx.core.errors import CxError, Refused, Retryable, Terminal
from cx.core.names import shown
from cx.git.program import NONE, environment, git
from cx.pulls import Cancelled, Credentials
from cx.redaction import Redactor

POLL_S, MEASURE_S = 0.05, 0.2
SLACK_S, SLACK_BYTES = 10, 16 << 20
TOLD_BYTES = 20_000
FSCK = ("zeroPaddedFilemode", "missingSpaceBeforeDate", "badTimezone", "badFilemode")  # old, and harmless here
REFUSED = ("Authentication failed", "could not read Username", "error: 401", "error: 403", "' not found")
ABSENT = ("not our ref", "unadvertised object", "find remote ref")
ASKPASS = """#!/bin/sh
# git asks for a user and a password; they come through a pipe that cx holds.
IFS= read -r line < "/dev/fd/$CX_ASKPASS_FD" && printf '%s\\n' "$line"
"""


class Absent(Retryable):
    """The server does not have what is asked for, or does not give it out."""


class NotLetIn(Retryable):
    """The server does not know who asks, or does not show it to him."""


@dataclass(frozen=True)
class Limits:
    """Of one fetch with all that belongs to it."""

    timeout_s: float
    size_bytes: int
    files: int


@dataclass(frozen=True)
class Remote:
    """Where pull requests of one repository are fetched from: `repository` is owner/name. `local` allows paths and
    file:// URLs. `submodules`: which may come along, as in the host configuration; `lfs`: large files come too.
    `trusted` is false for what a stranger wrote: its submodules are fetched as anybody could."""

    repository: str
    url: str
    credentials: Credentials | None = None
    local: bool = False
    submodules: tuple[str, ...] = ()
    lfs: bool = False
    trusted: bool = True

    @property
    def project(self) -> str:
        """The name of its mirror."""
        return project_of(self.repository)

    @property
    def key(self) -> str:
        """Tells apart in refs what was fetched from where."""
        return hashlib.sha256(self.url.encode()).hexdigest()[:16]

    @property
    def protocol(self) -> str:
        """The one that git may speak. Raises Refused for what is not allowed here."""
        scheme = urlsplit(self.url).scheme
        host = urlsplit(self.url).hostname
        if "@" in urlsplit(self.url).netloc:
            raise Refused(self.repository, ["its URL holds a user or a password"])
        if scheme == "https" or (scheme == "http" and host in ("127.0.0.1", "localhost", "::1")):
            return scheme
        if (scheme == "file" or self.url.startswith("/")) and self.local:
            return "file"
        raise Refused(self.repository, [f"it cannot be fetched from {shown(self.url)}: only https:// is allowed"])


def project_of(repository: str) -> str:
    """The name of the mirror of owner/name."""
    plain = re.sub(r"[^a-z0-9]+", "-", repository.lower()).strip("-")[:30]
    return f"gh-{plain}-{hashlib.sha256(repository.lower().encode()).hexdigest()[:8]}"


def never() -> bool:
    return False


@dataclass
class Spent:
    """What one fetch has used of its limits."""

    until: float
    files: int = 0
    size_bytes: int = 0


@dataclass(frozen=True)
class Runner:
    """One program after another in the bare repository `folder`. `what` is in every error. `limited`: all that is in
    the repository counts."""

    folder: Path
    what: str
    limits: Limits
    cancelled: Callable[[], bool] = never
    limited: bool = True
    spent: Spent = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "spent", Spent(time.monotonic() + self.limits.timeout_s))

    def __call__(
        self,
        *argv: str,
        remote: Remote | None = None,
        more: Mapping[str, str] | None = None,
        stdin: bytes = b"",
        options: Sequence[str] = (),
    ) -> str:
        """What git prints. It may speak to `remote`, and to nobody else. Raises Cancelled, Retryable, Terminal."""
        whole = git(*LIMITED, *options, "--git-dir", self.folder, *argv)
        around = environment(more, protocol=remote.protocol if remote else NONE)
        return self.run(f"git {argv[0]}", whole, around, stdin, remote.credentials if remote else None)

    def run(
        self, name: str, argv: Sequence[str], around: Mapping[str, str], stdin: bytes, secret: Credentials | None
    ) -> str:
        """`around` is the program's environment. `secret` comes to it by askpass (the file descriptor CX_ASKPASS_FD),
        and is in no error."""
        with self._started(argv, around, stdin, secret) as (process, out, err):
            checked = time.monotonic()
            while process.poll() is None:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(POLL_S)
                self._wanted(name)
                if time.monotonic() - checked > MEASURE_S:
                    checked = time.monotonic()
                    self._small(out, err)
            self._small(out, err)
            if process.returncode:
                raise self._failed(name, err, secret, process.returncode)
            return out.read_bytes().decode(errors="surrogateescape")

    def records(self, *argv: str) -> Iterator[bytes]:
        """What git prints, record by record (NUL), as it comes."""
        process = subprocess.Popen(
            git("--git-dir", self.folder, *argv), env=environment(), cwd=self.folder,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        rest = b""
        try:
            assert process.stdout  # noqa: S101 - it is a pipe
            while True:
                self._wanted(f"git {argv[0]}")
                if not select.select([process.stdout], [], [], POLL_S)[0]:
                    continue
                if not (piece := os.read(process.stdout.fileno(), 1 << 16)):
                    break
                *whole, rest = (rest + piece).split(b"\0")
                yield from whole
            if process.wait():
                raise Terminal(f"{self.what}: git {argv[0]} could not read the commit")
        finally:
            _kill(process)
            if process.stdout:
                process.stdout.close()

    def _wanted(self, name: str) -> None:
        if time.monotonic() > self.spent.until:
            raise Retryable(
                f"{self.what}: {name} took more than {self.limits.timeout_s:.0f} s", remedy="or all before it did"
            )
        if self.cancelled():
            raise Cancelled(f"{self.what}: not wanted any more")

    def _small(self, *printed: Path) -> None:
        brought = size_of(self.folder / "objects") + sum(one.stat().st_size for one in printed) if self.limited else 0
        if brought > self.limits.size_bytes:
            raise self._too_large()

    def _too_large(self) -> Terminal:
        return Terminal(
            f"{self.what}: fetching it brings more than {self.limits.size_bytes >> 20} MiB",
            remedy="make it smaller, or set github.fetch_size_mb",
        )

    @contextmanager
    def _started(
        self, argv: Sequence[str], around: Mapping[str, str], stdin: bytes, secret: Credentials | None
    ) -> Iterator[tuple[subprocess.Popen[bytes], Path, Path]]:
        base, ends = dict(around), []
        if secret:
            # Read by the askpass program, line by line: never in argv, an URL, a file or an environment.
            reading, writing = os.pipe()
            os.write(writing, f"{secret.username}\n{secret.password}\n".encode())
            os.close(writing)
            ends = [reading]
            base |= {"GIT_ASKPASS": str(self._askpass()), "CX_ASKPASS_FD": str(reading)}
        with tempfile.TemporaryDirectory(prefix="cx-git-") as folder, tempfile.TemporaryFile() as given:
            given.write(stdin)
            given.seek(0)
            out, err = Path(folder) / "out", Path(folder) / "err"
            with out.open("wb") as stdout, err.open("wb") as stderr:
                try:
                    process = subprocess.Popen(
                        argv, env=base, cwd=self.folder, stdin=given, stdout=stdout, stderr=stderr, pass_fds=ends,
                        start_new_session=True,
                    )  # fmt: skip
                except FileNotFoundError as exc:
                    raise Terminal("git is not installed", remedy="see `cx doctor`") from exc
                finally:
                    for end in ends:
                        os.close(end)
            try:
                self._bound(process)
                yield process, out, err
            finally:
                _kill(process)

    def _bound(self, process: subprocess.Popen[bytes]) -> None:
        """The kernel holds it, and all that it starts, to the limits even when nobody is left who looks."""
        cpu_s = int(self.limits.timeout_s) * (os.cpu_count() or 1) + SLACK_S
        bounds = {resource.RLIMIT_CPU: cpu_s, resource.RLIMIT_CORE: 0}
        if self.limited:
            bounds[resource.RLIMIT_FSIZE] = self.limits.size_bytes + SLACK_BYTES
        for which, most in bounds.items():
            with suppress(ProcessLookupError, PermissionError):  # it has ended; or ours is lower already
                resource.prlimit(process.pid, which, (most, most))

    def _askpass(self) -> Path:
        path = self.folder / "cx-askpass"
        if not path.exists() or path.read_text() != ASKPASS:
            path.write_text(ASKPASS)
        path.chmod(stat.S_IRWXU)
        return path

    def _failed(self, name: str, errors: Path, secret: Credentials | None, status: int) -> CxError:
        with errors.open("rb") as file:
            file.seek(max(errors.stat().st_size - TOLD_BYTES, 0))
            said = file.read().decode(errors="replace")
        lines = [line.strip() for line in said.splitlines() if line.strip()]
        why = next((line for line in reversed(lines) if line.startswith(("fatal:", "error:"))), (lines or ["?"])[-1])
        if secret:
            hide = Redactor((), (secret.password,))
            said, why = hide(said), hide(why)
        what = f"{self.what}: {name}: {shown(why.partition(': ')[2] or why, 200)}"
        if "No space left" in said:
            return Terminal(f"{self.what}: the disk is full", remedy="free some space")
        if "fsck" in said or "did not send all necessary objects" in said:
            return Terminal(what, remedy="the commit is not sound; `git fsck` shows more")
        if status == UNSOUND:
            return Terminal(what)
        if any(one in said for one in ABSENT):
            return Absent(what)
        error = NotLetIn if any(one in said for one in REFUSED) else Retryable
        return error(what, remedy="see that the host reaches the repository, and that its token may read it")


LIMITED = (
    "-c", "http.followRedirects=false", "-c", "http.lowSpeedLimit=1", "-c", "http.lowSpeedTime=60",
    "-c", "credential.helper=", "-c", "fetch.fsckObjects=true", "-c", "fetch.unpackLimit=1",
    "-c", "protocol.version=2", "-c", "core.alternateRefsPrefixes=refs/none/",
    "-c", "core.bigFileThreshold=64m",  # what is larger is not held in memory
    *(word for one in FSCK for word in ("-c", f"fetch.fsck.{one}=ignore")),
)  # fmt: skip
UNSOUND = 3  # status of cx's own programs: trying again changes nothing


def _kill(process: subprocess.Popen[bytes]) -> None:
    """It and all that it started; waits until it is gone."""
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def size_of(folder: Path) -> int:
    """Bytes below the folder, also of what is coming in."""
    total = 0
    for inner, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                total += os.lstat(os.path.join(inner, name)).st_size
    return total
