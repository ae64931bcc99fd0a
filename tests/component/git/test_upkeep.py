"""Mirrors stay small, and whoever wants one does not wait for that."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from gitserver import Origin

from cx.core.errors import Busy
from cx.core.names import Namespace
from cx.git import Sources
from cx.git.fetching import Fetching, Limits, Remote
from cx.git.incoming import using
from cx.git.running import size_of
from cx.git.upkeep import TIDIED, Tidied, remove, sweep_all, tidy
from cx.host import Host
from cx.pulls.values import PullId
from cx.settings import load

DAYS_AGO = time.time() - 3 * 86_400


@pytest.fixture
def origin(tmp_path: Path) -> Origin:
    return Origin(tmp_path)


@pytest.fixture
def remote(origin: Origin) -> Remote:
    return Remote("acme/shop", f"file://{origin.bare}", local=True)


@pytest.fixture
def fetching(tmp_path: Path) -> Fetching:
    return Fetching(Sources(tmp_path / "state"), Limits(timeout_s=20, size_bytes=8 << 20, files=100))


def upkeep(mirror: Path, known: Iterable[int] | None = (), *, now: bool = True) -> Tidied:
    later_s = 0 if now else 86_400
    asked = None if known is None else lambda: set(known or ())
    return tidy(mirror, asked, until=time.monotonic() + 20, cancelled=lambda: False, soon_s=0, later_s=later_s)


def refs(mirror: Path) -> list[str]:
    run = ["git", "--git-dir", str(mirror), "for-each-ref", "--format=%(refname)"]
    return subprocess.check_output(run, text=True).split()


def aged(mirror: Path) -> Path:
    """Everything in it is days old."""
    for one in mirror.rglob("*"):
        os.utime(one, (DAYS_AGO, DAYS_AGO))
    return mirror


def sound(mirror: Path) -> bool:
    run = ["git", "--git-dir", str(mirror), "fsck", "--strict", "--connectivity-only"]
    return subprocess.run(run, capture_output=True, check=False).returncode == 0


def test_what_nobody_wants_goes_and_the_rest_stays(fetching, remote, origin):
    big = fetching.fetch(remote, 7, origin.push(7, {"big": os.urandom(1 << 20)}))
    origin.git("rm", "--quiet", "big")
    tree = fetching.fetch(remote, 8, origin.push(8, {"app.py": "x\n"}))
    mirror = aged(fetching.sources.path(remote.project))
    done = upkeep(mirror, {8})
    assert (done.refs, done.packed) == (1, True)
    assert done.freed_bytes > 1 << 19
    assert refs(mirror) == ["refs/cx/pulls/8"]
    assert size_of(mirror / "objects") < 1 << 16
    assert not fetching.sources.has(remote.project, big)
    assert fetching.sources.has(remote.project, tree)
    assert sound(mirror)
    assert fetching.fetch(remote, 7, origin.push(7, {"more": "x"}))


def test_what_is_young_stays(fetching, remote, origin, monkeypatch):
    """It may be about to be wanted: its ref comes after it."""
    tree = fetching.fetch(remote, 7, origin.push(7, {"app.py": "x\n"}))
    fetching.forget(remote, 7)
    mirror = fetching.sources.path(remote.project)
    assert upkeep(mirror).packed
    assert fetching.sources.has(remote.project, tree)
    monkeypatch.setattr("cx.git.upkeep.GRACE", "now")
    assert upkeep(mirror).packed  # and goes when its day is over, though nothing has changed
    assert not fetching.sources.has(remote.project, tree)


def test_what_a_namespace_has_stays_though_its_pull_request_is_over(fetching, remote, origin):
    from cx.core.source import Source

    tree = fetching.fetch(remote, 7, origin.push(7, {"app.py": "x\n"}))
    fetching.sources.keep(Namespace("preview-7"), Source(remote.project, "", "", tree, dirty=False))
    mirror = aged(fetching.sources.path(remote.project))
    assert upkeep(mirror).packed
    assert refs(mirror) == ["refs/cx/preview-7"]
    with fetching.sources.checkout(Namespace("preview-7"), remote.project, tree) as checkout:
        assert (checkout / "app.py").read_text() == "x\n"


def test_many_packs_become_one(fetching, remote, origin, monkeypatch):
    monkeypatch.setattr("cx.git.upkeep.PACKS", 4)
    for number in range(1, 5):
        fetching.fetch(remote, number, origin.push(number, {"app.py": str(number)}))
    mirror = fetching.sources.path(remote.project)
    assert upkeep(mirror, range(100), now=False).packed
    assert len(list((mirror / "objects" / "pack").glob("*.pack"))) <= 2
    assert sound(mirror)


def test_a_mirror_in_which_nothing_happened_is_left_alone(fetching, remote, origin):
    fetching.fetch(remote, 7, origin.push(7, {"app.py": "x\n"}))
    mirror = fetching.sources.path(remote.project)
    assert not upkeep(mirror, {7}, now=False).packed
    assert upkeep(mirror, {7}).packed
    assert not upkeep(mirror, {7}).packed


def test_who_fetches_is_not_waited_for(fetching, remote, origin):
    fetching.fetch(remote, 7, origin.push(7, {"app.py": "x\n"}))
    mirror = fetching.sources.path(remote.project)
    with using(fetching.sources, remote.project, lambda: False):
        assert upkeep(mirror).why == "in use"
        assert not remove(mirror)
    assert refs(mirror) == ["refs/cx/pulls/7"]


def test_packing_gives_way_to_a_fetch(fetching, remote, origin, tmp_path, monkeypatch):
    """git gc that would take a minute."""
    fetching.fetch(remote, 7, origin.push(7, {"app.py": "x\n"}))
    head = origin.push(8, {"app.py": "y\n"})
    mirror = fetching.sources.path(remote.project)
    slow(tmp_path, monkeypatch)
    ended: list[Tidied] = []
    thread = threading.Thread(target=lambda: ended.append(upkeep(mirror, {7, 8})))
    thread.start()
    until(lambda: (tmp_path / "began").exists())
    began = time.monotonic()
    assert fetching.fetch(remote, 8, head)
    assert time.monotonic() - began < 10
    thread.join()
    assert not ended[0].packed
    assert "not wanted" in ended[0].why
    assert not (mirror / TIDIED).exists()
    assert not alive(tmp_path)


def test_a_mirror_that_is_never_quiet_is_packed_all_the_same(fetching, remote, origin, tmp_path, monkeypatch):
    """A fetch waits for it, and not longer than its end."""
    fetching.fetch(remote, 7, origin.push(7, {"app.py": "x\n"}))
    head = origin.push(8, {"app.py": "y\n"})
    mirror = fetching.sources.path(remote.project)
    monkeypatch.setattr("cx.git.upkeep.URGENT", 0)
    slow(tmp_path, monkeypatch)
    ended: list[Tidied] = []
    until_s = time.monotonic() + 2
    thread = threading.Thread(
        target=lambda: ended.append(tidy(mirror, None, until=until_s, cancelled=lambda: False, later_s=0))
    )
    thread.start()
    until(lambda: (tmp_path / "began").exists())
    assert fetching.fetch(remote, 8, head)
    thread.join()
    assert time.monotonic() > until_s
    assert "took more than" in ended[0].why


def test_packing_has_an_end(fetching, remote, origin, tmp_path, monkeypatch):
    fetching.fetch(remote, 7, origin.push(7, {"app.py": "x\n"}))
    mirror = fetching.sources.path(remote.project)
    slow(tmp_path, monkeypatch)
    done = tidy(mirror, None, until=time.monotonic() + 0.5, cancelled=lambda: False, later_s=0)
    assert "more than 0 s" in done.why
    assert not alive(tmp_path)
    assert not upkeep(mirror, None, now=False).packed  # not again at once
    assert sound(mirror)


def test_what_a_killed_packing_has_left(fetching, remote, origin):
    tree = fetching.fetch(remote, 7, origin.push(7, {"app.py": "x\n"}))
    mirror = fetching.sources.path(remote.project)
    left = ["packed-refs.lock", "shallow.lock", "refs/cx/preview-1.lock", "objects/pack/tmp_pack_x"]
    left += ["objects/pack/.tmp-1-pack-x.pack", "objects/pack/pack-x.pack", "gc.pid.lock"]
    for name in left:
        (mirror / name).write_text("")
    upkeep(mirror, {7}, now=False)
    assert all((mirror / name).exists() for name in left)  # somebody may be at it
    aged(mirror)
    assert upkeep(mirror, {7}).packed
    assert [name for name in left if (mirror / name).exists()] == []
    assert fetching.sources.has(remote.project, tree)


def test_a_folder_is_read_again_after_its_mirror_was_packed(tmp_path):
    """git's index names objects that packing takes, once no namespace is of the folder."""
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "Dockerfile").write_text("FROM scratch\n")
    sources = Sources(tmp_path / "state")
    source = sources.read(tmp_path / "app")
    mirror = aged(sources.path(source.project))
    assert upkeep(mirror, None).packed
    assert not sources.has(source.project, source.tree)
    assert sources.read(tmp_path / "app").tree == source.tree
    assert sources.has(source.project, source.tree)


