"""What a fork is given, what a job's process gets of ours, and which texts are taken out of what is told; what is left
of a repository that is not followed."""

from __future__ import annotations

from pathlib import Path

import pytest

from cx.core.errors import Invalid
from cx.core.history import StepTaken
from cx.core.names import Namespace
from cx.core.origin import Origin
from cx.core.state import Desired
from cx.host import Host
from cx.host.following import HostPreviews, job_environment, secrets_of
from cx.redaction import Redactor
from cx.settings import load

TEXT = """
[databases.app]
source = "postgresql://reader:pro-duc-tion@db/app"
[projects.shop]
repository = "Acme/Shop"
[listen]
secrets = ["a-secret-of-the-webhook"]
[github]
token = "ghp_aaaaaaaaaaaa"
[github.repositories."Acme/Shop"]
env = { KEY = "sk_test_123456", UNSET = "env:CX_NO_SUCH_VARIABLE" }
"""


def host(tmp_path: Path, text: str = TEXT) -> Host:
    (tmp_path / "host.toml").write_text(f'state_dir = "{tmp_path / "state"}"\n' + text)
    return Host(load(tmp_path / "host.toml", {}))


@pytest.mark.parametrize(
    ("origin", "fork_data", "databases", "granted"),
    [
        ("github:acme/shop", False, ["app"], "shop"),
        ("fork-of:acme/shop", False, [], ""),
        ("fork-of:acme/shop", True, ["app"], ""),
        ("fork-of:acme/other", True, [], ""),
        ("github:acme/other", True, ["app"], ""),
        ("/srv/shop", False, ["app"], ""),
    ],
)
def test_what_a_fork_is_given(tmp_path, origin, fork_data, databases, granted):
    given = host(tmp_path, TEXT + f"fork_data = {str(fork_data).lower()}\n")
    assert list(given._settings_for(Origin.parse(origin)).databases) == databases
    assert given._granted(Origin.parse(origin)) == granted


@pytest.mark.parametrize(
    ("origin", "fork_data", "databases"),
    [
        ("github:acme/shop", False, ["app", "shared"]),
        ("github:acme/other", False, ["shared"]),
        ("/srv/shop", False, ["shared"]),
        ("remote:preview-1", False, ["shared"]),
        ("fork-of:acme/shop", False, []),
        ("fork-of:acme/shop", True, ["app", "shared"]),
    ],
)
def test_a_database_of_one_project_is_not_anothers(tmp_path, origin, fork_data, databases):
    text = TEXT.replace("[projects.shop]", 'projects = ["shop"]\n[databases.shared]\nfile = "x"\n[projects.shop]')
    given = host(tmp_path, text + f"fork_data = {str(fork_data).lower()}\n")
    assert list(given._settings_for(Origin.parse(origin)).databases) == databases


def test_a_database_is_for_projects_that_there_are(tmp_path):
    with pytest.raises(Invalid, match=r"databases\.app\.projects: names shap, which is not in \[projects\]"):
        host(tmp_path, TEXT.replace("[projects.shop]", 'projects = ["shap"]\n[projects.shop]'))


def test_previews_of_a_repository_that_is_not_followed_any_more(tmp_path):
    given = host(tmp_path)
    for number, origin in enumerate(("github:acme/shop", "github:acme/gone", "fork-of:acme/gone", "/srv/gone"), 1):
        given.store.want(Desired(Namespace(f"preview-{number}"), True, origin=Origin.parse(origin)), 1.0)
    given.store.want_absent(Namespace("preview-3"), 2.0)
    assert [one.name for one in given.upkeep.unfollowed()] == ["preview-2"]


def test_a_jobs_environment_holds_no_secret():
    environ = {
        "PATH": "/bin", "CX_CONFIG": "/etc/cx/host.toml", "CX_DOMAIN": "example.com", "LC_ALL": "C",
        "DOCKER_HOST": "ssh://h", "GITHUB_TOKEN": "x", "CX_GITHUB_TOKEN": "x", "CX_LISTEN_SECRETS": "x",
        "CX_DATABASES_APP_SOURCE": "postgresql://x", "AWS_SECRET_ACCESS_KEY": "x", "CX_GITHUB_AT_ONCE": "3",
        "DOCKER_AUTH_CONFIG": "x", "CX_POSTGRES_PASSWORD": "x", "HOOK": "x",
    }  # fmt: skip
    kept = job_environment(environ)
    assert sorted(kept) == ["CX_CONFIG", "CX_DOMAIN", "CX_GITHUB_AT_ONCE", "DOCKER_HOST", "LC_ALL", "PATH"]


def test_every_secret_of_the_host_is_taken_out(tmp_path, monkeypatch):
    monkeypatch.setenv("GITHUB_TOKEN", "ghp_of-the-environment")
    given = host(tmp_path)
    made, key = given._secret("postgres"), given._certificate().key
    hide = Redactor(secrets_of(given))
    known = ["ghp_aaaaaaaaaaaa", "pro-duc-tion", "sk_test_123456", "a-secret-of-the-webhook", "ghp_of-the-environment"]
    assert [hide(f"with {secret}.") for secret in [*known, made]] == ["with ***."] * 6
    assert hide("nothing of it") == "nothing of it"
    for seen_as_nothing in ("\x1b[0m", "\x1b[38;5;1m", "\u200b", "\xad", "\x00"):
        assert hide(seen_as_nothing.join("ghp_aaaaaaaaaaaa")) == "***"
    assert hide("overwritten\rghp_aaaaaaaaaaaa") == "***"
    assert "ghp" not in repr(hide)
    assert hide(f"-----BEGIN CERTIFICATE-----\n{key}") == (
        "-----BEGIN CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----\n***\n***\n***\n-----END PRIVATE KEY-----\n"
    )
    assert Redactor([])("text") == Redactor(["", "a"])("text") == "text"


def test_a_variable_that_is_not_set_is_told(tmp_path):
    with pytest.raises(Invalid, match="CX_NO_SUCH_VARIABLE"):
        HostPreviews(host(tmp_path)).values("acme/shop")


def test_the_time_of_the_release_command(tmp_path):
    """Of what serves: a failure has that of its own attempt, or none."""
    given = host(tmp_path)
    previews, namespace = HostPreviews(given), Namespace("preview-1")

    def attempt(commit: str, **steps: float) -> str:
        wish = Desired(namespace, True, "shop", Origin.pulls_of("acme/shop"), commit, commit, False, "preview", {}, "")
        identity = given.store.begin(wish, 1.0)
        for step, took_s in steps.items():
            given.store.step(StepTaken(identity, step.replace("_", " "), 1.0, took_s, "done"))
        given.store.end(identity, 2.0, "ready" if "publish" in steps else "failed")
        return wish.revision

    def shown(route: str) -> float | None:
        return previews._release_s(namespace, given.store.deployments(namespace), route)

    one, two = "1" * 40, "2" * 40
    assert shown("") is None
    route = attempt(one, build_app=5.0, release=1.5, publish=0.1)
    assert shown(route) == 1.5
    attempt(one, wake=0.2, publish=0.1)
    assert shown(route) == 1.5
    attempt(two, build_app=5.0)
    attempt(two, build_app=5.0, release=3.5)
    assert shown(route) == 1.5
    given.close()
