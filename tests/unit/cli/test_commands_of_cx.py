"""The command line without an engine: exit codes, one line for each error, and what is not even imported."""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from calling import Nobody, Said

# `cx deploy` begins with a thread that loads these; it would outlive its test, and with it the filters of warnings.
from cx.cli.goldens import _refresh
from cx.cli.namespaces import variables
from cx.cli.output import confirm, printable, table
from cx.cli.progress import Live
from cx.core.errors import BuildFailed, Busy, CxError, Invalid, Refused
from cx.core.names import NAMESPACE_RULE, Namespace
from cx.core.origin import Origin
from cx.core.state import Desired
from cx.host.goldens import Refreshed
from cx.process.locks import held
from cx.store import Database, Store

COMMANDS = (
    "deploy", "delete", "list", "show", "logs", "exec", "open", "events", "prune",
    "up", "down", "doctor", "config", "db",
)  # fmt: skip
# Docker's client leaves the socket open with which it reached no engine.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <socket.socket:pytest.PytestUnraisableExceptionWarning"
)
ESCAPES = "red \x1b[31m clear \x1b[2J bell \a title \x1b]0;x\a back \b c1 \x9b31m"


# --- flags
@pytest.mark.parametrize(
    ("command", "name"),
    [
        *((["deploy", "-n"], name) for name in ("Bad", "a--b", "", "../x", "x" * 41, "$(id)", "a\nb", "\x1b[2J")),
        *((command, "Bad") for command in (["delete", "--force", "-n"], ["show"], ["logs"], ["db", "drop"])),
    ],
)
def test_a_bad_namespace(cx: Callable[..., Said], host: Path, command: list[str], name: str) -> None:
    said = cx(*command, name)
    assert said.code == 2
    assert said.error.startswith("cx: namespace: ")
    assert said.error.endswith(f"{NAMESPACE_RULE}; for example preview-123")
    assert said.error.isprintable()
    assert not (host / "state").exists()


@pytest.mark.parametrize("value", ["x", "=x", "1A=x", "A-B=x", "A B=x", "", "A\n=x", "é=x", "A=1\0"])
def test_a_bad_variable(cx: Callable[..., Said], host: Path, value: str) -> None:
    said = cx("deploy", "-n", "preview-1", "--set", "OK=1", "--set", value)
    assert said.code == 2
    assert said.error.startswith("cx: --set: ")
    assert said.error.isprintable()
    assert not (host / "state").exists()


def test_the_value_of_a_bad_variable_is_not_printed(cx: Callable[..., Said]) -> None:
    assert "s3cret" not in cx("deploy", "-n", "preview-1", "--set", "A-B=s3cret").err


@pytest.mark.parametrize("value", ["", "A", "1", "a b", "../x", "a" * 41, "a\n"])
def test_a_bad_environment(cx: Callable[..., Said], host: Path, value: str) -> None:
    said = cx("deploy", "-n", "preview-1", "--environment", value)
    assert (said.code, said.error[:19]) == (2, "cx: --environment: ")
    assert not (host / "state").exists()


@pytest.mark.parametrize("value", ["--help", "-x", "a..b", "a b", "HEAD@{1}", "x" * 300, "a\x1b[2J"])
def test_a_bad_ref(cx: Callable[..., Said], host: Path, value: str) -> None:
    said = cx("deploy", "-n", "preview-1", f"--ref={value}")
    assert (said.code, said.error[:11]) == (2, "cx: --ref: ")
    assert said.error.isprintable()
    assert nothing_is_wanted(host)


@pytest.mark.parametrize("path", ["Dockerfile", "nosuch", "/dev/null"])
def test_a_path_that_is_no_folder(cx: Callable[..., Said], host: Path, path: str) -> None:
    said = cx("deploy", path, "-n", "preview-1")
    assert (said.code, said.error[:10]) == (2, "cx: PATH: ")
    assert said.error.endswith("is not a folder")
    assert nothing_is_wanted(host)


