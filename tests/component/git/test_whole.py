"""Submodules and large files of a pull request: where the host's owner allows them, and under the same laws."""

from __future__ import annotations

import hashlib
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from gitserver import HttpOrigin, Origin, pointer

from cx.core.errors import Refused, Retryable, Terminal
from cx.core.names import Namespace
from cx.git import Sources
from cx.git.fetching import Fetching, Limits, Remote
from cx.git.lfs import Failure, bring
from cx.git.modules import Module, modules_of, remote_of, resolved
from cx.git.running import Runner
from cx.git.whole import Blob, Listing, Whole
from cx.host import Host
from cx.host.following import PullFetcher, open_following
from cx.pulls import Cancelled, Credentials
from cx.pulls.values import Pull, PullId
from cx.settings import load

PASSWORD = f"ghs_{os.getpid()}_{os.urandom(8).hex()}"  # no other test that runs now has it
GITHUB = "https://github.com/acme/shop.git"
LIMITS = Limits(timeout_s=20, size_bytes=4 << 20, files=100)


class World:
    """acme/shop and acme/lib on one server. `elsewhere` is another one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.leaked: list[str] = []
        self.looking = False
        self.server = HttpOrigin(folder, "x-access-token", PASSWORD, self.look)
        self.elsewhere = HttpOrigin(folder, "x-access-token", PASSWORD)
        self.shop, self.lib = Origin(folder / "acme", "shop"), Origin(folder / "acme", "lib")
        known = Credentials("x-access-token", PASSWORD)
        url = f"{self.server.url}/acme/shop.git"
        self.remote = Remote("acme/shop", url, known, submodules=("acme/*",), lfs=True)
        self.fetching = Fetching(Sources(folder / "state"), LIMITS)

    def look(self) -> None:
        """Arguments and environments of all processes that hold the password."""
        for process in Path("/proc").iterdir() if self.looking else ():
            for part in ("cmdline", "environ"):
                try:
                    if process.name.isdigit() and PASSWORD.encode() in (process / part).read_bytes():
                        self.leaked.append(f"{process.name}/{part}")
                except OSError:
                    continue

    def publish(self, origin: Origin) -> str:
        """Its newest commit is what a submodule can name."""
        origin.git("push", "--quiet", "--force", str(origin.bare), "HEAD:refs/heads/main")
        return origin.git("rev-parse", "HEAD")

    def fetched(self, number: int = 7, **changes: Any) -> str:
        return self.fetching.fetch(replace(self.remote, **changes), number, self.shop.push(number))

    def files(self, tree: str) -> dict[str, bytes]:
        with self.fetching.sources.checkout(Namespace("preview-7"), self.remote.project, tree) as checkout:
            return {str(one.relative_to(checkout)): one.read_bytes() for one in checkout.rglob("*") if one.is_file()}

    def mirror(self) -> Path:
        return self.fetching.sources.mirror(self.remote.project)

    def add_large(self, origin: Origin, content: bytes, *, size: int | None = None, path: str = "a.bin") -> str:
        text, oid = pointer(content, size)
        origin.commit({".gitattributes": "*.bin filter=lfs diff=lfs merge=lfs -text\n", path: text})
        self.server.large[oid] = content
        return oid


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.server.close()
    world.elsewhere.close()


# --- submodules


def test_a_submodule_is_in_its_place(world):
    world.looking = True
    world.lib.commit({"lib.py": "lib\n", "bin/run": "#!/bin/sh\n"})
    world.shop.module("vendor/lib", "../lib.git", world.publish(world.lib))
    files = world.files(world.fetched())
    assert files["vendor/lib/lib.py"] == b"lib\n"
    assert files["vendor/lib/bin/run"] == b"#!/bin/sh\n"
    assert files["README"] == b"hello\n"
    assert world.leaked == []


def test_it_is_the_commit_that_the_link_names(world):
    world.lib.commit({"lib.py": "old\n"})
    old = world.publish(world.lib)
    world.lib.commit({"lib.py": "new\n"})
    world.publish(world.lib)
    world.shop.module("lib", "../lib.git", old)
    assert world.files(world.fetched())["lib/lib.py"] == b"old\n"


def test_without_a_word_of_the_host_it_stays_an_empty_folder(world):
    world.shop.module("lib", "../lib.git", world.publish(world.lib))
    files = world.files(world.fetched(submodules=()))
    assert not [name for name in files if name.startswith("lib/")]
    assert not [path for path, _ in world.server.requests if "lib" in path]


def test_a_submodule_of_a_submodule(world):
    inner = Origin(world.folder / "acme", "inner")
    inner.commit({"deep.py": "deep\n"})
    world.lib.module("inner", "../inner.git", world.publish(inner))
    world.shop.module("lib", "../lib.git", world.publish(world.lib))
    assert world.files(world.fetched())["lib/inner/deep.py"] == b"deep\n"


def test_a_chain_without_end_is_ended(world):
    """Seven repositories, each in the one before."""
    below = world.publish(world.lib)
    url = "../lib.git"
    for number in range(6):
        one = Origin(world.folder / "acme", f"n{number}")
        one.module("x", url, below)
        below, url = world.publish(one), f"../n{number}.git"
    world.shop.module("lib", url, below)
    with pytest.raises(Refused, match="more than 5 deep"):
        world.fetched()


def test_one_repository_twice_and_its_files_count_twice(world):
    world.lib.commit({f"f{n}": "" for n in range(60)})
    sha = world.publish(world.lib)
    world.shop.module("a", "../lib.git", sha)
    world.fetched()
    world.shop.module("b", "../lib.git", sha)
    with pytest.raises(Terminal, match="more than 100 files"):
        world.fetched()


def test_too_many_submodules_are_refused(world, monkeypatch):
    monkeypatch.setattr("cx.git.whole.MODULES_MAX", 2)
    sha = world.publish(world.lib)
    for name in "abc":
        world.shop.module(name, "../lib.git", sha)
    with pytest.raises(Refused, match="more than 2 submodules"):
        world.fetched()


def test_the_size_of_all_together_is_limited(world):
    for name in ("lib", "more"):
        one = world.lib if name == "lib" else Origin(world.folder / "acme", name)
        one.commit({"big": os.urandom(3 << 20)})
        world.shop.module(name, f"../{name}.git", world.publish(one))
    with pytest.raises(Terminal, match="4 MiB"):
        world.fetched()
    assert sum(one.stat().st_size for one in world.mirror().rglob("*") if one.is_file()) < 1 << 20


def test_a_second_fetch_brings_only_what_is_new(world):
    world.lib.commit({"big": os.urandom(1 << 20)})
    world.shop.module("lib", "../lib.git", world.publish(world.lib))
    world.fetched(7)
    world.shop.commit({"app.py": "x\n"})
    world.fetched(8)
    packs = sorted((world.mirror() / "objects" / "pack").glob("*.pack"), key=lambda one: one.stat().st_mtime_ns)
    assert sum(one.stat().st_size for one in packs) < 3 << 19


def test_what_one_repository_gave_is_not_taken_for_anothers(world):
    """A commit that is in the mirror, named as one of another repository: that one is asked, and has it not."""
    world.lib.commit({"secret.py": "x\n"})
    secret = world.publish(world.lib)
    world.shop.module("lib", "../lib.git", secret)
    world.fetched(7)
    Origin(world.folder / "other", "tool")
    world.server.public.add("other")
    world.shop.git("reset", "--quiet", "--hard", "HEAD~1")
    world.shop.module("tool", "../../other/tool.git", secret)
    with pytest.raises(Retryable, match="not our ref"):
        world.fetched(8, submodules=("acme/*", "other/tool"), trusted=False)


def test_what_a_stranger_wrote_gets_public_submodules_only(world):
    world.shop.module("lib", "../lib.git", world.publish(world.lib))
    world.fetched(7)
    with pytest.raises(Retryable, match="without credentials"):
        world.fetched(8, trusted=False)
    world.server.public.add("acme")
    world.server.requests.clear()
    assert "lib/README" in world.files(world.fetched(8, trusted=False))
    assert {given for path, given in world.server.requests if "/lib.git" in path} == {""}


HOSTILE = [
    ("../../other/tool.git", "is not allowed"),
    ("https://example.com/acme/lib.git", "is not allowed"),
    ("file:///etc", "is not allowed"),
    ("/etc", "is not allowed"),
    ("./../../acme/../other/tool.git", "is not a URL"),
    ("https://github.com/acme/../other/tool", "is not a URL"),
    ("https://github.com/acme/%2e%2e/other/tool", "is not a URL"),
    ("https://u:p@github.com/acme/lib", "is not a URL"),
    ("https://github.com/acme/lib?x=1", "is not a URL"),
    ("https://github.com/acme/lib\n", "is not a URL"),
    ("../../../../lib.git", "above the server's root"),
    ("../../../../../example.com/acme/lib", "above the server's root"),
    ("git://github.com/acme/lib", "is not a URL"),
    ("ext::sh -c id", "is not a URL"),
    ("git@-oProxyCommand=id:x/y", "is not a URL"),
    ("acme/lib", "is not a URL"),
    ("-uid", "is not a URL"),
    ("", "is not a URL"),
]


@pytest.mark.parametrize(("url", "why"), HOSTILE)
def test_what_is_not_allowed_is_refused(url, why):
    main = Remote("acme/shop", GITHUB, Credentials("u", "p"), submodules=("acme/*",))
    with pytest.raises(Refused, match=why):
        remote_of(main, main, Module("lib", url))


def test_what_is_not_allowed_is_not_even_asked(world):
    world.shop.module("lib", "../../other/tool.git", "1" * 40)
    with pytest.raises(Refused, match="is not allowed"):
        world.fetched()
    assert not [path for path, _ in world.server.requests if "shop" not in path]


@pytest.mark.parametrize("url", ["ext::sh -c id", "-uid", "--upload-pack=id", "https://x/\n/y"])
def test_what_git_itself_finds_hostile(world, url):
    quoted = '"' + url.replace("\n", "\\n") + '"'
    world.shop.module("lib", quoted, "1" * 40)
    with pytest.raises((Refused, Terminal), match=r"submodule|sound|URL"):
        world.fetched()
    assert not [path for path, _ in world.server.requests if "shop" not in path]


def module_text(path: str = "lib", url: str = "../lib", name: str = "lib") -> str:
    return f"submodule.{name}.path\n{path}\0submodule.{name}.url\n{url}\0"


@pytest.mark.parametrize(
    "path",
    ["../x", ".git/hooks", ".GIT/hooks", "a/../b", "/etc", "a//b", "git~1/x", ".git ./x", "-x", "a\\b", "a\nb", ""],
)  # fmt: skip
def test_hostile_paths_and_names(path):
    with pytest.raises(Refused, match="at the path"):
        modules_of("acme/shop#7", module_text(path=path))
    with pytest.raises(Refused, match="with the name"):
        modules_of("acme/shop#7", module_text(name=path.replace("\n", "\t")))


def test_two_submodules_at_one_path():
    with pytest.raises(Refused, match="at the path"):
        modules_of("acme/shop#7", module_text() + module_text(name="other"))


def test_plain_paths_are_taken():
    text = module_text(path="git/a.git.d/x") + "submodule.off.path\ny\0submodule.off.update\nnone\0core.hooksPath\nx\0"
    assert modules_of("x", text) == {"git/a.git.d/x": Module("git/a.git.d/x", "../lib"), "y": Module("y", "")}


def test_a_submodule_that_git_leaves_out_is_left_out(world):
    world.shop.module("lib", "../lib.git\n\tupdate = none", "1" * 40)
    assert world.fetched()


def test_a_link_that_gitmodules_does_not_name(world):
    world.shop.git("update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},lib")
    world.shop.git("commit", "--quiet", "-m", "x")
    with pytest.raises(Refused, match="does not name it"):
        world.fetched()


def test_gitmodules_that_is_a_link(world):
    blob = world.shop.git("hash-object", "-w", "--", "README")
    lines = f"120000 blob {blob}\t.gitmodules\n160000 commit {'1' * 40}\tlib\n"
    tree = make_tree(world.shop, lines)
    sha = world.shop.push(7, sha=world.shop.git("commit-tree", "-m", "x", tree))
    with pytest.raises(Terminal, match="not sound"):
        world.fetching.fetch(world.remote, 7, sha)
    found = Listing(links={"lib": "1" * 40}, gitmodules=Blob("120000", blob, 6))  # had git not seen it
    with pytest.raises(Refused, match="is not a file"):
        Whole(Runner(world.mirror(), "x", LIMITS), world.remote, world.mirror(), 7)._submodules(
            world.remote, "", found, 0
        )


def test_a_symbolic_link_out_of_a_submodule(world):
    (world.lib.work / "up").symlink_to("../../../etc")
    world.lib.commit({})
    world.shop.module("lib", "../lib.git", world.publish(world.lib))
    tree = world.fetched()
    with pytest.raises(Terminal, match="symbolic link"):
        world.files(tree)
    (world.lib.work / "up").unlink()
    (world.lib.work / "up").symlink_to("../README")  # into the repository around it
    world.lib.commit({})
    world.shop.git("reset", "--quiet", "--hard", "HEAD~1")
    world.shop.module("lib", "../lib.git", world.publish(world.lib))
    assert "lib/up" in world.files(world.fetched())


def test_credentials_stay_on_their_server(world):
    world.elsewhere.public.add("acme")
    world.shop.module("lib", f"{world.elsewhere.url}/acme/lib.git", world.publish(world.lib))
    files = world.files(world.fetched(submodules=(f"{world.elsewhere.url}/acme/*",)))
    assert "lib/README" in files
    assert world.elsewhere.requests
    assert {given for _, given in world.elsewhere.requests} == {""}
    world.shop.commit({"app.py": "x\n"})
    world.fetched(8, submodules=(f"{world.elsewhere.url}/acme/*",))
    said, sent = (b"".join(one.bodies) for one in (world.elsewhere, world.server))
    assert b"have " in sent
    mine = set(world.shop.git("rev-list", "HEAD").split()) - set(world.lib.git("rev-list", "HEAD").split())
    assert len(mine) > 1
    assert [sha for sha in mine if sha.encode() in said] == []  # nor does it hear of commits that are not its own


def test_a_local_path_where_the_host_allows_it(world):
    url = f"file://{world.lib.bare}"
    world.shop.module("lib", url, world.publish(world.lib))
    with pytest.raises(Refused, match="only https"):
        world.fetched(submodules=(url,))
    assert "lib/README" in world.files(world.fetched(submodules=(url,), local=True))


def test_it_is_ended_when_nobody_wants_it_any_more(world):
    world.shop.module("lib", "../lib.git", world.publish(world.lib))
    head, began = world.shop.push(7), time.monotonic()
    world.server.before = lambda path: time.sleep(3) if "/lib.git" in path else None
    with pytest.raises(Cancelled):
        world.fetching.fetch(
            world.remote, 7, head, lambda: any("/lib.git" in path for path, _ in world.server.requests)
        )
    assert time.monotonic() - began < 3
    assert list((world.mirror() / "incoming").iterdir()) == []


def test_the_time_of_all_together_is_limited(world):
    world.shop.module("lib", "../lib.git", world.publish(world.lib))
    world.server.before = lambda path: time.sleep(0.4)
    quick = Fetching(world.fetching.sources, replace(LIMITS, timeout_s=1))
    with pytest.raises(Retryable, match="more than 1 s"):
        quick.fetch(world.remote, 7, world.shop.push(7))


@pytest.mark.parametrize(
    ("url", "base", "expected"),
    [
        ("../lib.git", GITHUB, "https://github.com/acme/lib.git"),
        ("./lib", "https://github.com/acme/shop/", "https://github.com/acme/shop/lib"),
        ("../../other/tool", GITHUB, "https://github.com/other/tool"),
        ("git@github.com:acme/lib.git", GITHUB, "https://github.com/acme/lib.git"),
        ("ssh://git@github.com/acme/lib.git", GITHUB, "https://github.com/acme/lib.git"),
        ("git@git.example.com:x/y", GITHUB, "https://git.example.com/x/y"),
        ("git@127.0.0.1:x/y", "http://127.0.0.1:8080/acme/shop", "http://127.0.0.1:8080/x/y"),
        ("https://example.com/x/y/", GITHUB, "https://example.com/x/y/"),
    ],
)
def test_where_a_submodule_is(url, base, expected):
    assert resolved("x", url, base) == expected


@pytest.mark.parametrize(
    ("pattern", "url", "allowed"),
    [
        ("acme/lib", "https://github.com/acme/lib.git", True),
        ("Acme/Lib", "https://github.com/acme/lib", True),
        ("acme/lib", "https://github.com/acme/lib2", False),
        ("acme/*", "https://github.com/acme/x", True),
        ("acme/*", "https://github.com/acmeevil/x", False),
        ("acme/*", "https://example.com/acme/x", False),
        ("https://example.com/a/*", "https://example.com/a/b/c.git", True),
        ("https://example.com/a/*", "https://example.com.evil/a/b", False),
        ("https://example.com/a/*", "https://example.com:444/a/b", False),
        ("https://example.com/a", "https://example.com/a/b", False),
        ("https://example.com/*", "https://example.com/a/b", True),
    ],
)
def test_which_submodules_are_allowed(pattern, url, allowed):
    main = Remote("acme/shop", GITHUB, Credentials("u", "p"), submodules=(pattern,))
    if not allowed:
        with pytest.raises(Refused, match="is not allowed"):
            remote_of(main, main, Module("lib", url))
        return
    found = remote_of(main, main, Module("lib", url))
    assert (found.url, bool(found.credentials)) == (url, url.startswith("https://github.com/"))


@pytest.mark.parametrize("fork", [False, True])
def test_what_the_host_configuration_says_is_what_is_fetched(world, tmp_path, fork):
    world.shop.module("lib", "../lib.git", world.publish(world.lib))
    world.server.public.add("acme")
    (tmp_path / "host.toml").write_text(
        f'state_dir = "{tmp_path / "state"}"\n[github]\nallow_local = true\n'
        f'[github.repositories."acme/shop"]\nurl = "{world.remote.url}"\nsubmodules = ["acme/*"]\nlfs = true\n'
    )
    fetcher = PullFetcher(Host(load(tmp_path / "host.toml", {})), NoForge())
    pull = Pull(PullId("acme/shop", 7), 1, 2 if fork else 1, world.shop.push(7), "main", open=True)
    assert pull.fork == fork
    assert replace(fetcher.remote(pull), credentials=None) == replace(
        world.remote, credentials=None, trusted=not fork, local=True
    )
    project, tree = fetcher.fetch(pull, lambda: False)
    assert project == world.remote.project
    assert "lib/README" in world.files(tree)


def test_a_host_that_git_does_not_let_in_says_so(world, tmp_path):
    (tmp_path / "host.toml").write_text(
        f'state_dir = "{tmp_path / "state"}"\n[github]\nallow_local = true\n'
        f'[github.repositories."acme/shop"]\nurl = "{world.remote.url}"\n'
    )
    pull = Pull(PullId("acme/shop", 7), 1, 1, world.shop.push(7), "main", open=True)
    with open_following(Host(load(tmp_path / "host.toml", {})), github=(NoForge(), None)) as following:
        with pytest.raises(Retryable):
            following.follower.fetcher.fetch(pull, lambda: False)
        assert "git is not allowed to fetch a repository" in following.problems()
        world.server.public.add("acme")
        following.follower.fetcher.fetch(pull, lambda: False)
        assert "git is not allowed to fetch a repository" not in following.problems()


class NoForge:
    def credentials(self, repository: str) -> None:
        return None

    def refused(self) -> list[str]:
        return []


# --- large files


def test_a_large_file_is_in_its_place(world):
    world.looking = True
    content = os.urandom(200_000)
    world.add_large(world.shop, content)
    files = world.files(world.fetched())
    assert files["a.bin"] == content
    assert world.leaked == []


def test_without_a_word_of_the_host_pointers_stay(world):
    world.add_large(world.shop, b"x" * 1000)
    assert world.files(world.fetched(lfs=False))["a.bin"].startswith(b"version https://git-lfs")
    assert not [path for path, _ in world.server.requests if "lfs" in path]


def test_only_what_the_attributes_say_is_large(world):
    """A text that looks like a pointer, and a file that is none."""
    text, _ = pointer(b"x" * 1000)
    world.add_large(world.shop, b"y" * 1000)
    world.shop.commit({"looks.txt": text, "plain.bin": b"z" * 300})
    files = world.files(world.fetched())
    assert files["looks.txt"] == text.encode()
    assert files["plain.bin"] == b"z" * 300
    assert files["a.bin"] == b"y" * 1000


def test_a_large_file_comes_once(world):
    world.add_large(world.shop, os.urandom(100_000))
    tree = world.fetched(7)
    world.server.requests.clear()
    assert world.fetched(8) == tree
    assert not [path for path, _ in world.server.requests if "large" in path or "lfs" in path]


def test_a_large_file_of_a_submodule_comes_from_there(world):
    content = os.urandom(5000)
    world.add_large(world.lib, content)
    world.shop.module("lib", "../lib.git", world.publish(world.lib))
    assert world.files(world.fetched())["lib/a.bin"] == content
    assert [path for path, _ in world.server.requests if path == "/acme/lib.git/info/lfs/objects/batch"]


def test_what_one_repository_gave_is_not_anothers_large_file(world):
    """Its id alone does not open a file that another repository's fetch has brought."""
    content = os.urandom(5000)
    oid = world.add_large(world.lib, content)
    world.shop.module("lib", "../lib.git", world.publish(world.lib))
    world.fetched(7)
    world.add_large(world.shop, content)
    del world.server.large[oid]
    with pytest.raises(Terminal, match="404"):
        world.fetched(8)


