"""One commit of a pull request comes into cx's mirror: that commit, or none. What it holds is hostile: git is run by
argv only, with no hooks, no configuration, one protocol, and limits to time, size and the number of files.
"""

from __future__ import annotations

import hashlib
import os
import re
import signal
import stat
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from cx.adapters.git.sources import ENVIRONMENT, SAFE, SHA, Sources
from cx.errors import Refused, Retryable, Terminal
from cx.follow import Cancelled, Credentials, Moved
from cx.model.names import shown

POLL_S = 0.05
FSCK = ("zeroPaddedFilemode", "missingSpaceBeforeDate", "badTimezone", "badFilemode")  # old, and harmless here
ASKPASS = """#!/bin/sh
# git asks for a user and a password; they come through a pipe that cx holds.
IFS= read -r line < "/dev/fd/$CX_ASKPASS_FD" && printf '%s\\n' "$line"
"""


@dataclass(frozen=True)
class Limits:
    timeout_s: float
    size_bytes: int
    files: int


@dataclass(frozen=True)
class Remote:
    """Where pull requests of one repository are fetched from: `repository` is owner/name. `local` allows paths and
    file:// URLs."""

    repository: str
    url: str
    credentials: Credentials | None = None
    local: bool = False

    @property
    def project(self) -> str:
        """The name of its mirror."""
        plain = re.sub(r"[^a-z0-9]+", "-", self.repository.lower()).strip("-")[:30]
        return f"gh-{plain}-{hashlib.sha256(self.repository.lower().encode()).hexdigest()[:8]}"

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


@dataclass(frozen=True)
class Fetching:
    sources: Sources
    limits: Limits

    def fetch(self, remote: Remote, number: int, sha: str, cancelled: Callable[[], bool] = lambda: False) -> str:
        """The pull request's commit `sha` is in the mirror; its tree. The caller holds the project's lock.

        Raises Moved when the pull request has another head, before anything of it is fetched; Cancelled; Retryable
        when the remote does not answer; Terminal when it is too big or not a sound repository.
        """
        if not SHA.fullmatch(sha):
            raise Terminal(f"{shown(sha)} is not a commit")
        mirror = self.sources.mirror(remote.project)
        run = _Run(remote, mirror, self.limits, cancelled, f"{remote.repository}#{number}")
        there = f"refs/pull/{number}/head"
        said = run("ls-remote", "--quiet", remote.url, there).split()
        if said[:1] != [sha]:
            raise Moved(f"{remote.repository}#{number} is at {said[0][:12] if said else 'no commit'}, not {sha[:12]}")
        _tidy(mirror)
        run(
            "fetch", "--quiet", "--depth=1", "--no-tags", "--no-recurse-submodules", "--no-auto-gc",
            "--no-write-fetch-head", "--force", remote.url, f"{sha}:refs/cx/pulls/{number}",
        )  # fmt: skip
        tree = run("rev-parse", "--verify", f"{sha}^{{tree}}").strip()
        self.count(run, tree)
        return tree

    def forget(self, remote: Remote, number: int) -> None:
        """Its commit may go when git cleans up."""
        mirror = self.sources.folder / "git" / f"{remote.project}.git"
        if (mirror / "HEAD").is_file():
            run = _Run(remote, mirror, self.limits, lambda: False, f"{remote.repository}#{number}")
            run("update-ref", "-d", f"refs/cx/pulls/{number}")

    def count(self, run: _Run, tree: str) -> None:
        """A tree can hold the same folder a million times: it is counted before anything reads it whole."""
        size = 0
        for files, line in enumerate(run.records("ls-tree", "-r", "-t", "-l", "-z", tree), 1):
            size += int(word) if (word := line.split(b"\t")[0].split()[-1]).isdigit() else 0
            if files > self.limits.files or size > self.limits.size_bytes:
                raise Terminal(
                    f"{run.what}: it holds more than {self.limits.files} files or {self.limits.size_bytes >> 20} MiB",
                    remedy="make it smaller, or set github.fetch_files and github.fetch_size_mb",
                )


