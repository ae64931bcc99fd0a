"""A folder that is deployed brings a repository, written by who is hostile: nothing of it runs."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from workshop import Workshop, used

from cx.git import Sources, program


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)


@pytest.fixture
def sources(tmp_path: Path) -> Sources:
    return Sources(tmp_path / "state")


SETTINGS = ("GIT_ALLOW_PROTOCOL", "GIT_NO_LAZY_FETCH", "safe.bareRepository")
Attack = Callable[[Workshop, Path], list[str]]  # arms the repository; gives what would set it off


def by_ext(shop: Workshop, folder: Path) -> list[str]:
    shop.promise(folder, f"ext::{shop.evil} x", protocol__ext__allow="always", protocol__allow="always")
    return ["rev-parse", "HEAD^{commit}"]


def by_upload_pack(shop: Workshop, folder: Path) -> list[str]:
    shop.promise(folder, f"file://{folder}", remote__p__uploadpack=str(shop.evil), protocol__file__allow="always")
    return ["rev-parse", "HEAD^{commit}"]


def by_ssh(shop: Workshop, folder: Path) -> list[str]:
    shop.promise(folder, "ssh://host/x", core__sshCommand=str(shop.evil))
    return ["rev-parse", "HEAD^{commit}"]


def by_proxy(shop: Workshop, folder: Path) -> list[str]:
    shop.promise(folder, "git://host/x", core__gitProxy=str(shop.evil))
    return ["rev-parse", "HEAD^{commit}"]


def by_missing_tree(shop: Workshop, folder: Path) -> list[str]:
    head, tree = (folder / ".git" / "refs" / "heads" / "main").read_text(), shop.git(folder, "rev-parse", "HEAD^{tree}")
    by_ext(shop, folder)
    (folder / ".git" / "refs" / "heads" / "main").write_text(head)
    (folder / ".git" / "objects" / tree[:2] / tree[2:]).unlink()
    return ["rev-parse", "HEAD:app.py"]


def by_missing_blob(shop: Workshop, folder: Path) -> list[str]:
    head, blob = (folder / ".git" / "refs" / "heads" / "main").read_text(), shop.git(folder, "rev-parse", "HEAD:app.py")
    by_upload_pack(shop, folder)
    (folder / ".git" / "refs" / "heads" / "main").write_text(head)
    (folder / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    return ["cat-file", "blob", "HEAD:app.py"]


def by_include(shop: Workshop, folder: Path) -> list[str]:
    argv = by_ext(shop, folder)
    (folder / ".git" / "config").rename(folder / ".git" / "more")
    (folder / ".git" / "config").write_text("[core]\n\trepositoryformatversion = 0\n[include]\n\tpath = more\n")
    return argv


def by_configuration_of_a_worktree(shop: Workshop, folder: Path) -> list[str]:
    argv = by_ext(shop, folder)
    (folder / ".git" / "config").rename(folder / ".git" / "config.worktree")
    text = "[core]\n\trepositoryformatversion = 1\n[extensions]\n\tworktreeConfig = true\n\tpartialClone = p\n"
    (folder / ".git" / "config").write_text(text)
    return argv


def by_monitor(shop: Workshop, folder: Path) -> list[str]:
    shop.config(folder, core__fsmonitor=str(shop.evil))
    return ["status"]


def by_hook(shop: Workshop, folder: Path) -> list[str]:
    hooks = shop.folder / "hooks"
    hooks.mkdir()
    for hook in ("post-checkout", "pre-commit", "post-index-change", "reference-transaction", "post-commit"):
        (hooks / hook).symlink_to(shop.evil)
    shop.config(folder, core__hooksPath=str(hooks))
    return ["commit", "--allow-empty", "-m", "x"]


def by_filter(kind: str, *argv: str) -> Attack:
    def armed(shop: Workshop, folder: Path) -> list[str]:
        (folder / ".gitattributes").write_text("* filter=evil diff=evil\n")
        shop.commit(folder)
        shop.config(folder, **{f"filter__evil__{kind}": str(shop.evil)})
        (folder / "app.py").write_text("print(2)\n")
        return list(argv)

    return armed


def by_diff(key: str, *argv: str) -> Attack:
    def armed(shop: Workshop, folder: Path) -> list[str]:
        (folder / ".git" / "info" / "attributes").write_text("* diff=evil\n")
        shop.config(folder, **{key: str(shop.evil)})
        (folder / "app.py").write_text("print(2)\n")
        return list(argv)

    return armed


def by_alternates(shop: Workshop, folder: Path) -> list[str]:
    shop.config(folder, core__alternateRefsCommand=str(shop.evil))
    other = shop.repository("other")
    (folder / ".git" / "objects" / "info" / "alternates").write_text(f"{other}/.git/objects\n")
    return ["fetch", str(shop.repository("third"))]


def by_signature(shop: Workshop, folder: Path) -> list[str]:
    shop.config(folder, gpg__program=str(shop.evil), log__showSignature="true")
    text = shop.git(folder, "cat-file", "commit", "HEAD").replace(
        "\n\n", "\ngpgsig -----BEGIN PGP SIGNATURE-----\n x\n -----END PGP SIGNATURE-----\n\n", 1
    )
    signed = shop.git(folder, "hash-object", "-t", "commit", "-w", "--stdin", stdin=text + "\n")
    (folder / ".git" / "refs" / "heads" / "main").write_text(f"{signed}\n")
    return ["log"]


def by_alias(shop: Workshop, folder: Path) -> list[str]:
    shop.config(folder, **{f"alias__{name}": f"!{shop.evil}" for name in ("rev-parse", "add", "zz")})
    return ["zz"]


ATTACKS = [
    pytest.param(by_ext, id="a promisor by ext::"),
    pytest.param(by_upload_pack, id="remote.uploadpack"),
    pytest.param(by_ssh, id="core.sshCommand"),
    pytest.param(by_proxy, id="core.gitProxy"),
    pytest.param(by_missing_tree, id="a tree of a promisor"),
    pytest.param(by_missing_blob, id="a blob of a promisor"),
    pytest.param(by_include, id="include.path"),
    pytest.param(by_configuration_of_a_worktree, id="config.worktree"),
    pytest.param(by_monitor, id="core.fsmonitor"),
    pytest.param(by_hook, id="core.hooksPath"),
    pytest.param(by_filter("clean", "add", "."), id="filter.clean"),
    pytest.param(by_filter("process", "add", "."), id="filter.process"),
    pytest.param(by_filter("smudge", "checkout", "app.py"), id="filter.smudge"),
    pytest.param(by_diff("diff__external", "diff"), id="diff.external"),
    pytest.param(by_diff("diff__evil__textconv", "diff"), id="diff.textconv"),
    pytest.param(by_diff("diff__evil__command", "diff"), id="diff.command"),
    pytest.param(by_alternates, id="core.alternateRefsCommand"),
    pytest.param(by_signature, id="gpg.program"),
    pytest.param(by_alias, id="an alias"),
]


@pytest.mark.parametrize("attack", ATTACKS)
def test_each_attack_is_one(shop: Workshop, attack: Attack) -> None:
    """Who works in the repository with git itself, without cx, is caught."""
    folder = shop.repository("app")
    argv = attack(shop, folder)
    shop.git(folder, *argv, check=False)
    assert shop.ran


def as_folder(shop: Workshop, folder: Path, sources: Sources) -> None:
    assert used(sources, folder)
    (folder / "app.py").write_text("print(3)\n")
    assert used(sources, folder)


def as_subfolder(shop: Workshop, folder: Path, sources: Sources) -> None:
    assert used(sources, folder / "sub")


def as_commit(shop: Workshop, folder: Path, sources: Sources) -> None:
    for ref in ("HEAD", "main"):
        used(sources, folder, ref)
        used(sources, folder / "sub", ref)


def embedded(shop: Workshop, folder: Path, sources: Sources) -> None:
    """git asks a repository that it knows of, inside of another, for its status."""
    parent = shop.folder / "parent"
    parent.mkdir()
    inner = folder.rename(parent / "inner")
    for name in ("config", "config.worktree"):
        if (path := inner / ".git" / name).exists():
            path.write_text(path.read_text().replace(str(folder), str(inner)))
    used(sources, parent)
    (inner / "app.py").write_text("print(4)\n")
    used(sources, parent)
    used(sources, parent)


def as_ordinary_files(shop: Workshop, folder: Path, sources: Sources) -> None:
    """A tracked folder of another repository, with the files of a bare one."""
    outer = shop.repository("outer")
    (folder / ".git").rename(outer / "data")
    if (outer / "data" / "config").exists():
        shop.git(outer, "--git-dir", str(outer / "data"), "config", "core.bare", "true")
    shop.commit(outer)
    for place in (outer, outer / "data", outer / "data" / "refs"):
        assert used(sources, place)
        used(sources, place, "HEAD")


@pytest.mark.parametrize("way", [as_folder, as_subfolder, as_commit, embedded, as_ordinary_files])
@pytest.mark.parametrize("attack", ATTACKS)
def test_a_deployment_runs_nothing(
    shop: Workshop, sources: Sources, attack: Attack, way: Callable[[Workshop, Path, Sources], None]
) -> None:
    folder = shop.repository("app")
    attack(shop, folder)
    (shop.folder / "proof").unlink(missing_ok=True)
    way(shop, folder, sources)
    assert not shop.ran


@pytest.mark.parametrize("way", [as_folder, as_subfolder, as_commit, embedded, as_ordinary_files])
@pytest.mark.parametrize("attack", [by_ext, by_upload_pack, by_ssh, by_missing_tree, by_missing_blob])
def test_a_deployment_reads_no_configuration(
    shop: Workshop,
    sources: Sources,
    monkeypatch: pytest.MonkeyPatch,
    attack: Attack,
    way: Callable[[Workshop, Path, Sources], None],
) -> None:
    """The second line: a git that knows none of the settings below does no harm either."""
    folder = shop.repository("app")
    attack(shop, folder)
    whole = program.environment

    def without_settings(*given: Any, **named: Any) -> dict[str, str]:
        return {key: value for key, value in whole(*given, **named).items() if key not in SETTINGS}

    monkeypatch.setattr(program, "environment", without_settings)
    monkeypatch.setattr(program, "_SAFE", ())
    way(shop, folder, sources)
    assert not shop.ran


@pytest.mark.parametrize("text", ["[core", "[core]\n\trepositoryformatversion = 99\n", "[core]\n\tworktree = /\n"])
def test_a_configuration_that_git_would_stumble_over_is_in_nobodys_way(
    shop: Workshop, sources: Sources, text: str
) -> None:
    folder = shop.repository("app")
    head = shop.git(folder, "rev-parse", "HEAD")
    (folder / ".git" / "config").write_text(text)
    for ref in ("", "main"):
        source = used(sources, folder, ref)
        assert source
        assert (source.commit, source.dirty) == (head, False)


# --- git as cx starts it
def started_with(kept: str, folder: Path) -> None:
    """What git is without the settings but `kept`, in a repository that it finds by itself."""
    around = {key: value for key, value in program.environment().items() if key == kept or key not in SETTINGS}
    argv = program.git("rev-parse", "HEAD^{commit}")
    if kept != "safe.bareRepository":
        at = argv.index("safe.bareRepository=explicit")
        del argv[at - 1 : at + 1]
    subprocess.run(argv, cwd=folder, env=around, capture_output=True, check=False)


@pytest.mark.parametrize("kept", ["none of them", *SETTINGS])
def test_each_setting_alone_keeps_ordinary_files_from_running_a_program(shop: Workshop, kept: str) -> None:
    folder = shop.repository("app")
    by_ext(shop, folder)
    data = (folder / ".git").rename(shop.folder / "data")
    shop.git(data, "--git-dir", str(data), "config", "core.bare", "true")
    started_with(kept, data)
    assert bool(shop.ran) == (kept == "none of them")


@pytest.mark.parametrize("kept", ["none of them", "GIT_ALLOW_PROTOCOL", "GIT_NO_LAZY_FETCH"])
@pytest.mark.parametrize("attack", [by_ext, by_upload_pack, by_ssh, by_proxy])
def test_each_of_two_settings_alone_keeps_a_lazy_fetch_from_running_a_program(
    shop: Workshop, attack: Attack, kept: str
) -> None:
    folder = shop.repository("app")
    attack(shop, folder)
    started_with(kept, folder)
    assert bool(shop.ran) == (kept == "none of them")


def test_the_way_of_a_fetch_is_the_only_one(shop: Workshop) -> None:
    folder = shop.repository("app")
    by_ext(shop, folder)
    around = program.environment(protocol="https")
    del around["GIT_NO_LAZY_FETCH"]
    subprocess.run(program.git("rev-parse", "HEAD^{commit}"), cwd=folder, env=around, capture_output=True, check=False)
    assert not shop.ran
