"""Whose folders are deployed, and that neither a repository nor an environment leads git elsewhere."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from workshop import Workshop, used

from cx.core.errors import Invalid, Terminal
from cx.git import Sources, repository

NOBODY = 65534


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)


@pytest.fixture
def sources(tmp_path: Path) -> Sources:
    return Sources(tmp_path / "state")


# --- whose a folder is
def give_away(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another user has it; where the tests may not do that, whoever has it now is another one."""
    if os.geteuid() == 0:
        os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
    else:
        monkeypatch.setattr(repository, "callers", lambda: {os.geteuid() + 1})


@pytest.mark.parametrize("ref", ["", "HEAD"])
@pytest.mark.parametrize("part", ["", ".git", ".git/objects", "link", "worktree"])
def test_another_users_folder_is_refused(
    shop: Workshop, sources: Sources, monkeypatch: pytest.MonkeyPatch, part: str, ref: str
) -> None:
    """As git itself does; and in one line, which says what to do."""
    folder = deployed = shop.repository("app")
    given = folder / part
    if part == "link":
        given = (folder / ".git").rename(shop.folder / "elsewhere")
        (folder / ".git").write_text(f"gitdir: {given}\n")
    elif part == "worktree":
        deployed, given = shop.folder / "linked", folder / ".git"
        shop.git(folder, "worktree", "add", "--quiet", str(deployed))
    give_away(given, monkeypatch)
    with pytest.raises(Invalid) as caught:
        sources.read(deployed, ref)
    said = str(caught.value)
    assert said.startswith("PATH: ")
    assert "belongs to" in said
    assert "run it as" in said
    assert "\n" not in said
    assert not sources.folder.exists()