@dataclass(frozen=True)
class _Run:
    """One git after another, for one fetch. Each dies with its limits, and when it is cancelled."""

    remote: Remote
    mirror: Path
    limits: Limits
    cancelled: Callable[[], bool]
    what: str

    def __call__(self, *argv: str) -> str:
        with self._started(argv) as (process, errors):
            before, until = _size(self.mirror), time.monotonic() + self.limits.timeout_s
            checked = time.monotonic()
            while process.poll() is None:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(POLL_S)
                if time.monotonic() > until:
                    raise Retryable(f"{self.what}: git {argv[0]} took more than {self.limits.timeout_s:.0f} s")
                if self.cancelled():
                    raise Cancelled(f"{self.what}: not wanted any more")
                if time.monotonic() - checked > 4 * POLL_S:
                    checked = time.monotonic()
                    self._small(before)
            if process.returncode:
                raise self._failed(argv[0], errors)
            self._small(before)
            assert process.stdout  # noqa: S101 - it is a file of ours
            process.stdout.seek(0)
            return process.stdout.read().decode(errors="surrogateescape")

    def _small(self, before: int) -> None:
        if _size(self.mirror) - before > self.limits.size_bytes:
            raise Terminal(
                f"{self.what}: fetching it brings more than {self.limits.size_bytes >> 20} MiB",
                remedy="make it smaller, or set github.fetch_size_mb",
            )

    def records(self, *argv: str) -> Iterator[bytes]:
        """What git prints, record by record (NUL), as it comes."""
        process = subprocess.Popen(
            self._argv(argv), env=self._environment(), cwd=self.mirror, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        watchdog = threading.Timer(self.limits.timeout_s, process.kill)
        watchdog.start()
        rest = b""
        try:
            assert process.stdout  # noqa: S101 - it is a pipe
            while piece := os.read(process.stdout.fileno(), 1 << 16):
                *whole, rest = (rest + piece).split(b"\0")
                yield from whole
            if process.wait():
                raise Terminal(f"{self.what}: git {argv[0]} could not read the commit")
        finally:
            watchdog.cancel()
            _kill(process)
            if process.stdout:
                process.stdout.close()

    @contextmanager
    def _started(self, argv: tuple[str, ...]) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
        environment, ends = self._environment(), []
        credentials = self.remote.credentials
        if credentials and argv[0] in ("fetch", "ls-remote"):
            # Read by the askpass program, line by line: never in argv, an URL, a file or an environment.
            reading, writing = os.pipe()
            os.write(writing, f"{credentials.username}\n{credentials.password}\n".encode())
            os.close(writing)
            ends = [reading]
            environment |= {"GIT_ASKPASS": str(self._askpass()), "CX_ASKPASS_FD": str(reading)}
        with tempfile.TemporaryDirectory(prefix="cx-git-") as folder:
            out, err = Path(folder) / "out", Path(folder) / "err"
            with out.open("w+b") as stdout, err.open("w+b") as stderr:
                try:
                    process = subprocess.Popen(
                        self._argv(argv), env=environment, cwd=self.mirror, stdin=subprocess.DEVNULL, stdout=stdout,
                        stderr=stderr, pass_fds=ends, start_new_session=True,
                    )  # fmt: skip
                except FileNotFoundError as exc:
                    raise Terminal("git is not installed", remedy="see `cx doctor`") from exc
                finally:
                    for end in ends:
                        os.close(end)
                process.stdout = stdout
                try:
                    yield process, err
                finally:
                    _kill(process)
                    process.stdout = None

    def _argv(self, argv: tuple[str, ...]) -> list[str]:
        limits = ["-c", f"protocol.{self.remote.protocol}.allow=always", "-c", "http.followRedirects=false"]
        limits += ["-c", "credential.helper=", "-c", "fetch.fsckObjects=true", "-c", "fetch.unpackLimit=1"]
        limits += ["-c", "http.lowSpeedLimit=1", "-c", "http.lowSpeedTime=60", "-c", "protocol.version=2"]
        for one in FSCK:
            limits += ["-c", f"fetch.fsck.{one}=ignore"]
        return ["git", *SAFE, *limits, "--git-dir", str(self.mirror), *argv]

    def _environment(self) -> dict[str, str]:
        return {"PATH": os.environ.get("PATH", os.defpath), "HOME": "/nonexistent"} | ENVIRONMENT

    def _askpass(self) -> Path:
        path = self.mirror / "cx-askpass"
        if not path.exists() or path.read_text() != ASKPASS:
            path.write_text(ASKPASS)
        path.chmod(stat.S_IRWXU)
        return path

    def _failed(self, command: str, errors: Path) -> Retryable | Terminal:
        said = errors.read_text(errors="replace")
        lines = [line.strip() for line in said.splitlines() if line.strip()]
        why = next((line for line in reversed(lines) if line.startswith(("fatal:", "error:"))), (lines or ["?"])[-1])
        if self.remote.credentials:
            said, why = (text.replace(self.remote.credentials.password, "***") for text in (said, why))
        what = f"{self.what}: git {command}: {shown(why.partition(': ')[2] or why, 200)}"
        if "No space left" in said:
            return Terminal(f"{self.what}: the disk is full", remedy="free some space")
        if "fsck" in said or "did not send all necessary objects" in said:
            return Terminal(what, remedy="the commit is not sound; `git fsck` shows more")
        return Retryable(what, remedy="see that the host reaches the repository, and that its token may read it")


def run_of(remote: Remote, mirror: Path, limits: Limits) -> _Run:
    """Runs git in the mirror, within the limits."""
    return _Run(remote, mirror, limits, lambda: False, remote.repository)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """It and all that it started; waits until it is gone."""
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _tidy(mirror: Path) -> None:
    """What a fetch that was killed has left is gone: only one fetches at a time."""
    for left in (mirror / "objects" / "pack").glob("tmp_*"):
        left.unlink(missing_ok=True)
    for left in (mirror / "shallow.lock", *(mirror / "refs" / "cx" / "pulls").glob("*.lock")):
        left.unlink(missing_ok=True)


def _size(mirror: Path) -> int:
    """Bytes of the mirror's objects, also of those that are coming in."""
    total = 0
    for folder, _, names in os.walk(mirror / "objects"):
        for name in names:
            with suppress(FileNotFoundError):
                total += os.lstat(os.path.join(folder, name)).st_size
    return total
