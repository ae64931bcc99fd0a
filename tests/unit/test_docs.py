"""The documentation says what the code does: commands, options, settings, links, tests, exit codes."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from cx import __version__
from cx.cli.main import app
from cx.core import errors
from cx.host import Host
from cx.project.cx_toml import Document
from cx.schema import leaves
from cx.settings import HostFile, load

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")],
    key=lambda page: page.relative_to(ROOT).parts,
)
REFERENCES = ("cx-toml.md", "host-configuration.md")  # made from the structs; their own tests hold them
COMMANDS = typer.main.get_command(app)

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:typer")


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(text: str, *languages: str) -> Iterator[str]:
    for language, body in re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        if language in languages:
            yield body


def prose(text: str) -> str:
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def in_blocks(text: str) -> Iterator[str]:
    """The `cx ...` lines that a reader would type, without what a shell makes of the rest."""
    for body in blocks(text, "sh", "console"):
        for line in body.splitlines():
            if re.match(r"\s*(?:\$ )?cx ", line):
                yield line.strip().removeprefix("$ ")


def in_prose(text: str) -> Iterator[str]:
    """`cx ...` in running text and tables: a command, perhaps with less than it needs."""
    for quoted in re.findall(r"`(cx [^`]+)`", prose(text)):
        yield " ".join(quoted.split())


def found(words: list[str]) -> tuple[Any, list[str]]:
    """The command that `words` name, and what is left of them. Fails when there is none."""
    command: Any = COMMANDS
    while words and hasattr(command, "commands") and not words[0].startswith("-"):
        assert words[0] in command.commands, f"there is no command {words[0]}"
        command, words = command.commands[words[0]], words[1:]
    return command, words


def options(command: Any) -> set[str]:
    own = {name for one in command.params for name in (*one.opts, *one.secondary_opts) if name.startswith("-")}
    return own | {"--help", "-h"}


def usages() -> list[Any]:
    return [pytest.param(line, id=f"{named(page)}: {line}") for page in PAGES for line in in_blocks(page.read_text())]


def mentions() -> list[Any]:
    return [pytest.param(line, id=f"{named(page)}: {line}") for page in PAGES for line in in_prose(page.read_text())]


@pytest.mark.parametrize("line", usages())
def test_every_command_in_a_block_is_one_that_cx_takes(line: str) -> None:
    words = shlex.split(line, comments=True)[1:]
    command, rest = found(words)
    assert not hasattr(command, "commands"), "a group is no command"
    command.make_context("cx", list(rest))  # parses, and runs nothing


@pytest.mark.parametrize("line", mentions())
def test_every_command_in_the_text_is_there(line: str) -> None:
    words = shlex.split(line)[1:]
    if words[0] == "COMMAND":  # any
        return
    command, rest = found(words)
    for word in rest:
        if word == "--":
            break
        if word.startswith("-"):
            assert word.partition("=")[0] in options(command), f"there is no option {word}"


def test_the_examples_are_seen() -> None:
    """The two tests above look at something."""
    assert len(usages()) > 15
    assert len(mentions()) > 30
    with pytest.raises(AssertionError):
        found(["deploi"])
    command, _ = found(["deploy"])
    assert "--force" not in options(command)


def test_every_command_is_in_the_readme() -> None:
    told = set(in_prose((ROOT / "README.md").read_text()))
    for name, command in COMMANDS.commands.items():  # type: ignore[attr-defined]
        for inner in getattr(command, "commands", {"": None}):
            full = f"cx {name} {inner}".strip()
            assert any(one == full or one.startswith(f"{full} ") for one in told), full


# --- settings


def keys_of(type_: type) -> set[str]:
    """Every key, and every table, with `*` for names."""
    keys = {".".join(key) for key, _ in leaves(type_)}
    return keys | {key.rpartition(".")[0] for key in keys} | {key.partition(".")[0] for key in keys}


def matches(key: str, keys: set[str]) -> bool:
    """`databases.app.source` is `databases.*.source`, `environments.*` any environment."""
    parts = key.replace("<name>", "*").split(".")
    for known in keys:
        wanted = known.split(".")
        if len(wanted) == len(parts) and all(w in ("*", p) or p == "*" for w, p in zip(wanted, parts, strict=True)):
            return True
    return False


HOST_KEYS = keys_of(HostFile) | {"github.repositories.*.env"}
PROJECT_KEYS = keys_of(Document) | {"environment", "databases.*.env"}
TABLES = {key.partition(".")[0] for key in HOST_KEYS | PROJECT_KEYS if "." in key}


def settings_mentioned() -> list[Any]:
    """`limits.memory` and `[databases.app]` in running text, of pages that are not made from the code."""
    cases = []
    for page in PAGES:
        if page.name in REFERENCES:
            continue
        for quoted in re.findall(r"`\[?([a-z_]+(?:\.[a-z_*<>]+)*)\]?(?: allow)?`", prose(page.read_text())):
            if quoted.partition(".")[0] in TABLES and "." in quoted:
                cases.append(pytest.param(quoted, id=f"{named(page)}: {quoted}"))
    return cases


@pytest.mark.parametrize("key", settings_mentioned())
def test_every_setting_that_is_mentioned_is_there(key: str) -> None:
    assert matches(key, HOST_KEYS | PROJECT_KEYS)


def test_settings_that_are_not_there_are_seen() -> None:
    assert len(settings_mentioned()) > 5
    assert not matches("limits.memori", HOST_KEYS)
    assert matches("databases.app.source", HOST_KEYS)


def test_every_variable_is_one_of_cx() -> None:
    known = {f"CX_{'_'.join(key)}".upper() for key, _ in leaves(HostFile) if "*" not in key}
    known |= {"CX_CONFIG", "CX_UPDATE_GOLDEN", "CX_REMOTE", "CX_REMOTE_TOKEN"}
    for page in PAGES:
        if page.name not in REFERENCES:
            text = page.read_text()
            assert set(re.findall(r"\bCX_[A-Z_]+\b(?!<)", text)) - {"CX_"} <= known, named(page)


def documents() -> list[Any]:
    return [
        pytest.param(body, id=f"{named(page)}: {number}")
        for page in PAGES
        if page.name not in REFERENCES
        for number, body in enumerate(blocks(page.read_text(), "toml"))
    ]


@pytest.mark.parametrize("text", documents())
def test_every_document_loads(text: str, tmp_path: Path) -> None:
    from cx.project.reading import read_document

    first = text.partition("\n")[0]
    assert first in ("# host.toml", "# cx.toml"), "say which it is in its first line"
    path = tmp_path / first.removeprefix("# ")
    path.write_text(text)
    if path.name == "host.toml":
        load(path, {})
    else:
        read_document(tmp_path)


# --- docs/github.md


GITHUB = (ROOT / "docs" / "github.md").read_text()


def test_commands_in_comments_are_those_of_the_code() -> None:
    from cx.pulls.commands import USAGE

    told = re.findall(r"^\| `(/cx [^`]+)` \| (.+) \|$", GITHUB, re.MULTILINE)
    assert told == list(USAGE.values())


def test_metrics_are_those_of_the_code(tmp_path: Path) -> None:
    from cx.host.following import open_following
    from cx.web.metrics import Depth, Metrics

    (tmp_path / "host.toml").write_text(f'state_dir = "{tmp_path}"\n[github]\ntoken = "none"\n')
    told = set(re.findall(r"`(cx_[a-z_]+)`", GITHUB))
    with open_following(Host(load(tmp_path / "host.toml", {}))) as following:
        following.follower.telling.announcer.connection.budget.answered("", 5000, 5000, float("inf"))
        text = Metrics(Depth, following.chores, following.gauges).text().decode()
        following.host.close()
    assert told == set(re.findall(r"^# HELP (cx_[a-z_]+) ", text, re.MULTILINE))


def test_answers_of_the_listener_are_those_of_the_code() -> None:
    code = (ROOT / "cx" / "web" / "webhook.py").read_text()
    told = {int(status) for status in re.findall(r"^\| (4\d\d|503) \|", GITHUB, re.MULTILINE)}
    assert told == {int(status) for status in re.findall(r"NotTaken\((\d+)", code)} - {408}


# --- links, tests, files


def slug(heading: str) -> str:
    plain = re.sub(r"[^\w\- ]", "", heading.replace("`", "").lower())
    return plain.strip().replace(" ", "-")


def anchors(page: Path) -> set[str]:
    return {slug(heading) for heading in re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)}


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page.read_text())):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), target
        assert there.is_relative_to(ROOT), target
        if anchor and there.suffix == ".md":
            assert anchor in anchors(there), target


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_test_and_file_that_is_named_is_there(page: Path) -> None:
    text = prose(page.read_text())
    for file, test in re.findall(r"`(tests/[\w/.]+\.py)::(\w+)`", text):
        assert (ROOT / file).is_file(), file
        assert re.search(rf"^def {test}\(", (ROOT / file).read_text(), re.MULTILINE), f"{file}::{test}"
    for file in re.findall(r"`((?:cx|compose|templates|scripts|tests|docs|examples)/\w[\w/.-]*)`", text):
        assert file == "cx/preview" or (ROOT / file).exists(), file  # that one is the commit status


def test_the_threat_model_names_tests() -> None:
    text = (ROOT / "docs" / "threat-model.md").read_text()
    assert len(set(re.findall(r"`tests/[\w/.]+\.py::\w+`", text))) > 30


def test_the_index_lists_every_decision() -> None:
    folder = ROOT / "docs" / "decisions"
    index = (folder / "README.md").read_text()
    pages = sorted(one.name for one in folder.glob("0*.md"))
    assert [int(name[:4]) for name in pages] == list(range(len(pages)))
    for name in pages:
        assert f"]({name})" in index, name
        assert (folder / name).read_text().startswith(f"# {int(name[:4])}. "), name


def test_exit_codes_are_those_of_the_errors() -> None:
    table = (ROOT / "docs" / "guide.md").read_text().partition("Exit codes:")[2].partition("\n\n`cx exec")[0]
    told = {int(code) for code in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)}
    classes = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, errors.CxError)]
    raised = {one.exit_code for one in classes}
    assert told == raised | {0, 130}


def test_states_are_those_of_the_code() -> None:
    table = (ROOT / "docs" / "guide.md").read_text().partition("States in `cx list`:")[2].partition("## ")[0]
    told = set(re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE))
    code = (ROOT / "cx" / "host" / "view.py").read_text().partition("def state(")[2].partition("\ndef ")[0]
    made = re.findall(r'"([^"]+)"', code.partition('"""')[2].partition('"""')[2])
    assert told == set(made)


def test_the_changelog_knows_this_version() -> None:
    assert re.search(rf"^## {re.escape(__version__)}\b", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