@pytest.mark.parametrize(
    "argv",
    [
        ["nosuch"], ["deploy"], ["deploy", "-n"], ["deploy", "a", "b", "-n", "preview-1"], ["list", "--nosuch"],
        ["logs", "preview-1", "--tail", "-1"], ["logs", "preview-1", "--tail", "many"], ["db", "nosuch"], ["show"],
        ["delete", "preview-1"], ["config", "set"], ["exec", "preview-1"],
    ],
)  # fmt: skip
def test_wrong_usage(cx: Callable[..., Said], host: Path, argv: list[str]) -> None:
    said = cx(*argv)
    assert said.code == 2
    assert "Error: " in said.err
    assert not (host / "state").exists()


def nothing_is_wanted(host: Path) -> bool:
    if not (host / "state" / "cx.db").exists():
        return True
    store = Store(Database(host / "state" / "cx.db"))
    try:
        return store.all_desired() == []
    finally:
        store.database.close()


# --- the state of things
@pytest.mark.parametrize(
    "argv", [["events", "preview-1"], ["open", "preview-1"], ["db", "reset", "preview-1", "--force"]]
)
def test_a_namespace_that_is_not_there(cx: Callable[..., Said], argv: list[str]) -> None:
    said = cx(*argv)
    assert (said.code, said.error) == (1, "cx: preview-1 does not exist; `cx list` shows what does")


@pytest.mark.parametrize(
    "argv",
    [
        ["list"], ["show", "preview-1"], ["delete", "-n", "preview-1", "--force"], ["prune", "--force"],
        ["down", "--force"], ["logs", "preview-1"], ["exec", "preview-1", "app"],
    ],
)  # fmt: skip
def test_without_an_engine_it_says_to_try_again(cx: Callable[..., Said], argv: list[str]) -> None:
    said = cx(*argv)
    gc.collect()
    assert said.code == 75
    assert "the Docker Engine does not answer; " in said.error


def test_an_error_for_a_program_is_one_json_object(cx: Callable[..., Said]) -> None:
    said = cx("list", "--json")
    gc.collect()
    assert said.code == 75
    facts = json.loads(said.out)
    assert facts["event"] == "error"
    assert "does not answer" in facts["error"]
    assert facts["remedy"]


@pytest.mark.parametrize("text", ["nosuch = 1", "domain = 1", "domain = [", "\0"])
def test_a_bad_host_configuration_names_the_file(cx: Callable[..., Said], host: Path, text: str) -> None:
    (host / "host.toml").write_text(text)
    for argv in (["list"], ["deploy", "-n", "preview-1"], ["config", "show"]):
        said = cx(*argv)
        assert said.code == 2
        assert str(host / "host.toml") in said.error
    assert not (host / "state").exists()


def test_a_file_of_state_that_is_no_database(cx: Callable[..., Said], host: Path) -> None:
    (host / "state").mkdir()
    (host / "state" / "cx.db").write_bytes(b"not a database\n" * 100)
    said = cx("events", "preview-1")
    assert said.code == 1
    assert str(host / "state" / "cx.db") in said.error


def test_with_nobody_to_ask_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", Nobody())
    with pytest.raises(CxError, match="there is nobody to ask here; say --force") as caught:
        confirm("Delete everything?", force=False)
    assert caught.value.exit_code == 1
    confirm("Delete everything?", force=True)


@pytest.mark.parametrize("argv", [["delete", "--namespace"], ["db", "reset"]])
def test_json_is_no_yes_for_what_a_pull_request_owns(cx: Callable[..., Said], host: Path, argv: list[str]) -> None:
    wish = Desired(Namespace("preview-1"), origin=Origin.pulls_of("acme/shop"), tree="a" * 40)
    store = Store(Database(host / "state" / "cx.db"))
    store.want(wish, 1.0)
    said = cx(*argv, "preview-1", "--json")
    assert (said.code, said.error) == (1, "cx: there is nobody to ask here; say --force")
    assert store.desired(Namespace("preview-1")) == wish
    store.database.close()


