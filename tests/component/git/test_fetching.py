"""Fetching pull requests with the real git: that one commit, within limits, and no secret anywhere it could be read."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from gitserver import HttpOrigin, Origin

from cx.core.errors import Refused, Retryable, Terminal
from cx.core.names import Namespace
from cx.git import Sources, running
from cx.git.fetching import Fetching, Limits, Remote
from cx.git.incoming import alone
from cx.git.running import Absent, NotLetIn, Runner
from cx.pulls import Cancelled, Credentials, Moved

PASSWORD = f"ghs_{os.getpid()}_{os.urandom(8).hex()}"  # no other test that runs now has it
LIMITS = Limits(timeout_s=20, size_bytes=8 << 20, files=100)


@pytest.fixture
def origin(tmp_path: Path) -> Origin:
    return Origin(tmp_path)


@pytest.fixture
def remote(origin: Origin) -> Remote:
    return Remote("acme/shop", f"file://{origin.bare}", local=True)


@pytest.fixture
def fetching(tmp_path: Path) -> Fetching:
    return Fetching(Sources(tmp_path / "state"), LIMITS)


def mirror(fetching: Fetching, remote: Remote) -> Path:
    return fetching.sources.mirror(remote.project)


def objects(fetching: Fetching, remote: Remote) -> set[str]:
    argv = ["git", "--git-dir", str(mirror(fetching, remote)), "cat-file", "--batch-all-objects", "--batch-check"]
    return {line.split()[0] for line in subprocess.check_output(argv, text=True).splitlines()}


def test_the_commit_is_there_and_nothing_older(fetching, remote, origin):
    old = origin.push(7, {"app.py": "old\n"})
    head = origin.push(7, {"app.py": "new\n"})
    tree = fetching.fetch(remote, 7, head)
    with fetching.sources.checkout(Namespace("preview-7"), remote.project, tree) as checkout:
        assert (checkout / "app.py").read_text() == "new\n"
    assert head in objects(fetching, remote)
    assert old not in objects(fetching, remote)
    assert fetching.fetch(remote, 7, head) == tree


def test_a_second_fetch_brings_only_what_is_new(fetching, remote, origin):
    big = os.urandom(1 << 20)
    fetching.fetch(remote, 7, origin.push(7, {"big": big}))
    before = objects(fetching, remote)
    fetching.fetch(remote, 8, origin.push(8, {"app.py": "small\n"}))
    packs = sorted((mirror(fetching, remote) / "objects" / "pack").glob("*.pack"), key=lambda one: one.stat().st_mtime)
    assert len(objects(fetching, remote) - before) == 3  # a commit, a tree, a file
    assert packs[-1].stat().st_size < 10_000


@pytest.mark.parametrize("sha", ["0" * 40, "old"])
def test_another_commit_than_the_head_is_not_fetched(fetching, remote, origin, sha):
    old = origin.push(7, {"app.py": "old\n"})
    origin.push(7, {"app.py": "new\n"})
    with pytest.raises(Moved):
        fetching.fetch(remote, 7, old if sha == "old" else sha)
    assert objects(fetching, remote) == set()


@pytest.mark.parametrize("served_by", ["file", "http"])
@pytest.mark.parametrize("ref", ["missing", "stale"])
def test_a_mirror_without_the_refs_of_pull_requests_gives_the_commit_by_its_name(
    fetching, remote, origin, served, ref, served_by
):
    """`stale`: it shows an older head than GitHub, and GitHub has said twice which one it means."""
    origin.push(7, {"app.py": "old\n"})
    head = origin.push(8, {"app.py": "new\n"})
    if served_by == "http":
        remote = Remote("acme/shop", f"{served.url}/origin.git", Credentials("x-access-token", PASSWORD))
    number = 9 if ref == "missing" else 7
    tree = fetching.fetch(remote, number, head, insist=ref == "stale")
    with fetching.sources.checkout(Namespace("preview-9"), remote.project, tree) as checkout:
        assert (checkout / "app.py").read_text() == "new\n"


@pytest.mark.parametrize("number", [7, 9])
def test_a_commit_that_the_remote_does_not_have_is_told_with_what_to_do(fetching, remote, origin, number):
    origin.push(7, {"app.py": "new\n"})
    with pytest.raises(Absent) as caught:
        fetching.fetch(remote, number, "b" * 40, insist=True)
    shows = "shows " if number == 7 else "has no refs/pull/9/head"
    assert f"acme/shop#{number}: its commit bbbbbbbbbbbb cannot be fetched: the remote {shows}" in str(caught.value)
    assert "push again, or see that github.repositories.<name>.url mirrors pull requests" in caught.value.remedy
    assert objects(fetching, remote) == set()


@pytest.mark.parametrize("sha", ["main", "A" * 40, "a" * 39, "--upload-pack=touch x", "a" * 40 + "\n"])
def test_only_a_full_commit_id_will_do(fetching, remote, sha):
    with pytest.raises(Terminal, match="is not a commit"):
        fetching.fetch(remote, 7, sha)


@pytest.mark.parametrize(
    "url",
    [
        "file:///srv/x.git", "/srv/x.git", "http://example.com/x.git", "ssh://git@example.com/x", "ext::sh -c id",
        "git@example.com:x", "https://user:pw@example.com/x", "-oProxyCommand=id",
    ],
)  # fmt: skip
def test_other_ways_than_https_are_refused(fetching, url):
    with pytest.raises(Refused):
        fetching.fetch(Remote("acme/shop", url), 7, "a" * 40)


def test_too_much_to_fetch_is_ended(fetching, remote, origin):
    fetching.fetch(remote, 8, origin.push(8, {"app.py": "x"}))
    before = objects(fetching, remote)
    head = origin.push(7, {"big": os.urandom(4 << 20)})
    small = Fetching(fetching.sources, replace(LIMITS, size_bytes=1 << 20))
    with pytest.raises(Terminal, match="1 MiB"):
        small.fetch(remote, 7, head)
    assert list((mirror(fetching, remote) / "incoming").iterdir()) == []
    assert objects(fetching, remote) == before
    fetching.fetch(remote, 9, origin.push(9, sha="HEAD~1"))


def test_what_a_killed_fetch_has_left_is_in_nobodys_way(fetching, remote, origin):
    fetching.fetch(remote, 8, origin.push(8, {"app.py": "x"}))
    there = mirror(fetching, remote)
    (there / "refs" / "cx" / "pulls" / "7.lock").write_text("")
    left = there / "incoming" / "0123456789abcdef"
    (left / "objects" / "pack").mkdir(parents=True)
    (left / "objects" / "pack" / "tmp_pack_x").write_text("")
    left.with_suffix(".lock").write_text("")
    fetching.fetch(remote, 7, origin.push(7, {"app.py": "y"}))
    assert list((there / "incoming").iterdir()) == []
    assert list(there.rglob("*.lock")) == []


def test_two_are_fetched_side_by_side(fetching, origin, served):
    """The second comes while the first waits for an answer of the server."""
    first, second = origin.push(7, {"app.py": "1"}), origin.push(8, {"app.py": "2"})
    remote = Remote("acme/shop", f"{served.url}/origin.git", Credentials("x-access-token", PASSWORD))
    waits, ended = threading.Event(), []
    served.before = lambda path: waits.wait(20) if path.startswith("/slow") else None
    (origin.bare.parent / "slow.git").symlink_to(origin.bare)
    slow = replace(remote, url=f"{served.url}/slow.git")
    thread = threading.Thread(target=lambda: ended.append(fetching.fetch(slow, 7, first)))
    thread.start()
    try:
        assert fetching.fetch(remote, 8, second)
        fetching.forget(remote, 8)
        assert ended == []
    finally:
        waits.set()
        thread.join()
    assert len(ended) == 1
    assert first in objects(fetching, remote)


def test_many_at_once_are_all_there(fetching, remote, origin):
    heads = {number: origin.push(number, {f"f{number}": str(number)}) for number in range(1, 9)}
    with ThreadPoolExecutor(4) as pool:
        trees = list(pool.map(lambda number: fetching.fetch(remote, number, heads[number]), heads))
    for number, tree in zip(heads, trees, strict=True):
        with fetching.sources.checkout(Namespace(f"preview-{number}"), remote.project, tree) as checkout:
            assert (checkout / f"f{number}").read_text() == str(number)
    run = ["git", "--git-dir", str(mirror(fetching, remote)), "fsck", "--strict"]
    assert subprocess.run(run, capture_output=True, check=False).returncode == 0


def test_waiting_for_a_cleanup_ends_when_nobody_wants_it_any_more(fetching, remote, origin):
    head = origin.push(7, {})
    began = time.monotonic()
    with alone(fetching.sources.mirror(remote.project)) as mine:
        assert mine
        with pytest.raises(Cancelled):
            fetching.fetch(remote, 7, head, lambda: time.monotonic() - began > 0.3)
        fetching.forget(remote, 7)  # a close waits for nobody
    assert time.monotonic() - began < 5
    assert fetching.fetch(remote, 7, head)


def test_too_many_files_are_refused(fetching, remote, origin):
    with pytest.raises(Terminal, match="more than 100 files"):
        fetching.fetch(remote, 7, origin.push(7, {f"f{n}": "" for n in range(120)}))


def test_a_tree_that_holds_itself_a_billion_times(fetching, remote, origin):
    def tree(*lines: str) -> str:
        argv = ["git", "-C", str(origin.work), "mktree", "--missing"]
        return subprocess.run(
            argv, input="".join(f"{one}\n" for one in lines), text=True, capture_output=True, check=True
        ).stdout[:40]

    inner = tree()
    for _ in range(10):
        inner = tree(*(f"040000 tree {inner}\t{name}" for name in "abcdefgh"))
    sha = origin.git("commit-tree", "-m", "x", inner)
    origin.push(7, sha=sha)
    began = time.monotonic()
    with pytest.raises(Terminal):
        fetching.fetch(remote, 7, sha)
    assert time.monotonic() - began < 5


def test_it_is_ended_when_nobody_wants_it_any_more(fetching, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        remote = Remote("acme/shop", f"http://127.0.0.1:{deaf.getsockname()[1]}/x.git")
        began = time.monotonic()
        with pytest.raises(Cancelled):
            fetching.fetch(remote, 7, "a" * 40, lambda: time.monotonic() - began > 0.2)
        with pytest.raises(Retryable, match="more than 0 s"):
            Fetching(fetching.sources, replace(LIMITS, timeout_s=0.3)).fetch(remote, 7, "a" * 40)
    assert time.monotonic() - began < 5
    assert children() == []


def children() -> list[str]:
    """git processes of this one that still run."""
    found = subprocess.run(
        ["ps", "--ppid", str(os.getpid()), "-o", "args="], capture_output=True, text=True, check=False
    )
    return [line for line in found.stdout.splitlines() if line.startswith("git ")]


def test_what_is_printed_without_end_is_ended(fetching, remote):
    """A server may say what it likes, and git prints it."""
    run = Runner(mirror(fetching, remote), "x", replace(LIMITS, size_bytes=1 << 20))
    for argv in (["sh", "-c", "yes >&2"], ["sh", "-c", "yes"]):
        with pytest.raises(Terminal, match="1 MiB"):
            run.run("yes", argv, {}, b"", None)


def test_the_kernel_holds_a_fetch_to_the_limit(fetching, remote, origin, monkeypatch):
    """Also when nobody looks any more."""
    monkeypatch.setattr("cx.git.running.MEASURE_S", 60)
    monkeypatch.setattr("cx.git.running.SLACK_BYTES", 1 << 16)
    small = Fetching(fetching.sources, replace(LIMITS, size_bytes=1 << 20))
    measured: list[int] = []
    size = running.size_of
    monkeypatch.setattr(running, "size_of", lambda folder: measured.append(size(folder)) or measured[-1])
    with pytest.raises(Terminal, match="brings more than 1 MiB"):
        small.fetch(remote, 7, origin.push(7, {"big": os.urandom(6 << 20)}))
    assert max(measured) < 2 << 20


def test_a_listener_that_is_killed_leaves_nothing_that_stays(fetching, origin, served, tmp_path):
    """kill -9 in the middle of a fetch: the next one finds the mirror as it was."""
    origin.push(7, {"app.py": "new\n"})
    head = origin.git("rev-parse", "HEAD")
    (tmp_path / "slow.git").symlink_to(origin.bare)
    waits = threading.Event()
    served.before = lambda path: waits.wait(20) if path.endswith("git-upload-pack") else None
    remote = Remote("acme/shop", f"{served.url}/slow.git", Credentials("x-access-token", PASSWORD))
    code = (
        "import sys; from pathlib import Path; from cx.git import Sources; from cx.pulls import Credentials\n"
        "from cx.git.fetching import *\n"
        f"remote = Remote('acme/shop', {remote.url!r}, Credentials('x-access-token', sys.stdin.read()))\n"
        f"Fetching(Sources(Path({str(fetching.sources.folder)!r})), Limits(20, 1 << 20, 99)).fetch(remote, 7, {head!r})"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, text=True)
    assert process.stdin
    process.stdin.write(PASSWORD)
    process.stdin.close()
    end = time.monotonic() + 20
    while not any(path.endswith("git-upload-pack") for path, _ in served.requests):
        assert time.monotonic() < end
        time.sleep(0.05)
    process.kill()
    process.wait()
    there = mirror(fetching, remote)
    assert list((there / "incoming").glob("*.lock"))
    waits.set()
    served.before = lambda path: None
    assert fetching.fetch(remote, 7, head)
    assert list((there / "incoming").glob("*.lock")) == []
    for file in (tmp_path / "state").rglob("*"):
        assert not file.is_file() or PASSWORD.encode() not in file.read_bytes(), file


# --- with a password


@pytest.fixture
def served(origin: Origin, tmp_path: Path) -> Iterator[HttpOrigin]:
    server = HttpOrigin(tmp_path, "x-access-token", PASSWORD, lambda: leaked.extend(where_it_shows()))
    leaked.clear()
    yield server
    server.close()


leaked: list[str] = []


def where_it_shows() -> list[str]:
    """Arguments and environments of all processes that hold the password."""
    found = []
    for folder in Path("/proc").iterdir():
        for part in ("cmdline", "environ"):
            try:
                if folder.name.isdigit() and PASSWORD.encode() in (folder / part).read_bytes():
                    found.append(f"{folder.name}/{part}")
            except OSError:
                continue
    return found


def test_the_password_shows_nowhere(fetching, served, origin, tmp_path):
    head = origin.push(7, {"app.py": "new\n"})
    remote = Remote("acme/shop", f"{served.url}/origin.git", Credentials("x-access-token", PASSWORD))
    fetching.fetch(remote, 7, head)
    fetching.fetch(remote, 8, origin.push(8, {"app.py": "newer\n"}))
    assert [given for path, given in served.requests if given]
    assert leaked == []
    for file in (tmp_path / "state").rglob("*"):
        assert not file.is_file() or PASSWORD.encode() not in file.read_bytes(), file
    assert PASSWORD not in repr(remote)


def test_the_leak_test_would_see_one(served):
    process = subprocess.Popen(["sleep", "5"], env={"X": PASSWORD})
    try:
        assert where_it_shows() == [f"{process.pid}/environ"]
    finally:
        process.kill()
        process.wait()


def test_a_wrong_password_is_told_without_it(fetching, served, origin):
    head = origin.push(7, {})
    with pytest.raises(Retryable) as caught:
        fetching.fetch(Remote("acme/shop", f"{served.url}/origin.git", Credentials("u", "wrong-secret")), 7, head)
    assert "wrong-secret" not in str(caught.value)
    assert "Authentication failed" in str(caught.value)


@pytest.mark.parametrize("path", ["origin.git", "none.git"])
def test_a_refusal_is_known_until_it_is_let_in_or_not_wanted(fetching, served, origin, path):
    """`none.git`: how GitHub refuses what is private."""
    head, right = origin.push(7, {}), Credentials("x-access-token", PASSWORD)
    wrong = Credentials("u", "wrong-secret") if path == "origin.git" else right
    refused = Remote("acme/shop", f"{served.url}/{path}", wrong)
    with pytest.raises(NotLetIn):
        fetching.fetch(refused, 7, head)
    assert fetching.refused == {"acme/shop": 7}
    fetching.fetch(Remote("acme/shop", f"{served.url}/origin.git", right), 7, head)
    assert fetching.refused == {}
    with pytest.raises(NotLetIn):
        fetching.fetch(refused, 7, head)
    fetching.forget(refused, 7)
    assert fetching.refused == {}


def test_a_server_that_is_away_is_no_refusal(fetching, origin):
    with pytest.raises(Retryable):
        fetching.fetch(Remote("acme/shop", "http://127.0.0.1:1/origin.git", Credentials("u", "p")), 7, origin.push(7))
    assert fetching.refused == {}


def test_a_redirect_is_not_followed(fetching, served, origin, tmp_path):
    head = origin.push(7, {})
    other = HttpOrigin(tmp_path, "x-access-token", PASSWORD)
    served.elsewhere = other.url
    try:
        remote = Remote("acme/shop", f"{served.url}/origin.git", Credentials("x-access-token", PASSWORD))
        with pytest.raises(Retryable):
            fetching.fetch(remote, 7, head)
        assert other.requests == []
    finally:
        other.close()


def test_large_file_pointers_and_submodules_stay_what_they_are(fetching, remote, origin):
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 1\n"
    origin.commit({".gitattributes": "*.bin filter=lfs\n", "a.bin": pointer})
    head = origin.git("rev-parse", "HEAD")
    origin.git("update-index", "--add", "--cacheinfo", f"160000,{head},lib")
    (origin.work / ".gitmodules").write_text('[submodule "lib"]\npath = lib\nurl = file:///etc\n')
    origin.git("add", ".gitmodules")
    origin.git("commit", "--quiet", "-m", "x")
    tree = fetching.fetch(remote, 7, origin.push(7))
    with fetching.sources.checkout(Namespace("preview-7"), remote.project, tree) as checkout:
        assert (checkout / "a.bin").read_text() == pointer
        assert list((checkout / "lib").iterdir()) == []


def test_a_link_out_of_the_repository_is_refused(fetching, remote, origin):
    (origin.work / "out").symlink_to("../../../etc")
    tree = fetching.fetch(remote, 7, origin.push(7, {}))
    checkout = fetching.sources.checkout(Namespace("preview-7"), remote.project, tree)
    with pytest.raises(Terminal, match="symbolic link"), checkout:
        pass


def test_what_is_forgotten_may_be_cleaned_up(fetching, remote, origin):
    head = origin.push(7, {"app.py": "x"})
    fetching.fetch(remote, 7, head)
    fetching.forget(remote, 7)
    fetching.forget(remote, 7)
    refs = subprocess.check_output(["git", "--git-dir", str(mirror(fetching, remote)), "for-each-ref"], text=True)
    assert refs == ""
