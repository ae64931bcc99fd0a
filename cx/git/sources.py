"""Sources: what is deployed is always a git tree in a bare mirror of cx's own, one for each project.

A folder is added to the mirror through an index that cx keeps (so that the next look at a big folder is
quick), without touching the folder or its own repository. Nothing of a repository's is run: `program` says how git is
started, and `repository` how that of a folder is read.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from cx.core.errors import Invalid, Retryable, Terminal
from cx.core.names import Namespace, shown
from cx.core.origin import Origin
from cx.core.source import Source
from cx.git.program import environment, git, run
from cx.git.repository import repository_of

SHA = re.compile(r"[0-9a-f]{40}")
REF = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/+-]{0,200}")
LINK = "160000"  # the mode of a repository inside of a folder
MAX_FILES = 200_000
MAX_BYTES = 2 << 30
ATTRIBUTES = "* -text -filter -ident -export-subst -working-tree-encoding\n"


@dataclass(frozen=True)
class Entry:
    mode: str
    kind: str
    sha: str
    size: int
    path: str


@dataclass(frozen=True)
class Sources:
    """`folder` is cx's own: mirrors, indexes and checkouts are below it."""

    folder: Path

    def read(self, path: Path, ref: str = "") -> Source:
        """The folder at `path` as it is now, or (with `ref`) as it was at a commit, is in the mirror.

        Changed and new files count, ignored ones do not. Raises Invalid for what cannot be deployed.
        """
        path = path.resolve()
        if not path.is_dir():
            raise Invalid("PATH", str(path), "is not a folder")
        if ref and not (REF.fullmatch(ref) and ".." not in ref):
            raise Invalid("--ref", shown(ref), "is not a commit, branch or tag")
        repository = repository_of(path)
        project = project_of(path)
        mirror, origin = self.mirror(project), Origin.folder(path)
        if repository is None:
            if ref:
                raise Invalid("--ref", shown(ref), f"is no commit of {path}")
            return Source(project, origin, "", self._added(mirror, path), dirty=False)
        inside = "" if path == repository.top else str(path.relative_to(repository.top))
        with repository.view(mirror.parent) as view:
            head = self._try(view, "rev-parse", "--verify", "--quiet", f"{ref or 'HEAD'}^{{commit}}")
            if ref:
                if head is None:
                    raise Invalid("--ref", shown(ref), f"is no commit of {path}")
                repository.must_stand_alone()
                return Source(project, origin, head, self._fetched(mirror, view, head, inside), dirty=False)
            tree = self._added(mirror, path)
            if head is None:
                return Source(project, origin, "", tree, dirty=False)
            committed = self._try(view, "rev-parse", "--verify", "--quiet", f"{head}:{inside}")
        return Source(project, origin, head, tree, dirty=committed != tree)

    def keep(self, namespace: Namespace, source: Source) -> None:
        """git's housekeeping leaves the tree alone as long as the namespace wants it."""
        self._git(self.mirror(source.project), "update-ref", f"refs/cx/{namespace}", self._commit(source))

    def bundle(self, source: Source, ref: str, target: Path) -> None:
        """`target` is a git bundle of the tree, as `ref`, without history."""
        mirror = self.mirror(source.project)
        self._git(mirror, "update-ref", ref, self._commit(source))
        self._git(mirror, "bundle", "create", "--quiet", str(target), ref)

    def has(self, project: str, tree: str) -> bool:
        return self._try(self.mirror(project), "cat-file", "-e", f"{tree}^{{tree}}") is not None

    def forget(self, namespace: Namespace, project: str) -> None:
        if (self.folder / "git" / f"{project}.git").is_dir():
            self._git(self.mirror(project), "update-ref", "-d", f"refs/cx/{namespace}")

    def digest(self, project: str, tree: str, path: str) -> str:
        """What names the content of `path` in the tree: its git object id."""
        inside = str(PurePosixPath(path))
        return tree if inside == "." else self._git(self.mirror(project), "rev-parse", f"{tree}:{inside}").strip()

    @contextmanager
    def checkout(self, namespace: Namespace, project: str, tree: str, *, aside: str = "") -> Iterator[Path]:
        """A folder with the tree's files, as long as the block runs. They have the repository's modes, whatever the
        caller's are; nobody else can open the folder that it is in.

        One for each namespace, of whoever holds its lock; others name one of their own with `aside`.

        Raises Terminal when a symbolic link leaves it, or it is too big.
        """
        mirror = self.mirror(project)
        target = self.folder / "checkouts" / (f"{namespace}.{aside}" if aside else str(namespace)) / tree
        shutil.rmtree(target.parent, ignore_errors=True)
        links = self._links(mirror, namespace, tree)
        for folder in (target.parent.parent, target.parent):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        target.mkdir()
        target.chmod(0o755)  # it is a build's context, of which an image has the modes
        try:
            index = target.parent / "index"
            places = {"GIT_INDEX_FILE": str(index), "GIT_WORK_TREE": str(target)}
            self._git(mirror, "read-tree", tree, more=places)
            self._git(mirror, "checkout-index", "--all", "--quiet", more=places, umask=0o022)
            for link in links:
                if leaves(target, link):
                    raise Terminal(
                        f"{namespace}: {shown(link)} is a symbolic link that leaves the repository",
                        remedy="remove the link, or make it relative and inside",
                    )
            yield target
        finally:
            shutil.rmtree(target.parent, ignore_errors=True)

    def checkouts(self, namespace: Namespace) -> tuple[str, ...]:
        """Checkouts that an earlier pass, which died, has left."""
        folder = self.folder / "checkouts" / str(namespace)
        return tuple(sorted(one.name for one in folder.iterdir())) if folder.is_dir() else ()

    def remove_checkouts(self, namespace: Namespace) -> None:
        shutil.rmtree(self.folder / "checkouts" / str(namespace), ignore_errors=True)

    def mirror(self, project: str) -> Path:
        """The project's bare repository, made when it is not there."""
        mirror = self.path(project)
        if not (mirror / "HEAD").is_file():
            mirror.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with tempfile.TemporaryDirectory(prefix="new-", dir=mirror.parent) as folder:
                new = Path(folder) / "mirror"
                new.mkdir(mode=0o700)
                self._git(new, "init", "--quiet", "--bare")
                (new / "info" / "attributes").write_text(ATTRIBUTES)
                self._put(new, mirror)
        return mirror

    def path(self, project: str) -> Path:
        """Where the project's mirror is, or would be."""
        return self.folder / "git" / f"{project}.git"

    # --- parts
    @staticmethod
    def _put(new: Path, mirror: Path) -> None:
        """The new mirror is there, unless somebody else was quicker; what a crash left of one is gone."""
        try:
            new.rename(mirror)
        except OSError:
            if not (mirror / "HEAD").is_file():
                mirror.rename(new.parent / "left")
                new.rename(mirror)

    def _added(self, mirror: Path, path: Path) -> str:
        places = {"GIT_WORK_TREE": str(path), "GIT_INDEX_FILE": str(mirror / "cx-index")}
        # A crash may have left its lock; the project's own lock (flock) says that nobody else is in here.
        (mirror / "cx-index.lock").unlink(missing_ok=True)
        self._forget_links(mirror, places)
        self._git(mirror, "add", "--all", "--ignore-errors", ".", more=places)
        return self._git(mirror, "write-tree", more=places).strip()

    def _forget_links(self, mirror: Path, places: Mapping[str, str]) -> None:
        """The index holds no repositories inside of the folder: of one that it knows git asks, by a `git status` with
        that one's own configuration and filters, what has changed in it."""
        entries = self._git(mirror, "ls-files", "--stage", "-z", more=places).split("\0")
        for entry in entries:
            if entry.startswith(LINK):
                self._git(mirror, "update-index", "--force-remove", "--", entry.partition("\t")[2], more=places)

    def _fetched(self, mirror: Path, view: Path, commit: str, inside: str) -> str:
        if self._try(mirror, "cat-file", "-e", f"{commit}^{{commit}}") is None:
            options = ("--quiet", "--no-tags", "--no-recurse-submodules", "--no-auto-gc")
            self._git(mirror, "fetch", *options, f"file://{view}", commit, protocol="file")
        return self._git(mirror, "rev-parse", "--verify", f"{commit}:{inside}").strip()

    def _commit(self, source: Source) -> str:
        """A commit object for the tree: refs should name commits, and git keeps what they reach."""
        identity = {
            "GIT_AUTHOR_NAME": "cx", "GIT_AUTHOR_EMAIL": "cx@localhost", "GIT_AUTHOR_DATE": "2000-01-01T00:00:00Z",
            "GIT_COMMITTER_NAME": "cx", "GIT_COMMITTER_EMAIL": "cx@localhost",
            "GIT_COMMITTER_DATE": "2000-01-01T00:00:00Z",
        }  # fmt: skip
        tree = ["commit-tree", "-m", "cx", source.tree]
        return self._git(self.mirror(source.project), *tree, more=identity).strip()

    def _links(self, mirror: Path, namespace: Namespace, tree: str) -> list[str]:
        """The symbolic links of the tree. Raises Terminal when it is too big.

        It is counted as it is listed: a tree can hold the same folder a million times.
        """
        links, files, size = [], 0, 0
        with closing(self._entries(mirror, tree)) as entries:
            for entry in entries:
                files, size = files + 1, size + entry.size
                if files > MAX_FILES or size > MAX_BYTES:
                    raise Terminal(
                        f"{namespace}: more than {MAX_FILES} files and folders, or {MAX_BYTES >> 20} MiB, are more than"
                        " cx takes",
                        remedy="ignore what git should not hold",
                    )
                if entry.mode == "120000":
                    links.append(entry.path)
        return links

    def _entries(self, mirror: Path, tree: str) -> Generator[Entry, None, None]:
        process = subprocess.Popen(
            git("--git-dir", mirror, "ls-tree", "-r", "-t", "-l", "-z", tree),
            env=environment(), cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        assert process.stdout  # noqa: S101 - it is a pipe
        rest = b""
        try:
            while piece := os.read(process.stdout.fileno(), 1 << 16):
                *lines, rest = (rest + piece).split(b"\0")
                for line in lines:
                    head, _, path = line.decode(errors="surrogateescape").partition("\t")
                    mode, kind, sha, size = head.split()
                    yield Entry(mode, kind, sha, int(size) if size.isdigit() else 0, path)
            if process.wait():
                raise Retryable(
                    f"tree {tree} is not in cx's mirror of the project", remedy="deploy from the folder again"
                )
        finally:
            process.kill()
            process.wait()
            process.stdout.close()

    def _try(self, folder: Path, *argv: str) -> str | None:
        done = run(git("--git-dir", folder, *argv))
        return done.stdout.strip() if done.returncode == 0 else None

    def _git(self, folder: Path, *argv: str, more: Mapping[str, str] | None = None, **how: Any) -> str:
        done = run(git("--git-dir", folder, *argv), more, **how)
        if done.returncode:
            said = (done.stderr.strip() or done.stdout.strip() or "no reason given").splitlines()[-1]
            if "No space left" in done.stderr:
                raise Terminal(f"git {argv[0]}: the disk is full", remedy="free some space")
            raise Terminal(f"git {argv[0]}: {said.removeprefix('fatal: ')}")
        return done.stdout


def project_of(path: Path) -> str:
    """A name for the project in `path`: what people call it, and a hash that keeps two apart."""
    plain = re.sub(r"[^a-z0-9]+", "-", path.name.lower()).strip("-")[:30] or "project"
    return f"{plain}-{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"


def leaves(checkout: Path, link: str) -> bool:
    """True when following `link` ends outside of the checkout, also by way of other links."""
    return not Path(os.path.realpath(checkout / link)).is_relative_to(os.path.realpath(checkout))
