"""A tree with all that belongs to it: each submodule's tree in the place of its link, each large file's content in the
place of its pointer. The result is one git tree, which is limited, hashed and checked out as any other."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from cx.core.errors import CxError, Refused, Retryable, Terminal
from cx.core.names import shown
from cx.git import lfs
from cx.git.incoming import show
from cx.git.modules import DEPTH_MAX, GITMODULES_MAX_BYTES, MODULES_MAX, modules_of, remote_of
from cx.git.program import environment
from cx.git.running import Remote, Runner
from cx.pulls import Cancelled

LINK, FILES = "160000", ("100644", "100755")
NOTHING = "0" * 40
IDENTITY = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "cx"), ("EMAIL", "cx@localhost"), ("DATE", "2000-01-01T00:00:00Z"))
}


@dataclass(frozen=True)
class Blob:
    mode: str
    sha: str
    size_bytes: int


@dataclass
class Listing:
    """What of a tree may need more than a checkout."""

    links: dict[str, str] = field(default_factory=dict)
    gitmodules: Blob | None = None
    attributes: bool = False
    small: dict[str, Blob] = field(default_factory=dict)


def fetched(run: Runner, remote: Remote, sha: str, known: str) -> str:
    """The commit `sha` is there; its tree. The remote is always asked, so that nothing is given out that it would not
    give; refs of the mirror below `known`, and no others, tell it what need not be sent."""
    show(run.folder, known)
    run(
        "fetch", "--quiet", "--depth=1", "--no-tags", "--no-recurse-submodules", "--no-auto-gc",
        "--no-write-fetch-head", "--force", remote.url, f"{sha}:refs/cx/new",
        remote=remote,
    )  # fmt: skip
    return run("rev-parse", "--verify", f"{sha}^{{tree}}").strip()


def listed(run: Runner, tree: str) -> Listing:
    """A tree can hold the same folder a million times: it is counted before anything reads it whole, together with all
    that was counted before. Raises Terminal when that is too much."""
    found = Listing()
    for line in run.records("ls-tree", "-r", "-t", "-l", "-z", tree):
        head, _, name = line.partition(b"\t")
        mode, _, sha, size = head.decode().split()
        path = name.decode(errors="surrogateescape")
        count(run, 1, int(size) if size.isdigit() else 0)
        if mode == LINK:
            found.links[path] = sha
        elif path == ".gitmodules":
            found.gitmodules = Blob(mode, sha, int(size)) if size.isdigit() else Blob(mode, sha, 0)
        elif path.rpartition("/")[2] == ".gitattributes":
            found.attributes = True
        elif mode in FILES and lfs.POINTER_MIN_BYTES <= int(size) <= lfs.POINTER_MAX_BYTES:
            found.small[path] = Blob(mode, sha, int(size))
    return found


def count(run: Runner, files: int, size_bytes: int) -> None:
    run.spent.files += files
    run.spent.size_bytes += size_bytes
    if run.spent.files > run.limits.files or run.spent.size_bytes > run.limits.size_bytes:
        raise Terminal(
            f"{run.what}: it holds more than {run.limits.files} files or {run.limits.size_bytes >> 20} MiB",
            remedy="make it smaller, or set github.fetch_files and github.fetch_size_mb",
        )


@dataclass
class Whole:
    """`number` is the pull request's. One is used for one fetch."""

    run: Runner
    main: Remote
    mirror: Path
    number: int
    _commits: dict[str, str] = field(default_factory=dict, init=False)
    _blobs: dict[tuple[str, lfs.Pointer], str] = field(default_factory=dict, init=False)
    _modules: int = field(default=0, init=False)
    _indexes: int = field(default=0, init=False)

    def of(self, remote: Remote, tree: str, depth: int = 0) -> str:
        """The tree, whole, of a commit of `remote`."""
        found = listed(self.run, tree)
        trees = self._submodules(remote, tree, found, depth) if self.main.submodules and found.links else {}
        index = {"GIT_INDEX_FILE": str(self.run.folder / f"index-{self._indexes}")}
        self._indexes += 1
        large = self.main.lfs and found.attributes and bool(found.small)
        if not trees and not large:
            return tree
        self.run("read-tree", tree, more=index)
        files = self._large(remote, found, index) if large else {}
        lines = [f"0 {NOTHING}\t{path}\0" for path in trees]
        lines += [f"{mode} {sha}\t{path}\0" for path, (mode, sha) in files.items()]
        self.run("update-index", "-z", "--index-info", stdin=_bytes(lines), more=index)
        nowhere = self.run.folder / "nowhere"  # git wants a folder here, and does nothing with it
        nowhere.mkdir(exist_ok=True)
        for path, inner in trees.items():
            placed = index | {"GIT_WORK_TREE": str(nowhere)}
            self.run("read-tree", f"--prefix={path}/", inner, more=placed)
        return self.run("write-tree", more=index).strip()

    def refs(self, plain: str, tree: str) -> dict[str, str]:
        """What keeps all this from git's housekeeping, and finds it again."""
        refs = {f"refs/cx/modules/{name}": sha for name, sha in self._commits.items()}
        if tree != plain:
            said = self.run("commit-tree", "-m", "cx", tree, more=IDENTITY)
            refs[f"refs/cx/whole/{self.number}"] = said.strip()
        if self._blobs:
            lines = [f"{key} {one.oid} {one.size_bytes} {blob}\n" for (key, one), blob in self._blobs.items()]
            said = self.run("hash-object", "-w", "--stdin", stdin=_bytes(sorted(lines)))
            refs[f"refs/cx/lfs/{self.number}"] = said.strip()
        return refs

    # --- submodules
    def _submodules(self, remote: Remote, tree: str, found: Listing, depth: int) -> dict[str, str]:
        """The whole trees of the submodules, by their paths."""
        what = self.run.what
        if depth >= DEPTH_MAX:
            raise Refused(what, [f"its submodules have submodules, more than {DEPTH_MAX} deep"])
        if not found.gitmodules:
            raise Refused(what, [f"{shown(next(iter(found.links)))} is a submodule, and .gitmodules does not name it"])
        if found.gitmodules.mode not in FILES or found.gitmodules.size_bytes > GITMODULES_MAX_BYTES:
            raise Refused(what, [f".gitmodules is not a file of up to {GITMODULES_MAX_BYTES >> 10} KiB"])
        try:
            said = self.run("config", "--null", "--no-includes", "--blob", found.gitmodules.sha, "--list")
        except Cancelled:
            raise
        except Retryable as exc:
            raise Refused(what, [".gitmodules is not what git can read"]) from exc
        named = modules_of(what, said)
        trees = {}
        for path, sha in found.links.items():
            if path not in named:
                raise Refused(what, [f"{shown(path)} is a submodule, and .gitmodules does not name it"])
            if not named[path].url:
                continue
            self._modules += 1
            if self._modules > MODULES_MAX:
                raise Refused(what, [f"it has more than {MODULES_MAX} submodules"])
            module = remote_of(self.main, remote, named[path])
            try:
                plain = fetched(self.run, module, sha, f"refs/cx/modules/{module.key}")
            except Cancelled:
                raise
            except CxError as exc:
                why = exc.what.removeprefix(f"{what}: ")
                more = "" if module.credentials or not self.main.credentials else " (fetched without credentials)"
                kind = Terminal if isinstance(exc, Terminal) else Retryable
                raise kind(f"{what}: submodule {shown(path)}{more}: {why}", remedy=exc.remedy) from exc
            self._commits[f"{module.key}/{self.number}-{self._modules}"] = sha
            trees[path] = self.of(module, plain, depth + 1)
        return trees

    # --- large files
    def _large(self, remote: Remote, found: Listing, index: dict[str, str]) -> dict[str, tuple[str, str]]:
        """Mode and blob of each file whose pointer is in the tree, by path."""
        said = self.run(
            "check-attr", "-z", "--cached", "--stdin", "filter",
            stdin=_bytes(f"{path}\0" for path in found.small), more=index,
        ).split("\0")  # fmt: skip
        paths = [path for path, value in zip(said[::3], said[2::3], strict=False) if value == "lfs"]
        pointers = self._pointers({path: found.small[path].sha for path in paths})
        if not pointers:
            return {}
        for pointer in pointers.values():
            count(self.run, 0, pointer.size_bytes)
        wanted = set(pointers.values())
        if len({one.oid for one in wanted}) < len(wanted):
            raise Refused(self.run.what, ["two pointers to one large file (LFS) say different sizes"])
        known = self._known(remote)
        known |= self._brought(remote, sorted(wanted - known.keys()))
        self._blobs |= {(remote.key, one): known[one] for one in wanted}
        return {path: (found.small[path].mode, known[pointer]) for path, pointer in pointers.items()}

    def _pointers(self, blobs: dict[str, str]) -> dict[str, lfs.Pointer]:
        """The files among `blobs` (by path) that are pointers."""
        if not blobs:
            return {}
        said = self.run("cat-file", "--batch", stdin=_bytes(f"{sha}\n" for sha in blobs.values()))
        content, at = said.encode(errors="surrogateescape"), 0
        found = {}
        for path in blobs:
            head, _, _ = content[at:].partition(b"\n")
            size = int(head.split()[2])
            at += len(head) + 1
            if pointer := lfs.pointer_of(content[at : at + size]):
                found[path] = pointer
            at += size + 1
        return found

    def _known(self, remote: Remote) -> dict[lfs.Pointer, str]:
        """Blobs of large files that were brought from this remote before."""
        found = {}
        there = replace(self.run, folder=self.mirror, limited=False)
        for ref in there("for-each-ref", "--format=%(objectname)", "refs/cx/lfs/").split():
            for line in there("cat-file", "blob", ref).splitlines():
                key, oid, size, blob = line.split(" ")
                if key == remote.key:
                    found[lfs.Pointer(oid, int(size))] = blob
        return found

    def _brought(self, remote: Remote, wanted: list[lfs.Pointer]) -> dict[lfs.Pointer, str]:
        """The large files are here; their blobs."""
        if not wanted:
            return {}
        if remote.protocol == "file":
            raise Refused(self.run.what, ["it has large files (LFS), which come by https:// only"])
        folder = self.run.folder / "lfs"
        folder.mkdir(exist_ok=True)
        order = {
            "url": lfs.endpoint_of(remote.url),
            "objects": [{"oid": one.oid, "size": one.size_bytes} for one in wanted],
            "folder": str(folder),
        }
        argv = [sys.executable, "-P", "-m", "cx.git.lfs"]
        self.run.run("large files", argv, environment(), json.dumps(order).encode(), remote.credentials)
        blobs = {}
        for one in wanted:
            file = folder / one.oid
            argv = ["hash-object", "-w", "--no-filters", "--", str(file)]
            blobs[one] = self.run(*argv, options=["-c", "core.looseCompression=0"]).strip()
            file.unlink()
        return blobs


def _bytes(lines: Iterable[str]) -> bytes:
    return "".join(lines).encode(errors="surrogateescape")