def test_what_was_being_removed_is_gone(fetching, remote, origin):
    fetching.fetch(remote, 7, origin.push(7, {"app.py": "x\n"}))
    mirror = fetching.sources.path(remote.project)
    mirror.rename(mirror.parent / "gone-0123")
    (mirror.parent / "new-0123").mkdir()
    sweep_all(mirror.parent)
    assert sorted(one.name for one in mirror.parent.iterdir()) == ["new-0123"]  # somebody may be at it
    assert fetching.fetch(remote, 7, origin.push(7))


# --- the host


def host(tmp_path: Path, origin: Origin, *names: str) -> Host:
    text = f'state_dir = "{tmp_path / "state"}"\n[github]\nallow_local = true\n'
    for name in names:
        text += f'[github.repositories."{name}"]\nurl = "file://{origin.bare}"\n'
    (tmp_path / "host.toml").write_text(text)
    return Host(load(tmp_path / "host.toml", {}))


def test_the_mirror_of_a_repository_that_is_not_followed_any_more_goes(fetching, remote, origin, tmp_path):
    other = replace(remote, repository="acme/site")
    for one in (remote, other):
        fetching.fetch(one, 7, origin.push(7, {"app.py": "x\n"}))
    both = host(tmp_path, origin, "acme/shop", "acme/site")
    both.upkeep.tidy_mirrors()
    assert fetching.sources.path(other.project).exists()
    one = host(tmp_path, origin, "acme/shop")
    found = {done.mirror: done.removed for done in one.upkeep.tidy_mirrors()}
    assert found[f"{other.project}.git"]
    assert fetching.sources.path(remote.project).exists()
    assert not fetching.sources.path(other.project).exists()