def test_where_lfsconfig_points_is_not_asked(world):
    world.add_large(world.shop, b"x" * 1000)
    world.shop.commit({".lfsconfig": f"[lfs]\n\turl = {world.elsewhere.url}/lfs\n"})
    assert world.files(world.fetched())["a.bin"] == b"x" * 1000
    assert world.elsewhere.requests == []


def test_large_files_from_another_server_get_no_credentials(world):
    content = os.urandom(5000)
    oid = world.add_large(world.shop, content)
    world.elsewhere.large[oid] = content
    world.server.large_at = world.elsewhere.url
    assert world.files(world.fetched())["a.bin"] == content
    assert {given for _, given in world.elsewhere.requests} == {""}


def test_the_password_is_in_no_file(world):
    world.add_large(world.shop, b"x" * 1000)
    world.shop.module("lib", "../lib.git", world.publish(world.lib))
    world.fetched()
    assert len([given for _, given in world.server.requests if given]) > 4
    for file in (world.folder / "state").rglob("*"):
        assert not file.is_file() or PASSWORD.encode() not in file.read_bytes(), file


@pytest.mark.parametrize("content", [b"y" * 1000, b"x" * 999, b"x" * 1001, b""])
def test_content_that_is_not_what_the_pointer_says(world, content):
    oid = world.add_large(world.shop, b"x" * 1000)
    world.server.large[oid] = content
    with pytest.raises((Terminal, Retryable), match="not what its pointer says"):
        world.fetched()
    assert list((world.mirror() / "incoming").iterdir()) == []


