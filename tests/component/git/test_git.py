"""Sources with the real git: what a folder holds is what is deployed, and nothing of its own is run or changed."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from cx.core.errors import Invalid, Retryable, Terminal
from cx.core.names import Namespace
from cx.core.origin import Origin
from cx.core.source import Source
from cx.git import Sources, project_of
from cx.git import sources as git

PR = Namespace("preview-1")
NO_PROJECT = "none-00000000"


@pytest.fixture
def sources(tmp_path: Path) -> Sources:
    return Sources(tmp_path / "state")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "app"
    folder.mkdir()
    (folder / "app.py").write_text("print(1)\n")
    return folder


@pytest.fixture
def repo(folder: Path) -> Path:
    run(folder, "init", "--quiet", "--initial-branch=main")
    commit(folder)
    return folder


def run(folder: Path, *argv: str) -> str:
    env = {
        "PATH": os.environ["PATH"], "HOME": str(folder.parent), "GIT_CONFIG_NOSYSTEM": "1", "LC_ALL": "C",
        "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b",
        "GIT_AUTHOR_DATE": "2024-01-01T00:00:00Z", "GIT_COMMITTER_DATE": "2024-01-01T00:00:00Z",
    }  # fmt: skip
    argv = ("git", "-c", "protocol.file.allow=always", *argv)
    return subprocess.run(argv, cwd=folder, env=env, check=True, capture_output=True, text=True).stdout.strip()


def commit(folder: Path) -> str:
    run(folder, "add", "--all")
    run(folder, "commit", "--quiet", "--allow-empty", "-m", "x")
    return run(folder, "rev-parse", "HEAD")


def files(sources: Sources, source: Source) -> dict[str, bytes]:
    """What a checkout of `source` holds."""
    with sources.checkout(PR, source.project, source.tree) as checkout:
        found = (one for one in sorted(checkout.rglob("*")) if one.is_file() or one.is_symlink())
        return {
            str(one.relative_to(checkout)): os.readlink(one).encode() if one.is_symlink() else one.read_bytes()
            for one in found
        }


def state(folder: Path) -> dict[str, tuple[bytes, int, int]]:
    """All there is below `folder`, by content, mode and time of change."""
    return {
        str(one.relative_to(folder)): (one.read_bytes(), one.stat().st_mode, one.stat().st_mtime_ns)
        for one in folder.rglob("*")
        if one.is_file()
    }


# --- what is read
def test_a_folder_that_is_no_repository(sources: Sources, folder: Path) -> None:
    source = sources.read(folder)
    assert (source.commit, source.dirty, source.origin) == ("", False, Origin.folder(folder))
    assert files(sources, source) == {"app.py": b"print(1)\n"}
    assert not (folder / ".git").exists()


def test_a_clean_repository(sources: Sources, repo: Path) -> None:
    source = sources.read(repo)
    assert source.commit == run(repo, "rev-parse", "HEAD")
    assert source.tree == run(repo, "rev-parse", "HEAD^{tree}")
    assert not source.dirty


def test_changed_new_and_removed_files_count(sources: Sources, repo: Path) -> None:
    (repo / "gone").write_text("x")
    head = commit(repo)
    (repo / "gone").unlink()
    (repo / "app.py").write_text("print(2)\n")
    (repo / "new").write_text("new")
    source = sources.read(repo)
    assert source.commit == head
    assert source.dirty
    assert files(sources, source) == {"app.py": b"print(2)\n", "new": b"new"}


def test_what_was_read_before_is_not_mixed_in(sources: Sources, folder: Path) -> None:
    (folder / "old").write_text("x")
    sources.read(folder)
    (folder / "old").unlink()
    assert files(sources, sources.read(folder)) == {"app.py": b"print(1)\n"}


def test_ignored_files_do_not_count(sources: Sources, repo: Path) -> None:
    (repo / ".gitignore").write_text("*.log\nsecrets/\n")
    (repo / "a.log").write_text("x")
    (repo / "secrets").mkdir()
    (repo / "secrets" / "key").write_text("x")
    assert set(files(sources, sources.read(repo))) == {".gitignore", "app.py"}


def test_the_repository_s_own_folder_does_not_count(sources: Sources, repo: Path) -> None:
    assert not any(".git" in Path(name).parts for name in files(sources, sources.read(repo)))


def test_a_repository_without_a_commit(sources: Sources, folder: Path) -> None:
    run(folder, "init", "--quiet")
    source = sources.read(folder)
    assert (source.commit, source.dirty) == ("", False)
    assert set(files(sources, source)) == {"app.py"}


def test_a_subfolder_of_a_repository(sources: Sources, repo: Path) -> None:
    (repo / "sub" / "deep").mkdir(parents=True)
    (repo / "sub" / "deep" / "a").write_text("a")
    head = commit(repo)
    source = sources.read(repo / "sub")
    assert files(sources, source) == {"deep/a": b"a"}
    assert (source.commit, source.dirty) == (head, False)
    (repo / "app.py").write_text("changed beside it")
    assert not sources.read(repo / "sub").dirty
    assert files(sources, sources.read(repo / "sub", "main")) == {"deep/a": b"a"}


def test_an_empty_folder(sources: Sources, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert files(sources, sources.read(tmp_path / "empty")) == {}


@pytest.mark.parametrize("name", ["two\nlines", "näme", "\udcff\udcfe", " space ", "-rf", "tab\t", 'quo"te', "\\"])
def test_names_of_files_are_kept_as_they_are(sources: Sources, folder: Path, name: str) -> None:
    (folder / name).write_text("x")
    assert files(sources, sources.read(folder))[name] == b"x"


def test_modes_and_links_are_kept(sources: Sources, folder: Path) -> None:
    (folder / "run").write_text("#!/bin/sh\n")
    (folder / "run").chmod(0o755)
    (folder / "link").symlink_to("run")
    source = sources.read(folder)
    with sources.checkout(PR, source.project, source.tree) as checkout:
        assert os.access(checkout / "run", os.X_OK)
        assert os.readlink(checkout / "link") == "run"


# --- --ref
def test_a_commit_branch_or_tag(sources: Sources, repo: Path) -> None:
    first = run(repo, "rev-parse", "HEAD")
    run(repo, "tag", "v1.0")
    run(repo, "branch", "feature/x")
    (repo / "app.py").write_text("print(2)\n")
    second = commit(repo)
    (repo / "app.py").write_text("changed in the folder")
    for ref in (first, first[:10], "v1.0", "feature/x"):
        source = sources.read(repo, ref)
        assert (source.commit, source.dirty) == (first, False)
        assert files(sources, source) == {"app.py": b"print(1)\n"}
    assert sources.read(repo, "main").commit == second


@pytest.mark.parametrize(
    "ref",
    ["nosuch", "0" * 40, "--upload-pack=x", "-x", "a..b", "HEAD^{/x}", "@{-1}", "a b", "$(id)", "a\nb", "main:app.py",
     "x" * 300, "../../x", "refs/heads/*", "\x1b[2J"],
)  # fmt: skip
def test_a_bad_ref(sources: Sources, repo: Path, ref: str) -> None:
    with pytest.raises(Invalid) as caught:
        sources.read(repo, ref)
    assert caught.value.where == "--ref"
    looked_up = ref in ("nosuch", "0" * 40)  # git is not even asked for the others
    assert ("is no commit of" in caught.value.problem) == looked_up
    assert str(caught.value).isprintable()


def test_a_ref_that_is_a_blob(sources: Sources, repo: Path) -> None:
    with pytest.raises(Invalid, match="is no commit"):
        sources.read(repo, run(repo, "rev-parse", "HEAD:app.py"))


def test_a_ref_in_a_folder_that_is_no_repository(sources: Sources, folder: Path) -> None:
    with pytest.raises(Invalid, match="is no commit"):
        sources.read(folder, "main")


def test_a_subfolder_that_the_commit_does_not_have(sources: Sources, repo: Path) -> None:
    (repo / "sub").mkdir()
    (repo / "sub" / "a").write_text("a")
    with pytest.raises(Terminal):
        sources.read(repo / "sub", "main")


def test_a_path_that_is_a_file_or_nothing(sources: Sources, folder: Path) -> None:
    for path in (folder / "app.py", folder / "nosuch"):
        with pytest.raises(Invalid, match=r"PATH: .*is not a folder"):
            sources.read(path)


# --- what a folder brings is hostile
@pytest.mark.parametrize(
    "links",
    [
        pytest.param({"a": "../../outside"}, id="directly"),
        pytest.param({"a": "/etc/passwd"}, id="absolute"),
        pytest.param({"a": "b", "b": "../../outside"}, id="through another"),
        pytest.param({"dir/up": "..", "a": "dir/up/up/../../outside"}, id="through a folder's link"),
        pytest.param({"d": "..", "a": "d/../outside"}, id="through its parent"),
        pytest.param({"a": "../nosuch"}, id="to nothing"),
        pytest.param({"a": ".."}, id="to the folder above"),
    ],
)
def test_a_link_that_leaves_the_repository(sources: Sources, folder: Path, links: dict[str, str]) -> None:
    for name, target in links.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).symlink_to(target)
    source = sources.read(folder)
    with (
        pytest.raises(Terminal, match="symbolic link that leaves the repository"),
        sources.checkout(PR, source.project, source.tree),
    ):
        pytest.fail("a checkout was given")
    assert sources.checkouts(PR) == ()


@pytest.mark.parametrize(
    "links", [{"a": "app.py"}, {"a": "b", "b": "app.py"}, {"d/a": "../app.py"}, {"a": "a"}, {"a": "."}]
)
def test_a_link_that_stays_inside(sources: Sources, folder: Path, links: dict[str, str]) -> None:
    for name, target in links.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).symlink_to(target)
    assert set(files(sources, sources.read(folder))) == {"app.py", *links}


def test_nothing_of_the_repository_is_run(sources: Sources, repo: Path, tmp_path: Path) -> None:
    """Hooks, filters, file system monitors, credential helpers, external diffs: of its configuration and attributes."""
    proof = tmp_path / "proof"
    script = tmp_path / "evil"
    script.write_text(f"#!/bin/sh\necho $0 $* >> {proof}\ncat\n")
    script.chmod(0o755)
    hooks = repo / ".git" / "hooks"
    hooks.mkdir(exist_ok=True)
    for hook in ("post-checkout", "pre-commit", "post-index-change", "reference-transaction", "post-commit"):
        (hooks / hook).symlink_to(script)
    (repo / ".gitattributes").write_text("*.py filter=evil diff=evil\n")
    commit_ = commit(repo)
    proof.unlink(missing_ok=True)
    for key in (
        "filter.evil.clean", "filter.evil.smudge", "filter.evil.process", "core.fsmonitor", "diff.evil.textconv",
        "core.sshCommand", "core.pager", "core.editor", "uploadpack.packObjectsHook", "core.askPass",
    ):  # fmt: skip
        run(repo, "config", key, str(script))
    run(repo, "config", "core.hooksPath", str(hooks))
    (repo / "app.py").write_text("print(2)\n")
    proof.unlink(missing_ok=True)
    source = sources.read(repo)
    sources.keep(PR, source)
    assert files(sources, source)["app.py"] == b"print(2)\n"
    assert files(sources, sources.read(repo, commit_))["app.py"] == b"print(1)\n"
    assert not proof.exists(), proof.read_text()


def test_nothing_is_run_though_it_were_in_the_mirror(sources: Sources, folder: Path, tmp_path: Path) -> None:
    """The second line: hooks and filters stay off, wherever they are set up."""
    proof, script = tmp_path / "proof", tmp_path / "evil"
    script.write_text(f"#!/bin/sh\ntouch {proof}\ncat\n")
    script.chmod(0o755)
    mirror = sources.folder / "git" / f"{sources.read(folder).project}.git"
    for hook in ("post-index-change", "reference-transaction", "post-checkout"):
        (mirror / "hooks" / hook).symlink_to(script)
    for key in ("filter.evil.clean", "filter.evil.smudge"):
        run(mirror, "config", key, str(script))
    proof.unlink(missing_ok=True)
    (folder / ".gitattributes").write_text("* filter=evil\n")
    (folder / "app.py").write_text("print(2)\n")
    source = sources.read(folder)
    sources.keep(PR, source)
    assert files(sources, source)["app.py"] == b"print(2)\n"
    assert not proof.exists()


def test_attributes_of_the_repository_change_no_content(sources: Sources, folder: Path) -> None:
    content = b"$Id$\r\nline\n"
    (folder / ".gitattributes").write_text("* text eol=crlf ident export-subst working-tree-encoding=UTF-16\n")
    (folder / "app.py").write_bytes(content)
    source = sources.read(folder)
    assert files(sources, source)["app.py"] == content


def test_nothing_is_written_into_the_repository(sources: Sources, repo: Path) -> None:
    (repo / "app.py").write_text("changed")
    (repo / "new").write_text("x")
    before = state(repo)
    source = sources.read(repo)
    sources.keep(PR, source)
    files(sources, source)
    sources.read(repo, "main")
    sources.forget(PR, source.project)
    assert state(repo) == before


def test_a_submodule_is_left_out(sources: Sources, repo: Path, tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / "secret").write_text("x")
    run(inner, "init", "--quiet")
    commit(inner)
    run(repo, "submodule", "--quiet", "add", str(inner), "module")
    commit(repo)
    assert set(files(sources, sources.read(repo, "main"))) == {".gitmodules", "app.py"}
    assert set(files(sources, sources.read(repo))) == {".gitmodules", "app.py"}


@pytest.mark.parametrize("variable", ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY"])
def test_variables_of_ours_lead_nowhere(
    sources: Sources, repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """As in a git hook, which is run with them."""
    monkeypatch.setenv(variable, str(tmp_path / "elsewhere"))
    assert files(sources, sources.read(repo)) == {"app.py": b"print(1)\n"}


def test_a_folder_that_is_too_big(sources: Sources, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = sources.read(folder)
    monkeypatch.setattr(git, "MAX_BYTES", 5)
    with pytest.raises(Terminal, match="more than cx takes"), sources.checkout(PR, source.project, source.tree):
        pass


def test_a_commit_that_holds_one_folder_a_billion_times(sources: Sources, repo: Path) -> None:
    """Some twenty objects; listed as a whole it would take the memory of the host."""

    def made(*argv: str, text: str) -> str:
        done = subprocess.run(["git", "-C", str(repo), *argv], input=text, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    one = made("hash-object", "-w", "--stdin", text="x")
    tree = made("mktree", text="".join(f"100644 blob {one}\tf{n}\n" for n in range(10)))
    for _ in range(9):
        tree = made("mktree", text="".join(f"040000 tree {tree}\td{n}\n" for n in range(10)))
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.com")
    commit = made(*identity, "commit-tree", tree, text="a bomb")
    source = sources.read(repo, commit)
    with pytest.raises(Terminal, match="more than cx takes"), sources.checkout(PR, source.project, source.tree):
        pass


# --- the mirror
def test_the_digest_of_a_path_changes_with_its_content_only(sources: Sources, folder: Path) -> None:
    for name in ("web", "api"):
        (folder / name).mkdir()
        (folder / name / "a").write_text(name)
    one = sources.read(folder)
    (folder / "api" / "a").write_text("other")
    two = sources.read(folder)

    def digest(source: Source, path: str) -> str:
        return sources.digest(source.project, source.tree, path)

    assert digest(one, "web") == digest(two, "web")
    assert digest(one, "api") != digest(two, "api")
    assert digest(one, ".") == one.tree != two.tree
    assert digest(one, "./web/") == digest(one, "web")


def test_a_tree_that_is_kept_outlives_housekeeping(sources: Sources, folder: Path) -> None:
    source = sources.read(folder)
    sources.keep(PR, source)
    mirror = sources.folder / "git" / f"{source.project}.git"
    (mirror / "cx-index").unlink()
    run(mirror, "gc", "--quiet", "--prune=now")
    assert files(sources, source) == {"app.py": b"print(1)\n"}
    sources.forget(PR, source.project)
    run(mirror, "gc", "--quiet", "--prune=now")
    with pytest.raises(Retryable, match="deploy from the folder again"):
        files(sources, source)


def test_forgetting_can_be_repeated(sources: Sources, folder: Path) -> None:
    sources.forget(PR, NO_PROJECT)
    source = sources.read(folder)
    sources.keep(PR, source)
    sources.forget(PR, source.project)
    sources.forget(PR, source.project)


def test_a_lock_that_a_dead_process_has_left_is_no_obstacle(sources: Sources, folder: Path) -> None:
    source = sources.read(folder)
    (sources.folder / "git" / f"{source.project}.git" / "cx-index.lock").touch()
    (folder / "new").write_text("x")
    assert set(files(sources, sources.read(folder))) == {"app.py", "new"}


def test_a_mirror_that_was_begun_only_is_finished(sources: Sources, folder: Path) -> None:
    (sources.folder / "git" / f"{project_of(folder)}.git").mkdir(parents=True)
    assert files(sources, sources.read(folder)) == {"app.py": b"print(1)\n"}


def test_a_checkout_goes_with_its_block_and_is_seen_until_then(sources: Sources, folder: Path) -> None:
    source = sources.read(folder)
    with sources.checkout(PR, source.project, source.tree) as checkout:
        assert source.tree in sources.checkouts(PR)
        assert sources.checkouts(Namespace("preview-2")) == ()
    assert not checkout.exists()
    assert sources.checkouts(PR) == ()


def test_what_a_dead_checkout_left_is_not_in_the_next(sources: Sources, folder: Path) -> None:
    source = sources.read(folder)
    left = sources.folder / "checkouts" / str(PR) / source.tree
    left.mkdir(parents=True)
    (left / "stale").write_text("x")
    assert sources.checkouts(PR) == (source.tree,)
    assert files(sources, source) == {"app.py": b"print(1)\n"}
    left.mkdir(parents=True)
    sources.remove_checkouts(PR)
    assert sources.checkouts(PR) == ()


def test_two_folders_of_one_name_are_two_projects(tmp_path: Path) -> None:
    assert project_of(tmp_path / "a" / "app") != project_of(tmp_path / "b" / "app")
    assert project_of(tmp_path / "ÄÖ $(id)").startswith("id-")
    assert project_of(tmp_path / "Ä").startswith("project-")