def test_reset_asks_before_it_wants_anything(cx: Callable[..., Said], host: Path) -> None:
    store = Store(Database(host / "state" / "cx.db"))
    store.want(Desired(Namespace("preview-1"), tree="a" * 40), 1.0)
    said = cx("db", "reset", "preview-1")
    assert (said.code, said.error) == (1, "cx: there is nobody to ask here; say --force")
    assert not store.desired(Namespace("preview-1")).reset_data
    store.database.close()


# --- errors
@pytest.mark.parametrize(
    ("error", "code"),
    [
        (CxError("x"), 1),
        (BuildFailed("x", remedy="y", log=["one", "two"]), 1),
        (Refused("compose.yml", ["services.a: no", "services.b: no"]), 1),
        (Invalid("cx.toml", "a.b", "is wrong"), 2),
        (Busy("x"), 75),
    ],
)
def test_an_error_is_its_log_and_one_line(
    cx: Callable[..., Said], monkeypatch: pytest.MonkeyPatch, error: CxError, code: int
) -> None:
    said = failing_with(cx, monkeypatch, error)
    *log, line = said.err.splitlines()
    assert said.code == code
    assert line == f"cx: {error}"
    assert log == [f"  | {one}" for one in error.log]
    assert said.out == ""


def test_an_interrupt(cx: Callable[..., Said], monkeypatch: pytest.MonkeyPatch) -> None:
    said = failing_with(cx, monkeypatch, KeyboardInterrupt())
    assert said.code == 130
    assert said.error.startswith("cx: interrupted; ")


def test_a_defect_is_its_traceback_and_one_line(cx: Callable[..., Said], monkeypatch: pytest.MonkeyPatch) -> None:
    said = failing_with(cx, monkeypatch, KeyError("some name"))
    assert said.code == 1
    *trace, place, line = said.err.splitlines()
    assert trace[0] == "Traceback (most recent call last):"
    assert trace[-1] == "KeyError: 'some name'"
    assert place.startswith("  | builtins.KeyError in cx.cli.namespaces, line ")
    assert line == "cx: a defect of cx ended it (KeyError); report it; the log of cx has the rest"


def failing_with(cx: Callable[..., Said], monkeypatch: pytest.MonkeyPatch, error: BaseException) -> Said:
    def fail(_: object) -> None:
        raise error

    monkeypatch.setattr("cx.host.open_host", fail)
    return cx("list")


# --- what a project says is not done to a terminal
def is_plain(text: str) -> bool:
    return all(char.isprintable() or char in "\t\n" for char in text)


def test_printable() -> None:
    assert is_plain(printable(ESCAPES))
    assert printable("plain ü\ttext ✓") == "plain ü\ttext ✓"
    assert "\n" not in printable("a\nb")


def test_an_error_prints_no_control_characters(cx: Callable[..., Said], monkeypatch: pytest.MonkeyPatch) -> None:
    said = failing_with(cx, monkeypatch, BuildFailed(ESCAPES, remedy=ESCAPES, log=[ESCAPES]))
    assert len(said.err.splitlines()) == 2
    assert is_plain(said.err)


def test_a_table_prints_no_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    table(["a"], [[ESCAPES], ["two\nlines"]], "")
    said = capsys.readouterr().out
    assert is_plain(said)
    assert len(said.splitlines()) == 3


def test_the_history_prints_no_control_characters(cx: Callable[..., Said], host: Path) -> None:
    store = Store(Database(host / "state" / "cx.db"))
    wish = Desired(Namespace("preview-1"), tree="a" * 40)
    store.want(wish, 1.0)
    store.end(store.begin(wish, 1.0), 2.0, "failed", ESCAPES, [ESCAPES])
    store.database.close()
    said = cx("events", "preview-1")
    assert said.code == 0
    assert "clear" in said.out
    assert is_plain(said.out)


