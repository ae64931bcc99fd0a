"""Trees that come from another machine, each as a git bundle."""

from __future__ import annotations

from pathlib import Path

from cx.core.errors import Invalid, NotFound, Retryable
from cx.core.names import Namespace, shown
from cx.core.origin import Origin
from cx.core.source import Source
from cx.git.incoming import incoming, using
from cx.git.running import Limits, Remote, Runner, never
from cx.git.sources import SHA, Sources
from cx.git.whole import listed

PACKED = "refs/cx/bundle"
KEPT = "refs/cx/uploaded"


def pack(sources: Sources, source: Source, target: Path) -> None:
    """The tree of `source` is in the bundle `target`, without its history. The caller holds the mirror's lock."""
    sources.bundle(source, PACKED, target)


def project_of(namespace: Namespace) -> str:
    """What is uploaded for a namespace has a mirror of its own, and is granted nothing that a folder of the host is."""
    return f"remote-{namespace}"


def receive(sources: Sources, limits: Limits, namespace: Namespace, bundle: Path) -> str:
    """The tree in the bundle is in the namespace's mirror. The caller holds the mirror's lock. Raises Invalid."""
    remote = Remote("the upload", str(bundle), local=True)
    with using(sources, project_of(namespace), never) as mirror, incoming(mirror, limits) as new:
        run = Runner(new.folder, remote.repository, limits)
        try:
            run(
                "fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "--no-auto-gc", "--no-write-fetch-head",
                "--force", str(bundle), f"{PACKED}:{KEPT}", remote=remote,
            )  # fmt: skip
            tree = run("rev-parse", "--verify", f"{KEPT}^{{tree}}").strip()
        except Retryable as exc:
            raise Invalid("the upload", "", f"is not a git bundle with {PACKED} ({exc.what})") from exc
        listed(run, tree)
        new.settle(run, {KEPT: run("rev-parse", "--verify", f"{KEPT}^{{commit}}").strip()})
    return tree


def uploaded(sources: Sources, namespace: Namespace, tree: str, commit: str, dirty: bool) -> Source:
    """Raises Invalid, NotFound."""
    if not SHA.fullmatch(tree) or not (commit == "" or SHA.fullmatch(commit)):
        raise Invalid("tree", shown(tree), "and commit should be 40 hex digits")
    project = project_of(namespace)
    if not (sources.folder / "git" / f"{project}.git" / "HEAD").is_file() or not sources.has(project, tree):
        raise NotFound(f"tree {tree[:12]} was not uploaded for {namespace}", remedy="upload it first")
    return Source(project, Origin.upload(namespace), commit, tree, dirty)