def test_more_than_the_limit_is_not_even_asked_for(world):
    world.add_large(world.shop, b"x" * 1000, size=5 << 20)
    with pytest.raises(Terminal, match="4 MiB"):
        world.fetched()
    assert not [path for path, _ in world.server.requests if "lfs" in path]


def test_pointers_that_lie_about_the_size_of_a_file_that_is_there(world):
    """It was brought before, and counts as what it is: a thousand small pointers are not a thousand large files."""
    content = b"x" * 100_000
    world.add_large(world.shop, content)
    world.fetched(7)
    world.add_large(world.shop, content, size=1)
    with pytest.raises((Terminal, Retryable), match="not what its pointer says"):
        world.fetched(8)
    text, _ = pointer(content)
    world.shop.commit({"b.bin": text})
    with pytest.raises(Refused, match="different sizes"):
        world.fetched(9)


def test_one_large_file_many_times_counts_each_time(world):
    text, oid = pointer(b"x" * 100_000)
    world.server.large[oid] = b"x" * 100_000
    world.shop.commit({".gitattributes": "*.bin filter=lfs\n"} | {f"{n}.bin": text for n in range(60)})
    with pytest.raises(Terminal, match="4 MiB"):
        world.fetched()
    assert not [path for path, _ in world.server.requests if "lfs" in path]