def test_not_while_a_namespace_is_of_it(fetching, remote, origin, tmp_path):
    from cx.core.state import Desired

    fetching.fetch(remote, 7, origin.push(7, {"app.py": "x\n"}))
    there = host(tmp_path, origin)
    wish = Desired(
        Namespace("preview-7"), True, remote.project, "github:acme/shop", "", "t", False, "preview", {}, "h", False
    )
    there.store.want(wish, time.time())
    there.upkeep.tidy_mirrors()
    assert refs(fetching.sources.path(remote.project)) == ["refs/cx/pulls/7"]
    there.store.want_absent(wish.namespace, time.time())
    there.upkeep.tidy_mirrors()
    assert fetching.sources.path(remote.project).exists()
    assert not there.upkeep.remove_litter(fetching.sources.path(remote.project))


def test_refs_of_pull_requests_that_are_over_go(fetching, remote, origin, tmp_path):
    from cx.pulls.ports import Known
    from cx.store.pulls import PullsTable

    for number in (7, 8):
        fetching.fetch(remote, number, origin.push(number, {"app.py": str(number)}))
    there = host(tmp_path, origin, "Acme/Shop")
    PullsTable(there.database).keep(Known(PullId("acme/shop", 8), Namespace("preview-8")))
    there.upkeep.tidy_mirrors()
    assert refs(fetching.sources.path(remote.project)) == ["refs/cx/pulls/8"]


def test_reading_a_folder_ends_a_cleanup(tmp_path, origin):
    there = host(tmp_path, origin)
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "Dockerfile").write_text("FROM scratch\n")
    project = there.read_source(tmp_path / "app").project
    wanted = there.sources.path(project) / "cx-wanted"
    assert not wanted.exists()
    with there.lock(f"project-{project}", "clean up"), pytest.raises(Busy), there.mirror_lock(project, "x", wait_s=0.2):
        pass
    assert wanted.exists()


# --- parts


def slow(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`git gc` waits a minute."""
    (folder / "bin").mkdir()
    real = subprocess.check_output(["which", "git"], text=True).strip()
    script = f'#!/bin/sh\ncase "$*" in *" gc "*) echo $$ > {folder}/began; sleep 60;; *) exec {real} "$@";; esac\n'
    (folder / "bin" / "git").write_text(script)
    (folder / "bin" / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder / 'bin'}:{os.environ['PATH']}")


def alive(folder: Path) -> bool:
    """Whether the slow one, or what it has started, runs still."""
    group = (folder / "began").read_text().strip()
    found = subprocess.run(
        ["pgrep", "--runstates", "R,S,D", "--pgroup", group], capture_output=True, text=True, check=False
    )
    return bool(found.stdout.strip())


def until(true: object) -> None:
    end = time.monotonic() + 10
    while not true():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.02)