def test_what_runs_without_the_lock_has_died(cx: Callable[..., Said], host: Path) -> None:
    store = Store(Database(host / "state" / "cx.db"))
    wish, lock = Desired(Namespace("preview-1"), tree="a" * 40), host / "state" / "locks" / "preview-1.lock"
    store.want(wish, 1.0)
    store.begin(wish, 1.0, "sleep")
    store.database.close()

    def told() -> list[str]:
        found = json.loads(cx("events", "preview-1", "--json").out)["deployments"]
        return [f"{one['doing']} {one['outcome']}" for one in found]

    with held(lock, "sleep"):
        assert told() == ["sleep running"]
    assert told() == ["sleep died"]
    lock.write_text("{}")  # as kill -9 leaves it
    assert told() == ["sleep died"]
    assert lock.exists()


def test_the_live_view_prints_no_control_characters() -> None:
    live = Live()
    live.step_began("build")
    live.line("build", ESCAPES)
    assert is_plain(live._now().plain)


def test_the_live_view_keeps_what_was_waited_for(capsys: pytest.CaptureFixture[str]) -> None:
    live = Live()
    live.line("wait", f"preview-1: app waits for the build of [red]{ESCAPES}")
    printed = capsys.readouterr().out
    assert printed.startswith("  … preview-1: app waits for the build of [red]")
    assert is_plain(printed)
    assert live._now().plain == ""


def test_each_step_is_one_line_of_a_narrow_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "32")
    live = Live()
    live.step_ended("build a-long-service-of-a-project", 0.0, 12.5, "done")
    live.step_ended("probe", 0.0, 1.5, "failed")
    assert capsys.readouterr().out.splitlines() == [
        "  ✓ build a-long-serv…  12.50 s",
        "  ✗ probe                1.50 s",
    ]


# --- variables
def test_a_variable_that_is_only_named_is_the_environments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "a=b")
    assert variables(["TOKEN", "DEBUG=1", "EMPTY="]) == {"TOKEN": "a=b", "DEBUG": "1", "EMPTY": ""}
    monkeypatch.delenv("TOKEN")
    with pytest.raises(Invalid, match="--set: TOKEN: must be KEY=VALUE, or the environment must have it"):
        variables(["TOKEN"])


# --- help
@pytest.mark.parametrize("group", [[], ["db"], ["config"]])
def test_help_of_every_command(cx: Callable[..., Said], group: list[str]) -> None:
    commands = {
        "": COMMANDS,
        "db": ("refresh", "list", "reset", "psql", "drop"),
        "config": ("show", "path"),
    }["".join(group)]
    for command in commands:
        said = cx(*group, command, "--help")
        assert said.code == 0
        assert "Usage: " in said.out


def test_version(cx: Callable[..., Said]) -> None:
    assert cx("--version").out.startswith("cx ")


def test_completion_is_silent_when_nothing_works(host: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from cx.cli.namespaces import complete

    (host / "host.toml").write_text("nonsense")
    assert complete() == []
    (host / "host.toml").write_text("")
    store = Store(Database(host / "state" / "cx.db"))
    store.want(Desired(Namespace("preview-1"), tree="a" * 40), 1.0)
    store.database.close()
    assert complete() == ["preview-1"]
    assert capsys.readouterr() == ("", "")


def test_a_refresh_prints_no_control_characters_of_a_dumps_names(capsys: pytest.CaptureFixture[str]) -> None:
    def refresh(_source: str, say: Callable[[str], None]) -> Refreshed:
        say(f"app: building index {ESCAPES}")
        say(f"note: left out: event trigger {ESCAPES}\nmade up")
        return Refreshed("golden", 1, sanitised=True)

    host = SimpleNamespace(golden_uses=SimpleNamespace(refresh=refresh))
    _refresh(host, "app")  # type: ignore[arg-type]
    said = capsys.readouterr().out
    assert is_plain(said)
    assert len(said.splitlines()) == 3