def test_refs_that_git_has_packed_are_forgotten_too(world):
    world.add_large(world.shop, os.urandom(5000))
    world.shop.module("lib", "../lib.git", world.publish(world.lib))
    world.fetched(7)
    subprocess.run(["git", "--git-dir", str(world.mirror()), "pack-refs", "--all"], check=True)
    world.fetching.forget(world.remote, 7)
    run = ["git", "--git-dir", str(world.mirror()), "for-each-ref"]
    assert subprocess.check_output(run, text=True) == ""


def test_a_submodule_below_a_symbolic_link(world):
    """vendor leads out, and vendor/lib is a submodule: git's own tree cannot say that, and no file is written there."""
    blob = subprocess.run(
        ["git", "-C", str(world.shop.work), "hash-object", "-w", "--stdin"],
        input="/tmp",
        text=True,
        check=True,
        capture_output=True,
    ).stdout.strip()
    inner = make_tree(world.shop, f"160000 commit {world.publish(world.lib)}\tlib\n")
    modules = world.shop.git("hash-object", "-w", "--", str(text_file(world, module_file("vendor/lib", "../lib.git"))))
    tree = make_tree(
        world.shop,
        f"100644 blob {modules}\t.gitmodules\n120000 blob {blob}\tvendor\n040000 tree {inner}\tvendor\n",
    )
    sha = world.shop.push(7, sha=world.shop.git("commit-tree", "-m", "x", tree))
    with pytest.raises(Terminal):
        world.fetching.fetch(world.remote, 7, sha)


