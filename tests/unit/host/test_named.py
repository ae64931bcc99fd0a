"""What the host configuration names is looked for at once, and what is not there is told with its file and its key."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization as form
from cryptography.hazmat.primitives.asymmetric import rsa

from cx.core.errors import Invalid
from cx.host import Host
from cx.host.following import open_following
from cx.host.named import lacking
from cx.router.certificate import own
from cx.settings import load

GOOD = """
domain = "previews.example.com"
[listen]
secrets = ["env:HOOK"]
[api]
tokens = ["env:API"]
[router]
tls = "files"
certificate = "router.pem"
key = "router.key"
acme_ca = "router.pem"
[databases.app]
source = "env:SOURCE"
sanitise = "mask.sql"
[databases.dump]
file = "app.dump"
[projects.shop]
path = "shop"
[github]
app_id = 7
private_key = "app.pem"
[github.repositories."acme/shop"]
env = { KEY = "env:KEY" }
comment_template = "comment.md.j2"
"""
ENVIRON = {"HOOK": "h" * 16, "API": "a" * 16, "SOURCE": "postgresql://u:p@db/app", "KEY": "k"}


@pytest.fixture(scope="module")
def rsa_key() -> str:
    key = rsa.generate_private_key(65537, 2048)
    return key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption()).decode()


@pytest.fixture
def folder(tmp_path: Path, rsa_key: str) -> Path:
    made = own(tmp_path / "made.pem")
    (tmp_path / "shop").mkdir()
    for name, text in {
        "host.toml": f'state_dir = "{tmp_path / "state"}"\n{GOOD}', "router.pem": made.chain, "router.key": made.key,
        "mask.sql": "", "app.dump": "", "app.pem": rsa_key, "comment.md.j2": "{{ phase }}",
    }.items():  # fmt: skip
        (tmp_path / name).write_text(text)
    return tmp_path


def found(folder: Path, environ: dict[str, str] = ENVIRON) -> list[tuple[str, bool]]:
    settings = load(folder / "host.toml", environ)
    return [(str(one.why), one.vital) for one in lacking(settings, environ)]


def test_a_configuration_of_which_all_is_there_lacks_nothing(folder: Path) -> None:
    assert found(folder) == []


@pytest.mark.parametrize(
    ("variable", "key", "vital"),
    [
        ("HOOK", "listen.secrets[0]", True),
        ("API", "api.tokens[0]", True),
        ("SOURCE", "databases.app.source", False),
        ("KEY", "github.repositories.acme/shop.env.KEY", True),
    ],
)
def test_a_variable_that_is_not_set(folder: Path, variable: str, key: str, vital: bool) -> None:
    left = {name: value for name, value in ENVIRON.items() if name != variable}
    said = f"{folder / 'host.toml'}: {key}: {variable}: is not set; export it, and run again"
    assert found(folder, left) == [(said, vital)]


@pytest.mark.parametrize(
    ("variable", "value", "key"),
    [("HOOK", "short", "listen.secrets[0]"), ("API", "short", "api.tokens[0]"),
     ("SOURCE", "the-database", "databases.app.source")],
)  # fmt: skip
def test_a_variable_that_holds_what_the_key_does_not_take(folder: Path, variable: str, value: str, key: str) -> None:
    ((said, _),) = found(folder, ENVIRON | {variable: value})
    assert said.startswith(f"{folder / 'host.toml'}: {key}: ${variable} should be ")
    assert value not in said


@pytest.mark.parametrize(
    ("file", "keys", "vital"),
    [
        ("router.pem", ["router.certificate", "router.acme_ca"], False),
        ("router.key", ["router.key"], False),
        ("mask.sql", ["databases.app.sanitise"], False),
        ("app.dump", ["databases.dump.file"], False),
        ("shop", ["projects.shop.path"], False),
        ("app.pem", ["github.private_key"], True),
        ("comment.md.j2", ['github.repositories."acme/shop".comment_template'], False),
    ],
)
def test_a_file_that_is_not_there(folder: Path, file: str, keys: list[str], vital: bool) -> None:
    (folder / file).rename(folder / "elsewhere")
    seen = found(folder)
    assert [is_vital for _, is_vital in seen] == [vital] * len(keys)
    for (said, _), key in zip(seen, keys, strict=True):
        assert said.startswith(f"{folder / 'host.toml'}: {key}: {folder / file}: ")
        assert "no such file" in said.lower()


def other_key(folder: Path) -> str:
    return own(folder / "other.pem").key


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("router.pem", lambda folder: "no certificate", "router.certificate"),
        ("router.key", lambda folder: "no key", "router.key"),
        ("router.key", other_key, "is not the key of router.certificate"),
        ("app.pem", lambda folder: "no key", "holds no private key (PEM)"),
        ("comment.md.j2", lambda folder: "one\n{% if %}", "line 2"),
    ],
)
def test_a_file_that_holds_something_else(folder: Path, file: str, text: Callable[[Path], str], said: str) -> None:
    (folder / file).write_text(text(folder))
    seen = found(folder)
    assert said in seen[0][0]
    assert str(folder / file) in seen[0][0]


def test_without_a_token_or_an_app_nothing_is_followed(folder: Path) -> None:
    text = (folder / "host.toml").read_text()
    (folder / "host.toml").write_text(text.replace("app_id = 7\n", "").replace('private_key = "app.pem"\n', ""))
    ((said, vital),) = found(folder)
    assert said.startswith(f"{folder / 'host.toml'}: github.token: is missing; set GITHUB_TOKEN")
    assert vital
    assert found(folder, ENVIRON | {"GITHUB_TOKEN": "t"}) == []


def test_following_begins_with_what_is_vital_and_says_the_rest(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A dump that was moved away keeps no pull request from its preview; `/readyz` and the log tell of it."""
    monkeypatch.setattr("cx.host.following.LOOKED_S", -1.0)
    (folder / "app.dump").unlink()
    host = Host(load(folder / "host.toml", ENVIRON))
    with open_following(host) as following:
        (said,) = following.problems()
        assert said == "1 of what the host configuration names cannot be used: `cx doctor` says which"
        (folder / "app.dump").write_text("")
        assert following.problems() == []
    host.close()
    (line,) = [one for one in caplog.records if "cannot be used" in one.getMessage()]
    assert "databases.dump.file" in str(line.facts["why"])  # type: ignore[attr-defined]
    left = {name: value for name, value in ENVIRON.items() if name not in ("KEY", "HOOK")}
    host = Host(load(folder / "host.toml", left))
    with pytest.raises(Invalid, match=r"listen\.secrets\[0\]: HOOK: is not set") as caught, open_following(host):
        pass
    assert [line.partition("toml: ")[2].partition(":")[0] for line in caught.value.log] == [
        "listen.secrets[0]",
        "github.repositories.acme/shop.env.KEY",
    ]
    host.close()