def test_a_repository_above_of_another_user_is_refused(
    shop: Workshop, sources: Sources, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shop.repository("app")
    give_away(folder / ".git", monkeypatch)
    with pytest.raises(Invalid, match="belongs to"):
        sources.read(folder / "sub")


@pytest.mark.parametrize(
    ("uid", "sudo", "expected"),
    [
        (0, "", {0}), (0, "1000", {0, 1000}), (0, "x", {0}), (1000, "", {0, 1000}), (1000, "1001", {0, 1000}),
    ],
)  # fmt: skip
def test_whose_folders_are_read(monkeypatch: pytest.MonkeyPatch, uid: int, sudo: str, expected: set[int]) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    monkeypatch.setenv("SUDO_UID", sudo)
    assert repository.callers() == expected


# --- what leads elsewhere
@pytest.fixture
def private(shop: Workshop) -> str:
    """The tree of a repository that is the caller's alone, as somebody knows it who has seen a commit's id."""
    folder = shop.repository("private")
    (folder / "secret").write_text("the caller's own\n")
    shop.commit(folder)
    return shop.git(folder, "rev-parse", "HEAD^{tree}")


def commit_of(shop: Workshop, folder: Path, tree: str) -> None:
    """HEAD is a commit of somebody else's tree, which need not be in the repository."""
    text = f"tree {tree}\nauthor t <t@example.com> 0 +0000\ncommitter t <t@example.com> 0 +0000\n\nx\n"
    commit = shop.git(folder, "hash-object", "-t", "commit", "-w", "--literally", "--stdin", stdin=text)
    (folder / ".git" / "refs" / "heads" / "main").write_text(f"{commit}\n")


def alternates(theirs: Path, private: Path) -> None:
    (theirs / "info" / "alternates").write_text(f"{'#' * (80 << 10)}\n{private}\n")


def linked_alternates(theirs: Path, private: Path) -> None:
    (theirs / "elsewhere").write_text(f"{private}\n")
    (theirs / "info" / "alternates").symlink_to(theirs / "elsewhere")


def linked_folders(theirs: Path, private: Path) -> None:
    for folder in private.iterdir():
        if len(folder.name) == 2 and not (theirs / folder.name).exists():
            (theirs / folder.name).symlink_to(folder)


def linked_files(theirs: Path, private: Path) -> None:
    for file in private.glob("??/*"):
        (theirs / file.parent.name).mkdir(exist_ok=True)
        if not (theirs / file.parent.name / file.name).exists():
            (theirs / file.parent.name / file.name).symlink_to(file)


def linked_store(theirs: Path, private: Path) -> None:
    for file in theirs.glob("??/*"):
        (private / file.parent.name).mkdir(exist_ok=True)
        shutil.copy(file, private / file.parent.name / file.name)
    shutil.rmtree(theirs)
    theirs.symlink_to(private)


@pytest.mark.parametrize("way", [alternates, linked_alternates, linked_folders, linked_files, linked_store])
def test_no_objects_of_another_repository_are_deployed(
    shop: Workshop, sources: Sources, private: str, way: Callable[[Path, Path], None]
) -> None:
    folder = shop.repository("app")
    commit_of(shop, folder, private)
    way(folder / ".git" / "objects", shop.folder / "private" / ".git" / "objects")
    with pytest.raises(Terminal, match=r"takes objects from elsewhere .*; deploy it without --ref"):
        sources.read(folder, "HEAD")
    assert used(sources, folder)  # its files are its own


@pytest.mark.parametrize("place", [".git", ".git/HEAD", ".git/commondir", ".git/config"])
@pytest.mark.parametrize("kind", ["pipe", "dangling", "loop", "folder", "junk"])
def test_a_repository_that_is_none_holds_nobody_up(shop: Workshop, sources: Sources, place: str, kind: str) -> None:
    folder = shop.repository("app")
    if (path := folder / place).is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "junk":
        path.write_bytes(b"gitdir: \0\xff\n" * 100_000)
    else:
        path.symlink_to(path if kind == "loop" else "nowhere")
    source = used(sources, folder)
    assert source
    assert used(sources, folder, "HEAD") is None or place in (".git/commondir", ".git/config")


# --- the environment of whoever calls cx
@pytest.mark.parametrize(
    "variable",
    ["GIT_SSH_COMMAND", "GIT_PROXY_COMMAND", "GIT_EXTERNAL_DIFF", "GIT_ASKPASS", "GIT_EDITOR", "GIT_PAGER", "PAGER"],
)
def test_programs_of_the_environment_are_not_run(
    shop: Workshop, sources: Sources, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    folder = shop.repository("app")
    monkeypatch.setenv(variable, str(shop.evil))
    assert used(sources, folder)
    assert used(sources, folder, "HEAD")
    assert not shop.ran


def test_configuration_of_the_environment_is_not_read(
    shop: Workshop, sources: Sources, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shop.repository("app")
    home = shop.folder / "home"
    home.mkdir()
    text = f'[filter "evil"]\n\tclean = {shop.evil}\n[core]\n\tfsmonitor = {shop.evil}\n'
    for name in (".gitconfig", "named"):
        (home / name).write_text(text)
    (folder / ".gitattributes").write_text("* filter=evil\n")
    for name, value in {
        "HOME": str(home), "XDG_CONFIG_HOME": str(home), "GIT_CONFIG_GLOBAL": str(home / "named"),
        "GIT_CONFIG_SYSTEM": str(home / "named"), "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "filter.evil.clean",
        "GIT_CONFIG_VALUE_0": str(shop.evil), "GIT_CONFIG_PARAMETERS": f"'filter.evil.clean'='{shop.evil}'",
        "GIT_TRACE": str(shop.folder / "proof"), "GIT_ALLOW_PROTOCOL": "ext",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    assert used(sources, folder)
    assert not shop.ran


@pytest.mark.parametrize("path", ["{}:", ":{}", ".:{}", "{}::", "sub:{}"])
def test_no_program_comes_from_the_folder(
    shop: Workshop, sources: Sources, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """An empty or relative folder in PATH is the one in which a program is started."""
    folder = shop.repository("app")
    for place in (folder, folder / "sub"):
        shutil.copy(shop.evil, place / "git")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PATH", path.format(os.environ["PATH"]))
    assert used(sources, folder)
    assert not shop.ran