def make_tree(origin: Origin, lines: str) -> str:
    argv = ["git", "-C", str(origin.work), "mktree", "--missing"]
    return subprocess.run(argv, input=lines, text=True, capture_output=True, check=True).stdout.strip()


def module_file(path: str, url: str) -> str:
    return f'[submodule "x"]\n\tpath = {path}\n\turl = {url}\n'


def text_file(world: World, text: str) -> Path:
    file = world.folder / "text"
    file.write_text(text)
    return file


def batch(change: Callable[[dict[str, Any]], object]) -> Callable[[dict[str, Any]], Any]:
    def distorted(answer: dict[str, Any]) -> Any:
        change(answer["objects"][0])
        return answer

    return distorted


def href(url: str) -> Callable[[dict[str, Any]], Any]:
    return batch(lambda one: one["actions"]["download"].update(href=url))


@pytest.mark.parametrize(
    ("distort", "why"),
    [
        (lambda answer: [], "not of the batch API"),
        (lambda answer: {"objects": "x"}, "not of the batch API"),
        (lambda answer: {"objects": []}, "says nothing of"),
        (lambda answer: {**answer, "transfer": "ssh"}, "no plain downloads"),
        (batch(lambda one: one.pop("actions")), "not of the batch API"),
        (batch(lambda one: one.update(oid="../../x")), "says nothing of"),
        (href("file:///etc/passwd"), "not take"),
        (href("http://example.com/x"), "not https"),
        (href("ftp://example.com/x"), "not https"),
        (href("https://u:p@example.com/x"), "not take"),
        (href(""), "not take"),
        (batch(lambda one: one["actions"]["download"].update(header={"X": "a\r\nHost: evil"})), "Invalid header"),
        (batch(lambda one: one["actions"]["download"].update(header="x")), "not of the batch API"),
    ],
)
def test_a_batch_api_that_answers_nonsense(tmp_path, distort, why):
    server, oid = HttpOrigin(tmp_path, "u", PASSWORD), hashlib.sha256(b"x" * 1000).hexdigest()
    server.public.add("acme")
    server.large[oid], server.distort = b"x" * 1000, distort
    order = {"url": f"{server.url}/acme/shop.git/info/lfs", "authorization": "", "folder": str(tmp_path)}
    try:
        with pytest.raises(Failure, match=why):
            bring({**order, "objects": [{"oid": oid, "size": 1000}]})
    finally:
        server.close()


def test_a_redirection_of_large_files_is_not_followed(world):
    oid = world.add_large(world.shop, b"x" * 1000)
    world.elsewhere.large[oid] = b"x" * 1000

    def turn(path: str) -> None:
        world.server.elsewhere = world.elsewhere.url if "batch" in path else ""

    world.server.before = turn
    with pytest.raises(Retryable, match="answers 302"):
        world.fetched()
    assert world.elsewhere.requests == []


def test_a_download_is_ended_when_nobody_wants_it_any_more(world):
    world.add_large(world.shop, b"x" * 1000)
    head, began = world.shop.push(7), time.monotonic()
    world.server.before = lambda path: time.sleep(3) if "/large/" in path else None
    with pytest.raises(Cancelled):
        world.fetching.fetch(world.remote, 7, head, lambda: any("/large/" in path for path, _ in world.server.requests))
    assert time.monotonic() - began < 3


def test_what_was_forgotten_keeps_nothing(world):
    world.add_large(world.shop, os.urandom(50_000))
    world.shop.module("lib", "../lib.git", world.publish(world.lib))
    world.fetched(7)
    world.fetching.forget(world.remote, 7)
    run = ["git", "--git-dir", str(world.mirror()), "for-each-ref"]
    assert subprocess.check_output(run, text=True) == ""


def test_it_outlives_git_cleaning_up(world):
    content = os.urandom(50_000)
    world.add_large(world.shop, content)
    world.shop.module("lib", "../lib.git", world.publish(world.lib))
    tree = world.fetched(7)
    run = ["git", "--git-dir", str(world.mirror()), "gc", "--quiet", "--prune=now"]
    subprocess.run(run, check=True)
    files = world.files(tree)
    assert hashlib.sha256(files["a.bin"]).digest() == hashlib.sha256(content).digest()
    assert "lib/README" in files
    assert world.fetched(8) == tree
