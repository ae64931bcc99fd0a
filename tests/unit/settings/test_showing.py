"""A setting that shows in a preview's containers makes another revision of it, and no other one does."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from answers import ANSWERS, BASE, ORIGIN, REPOSITORY, changed, may_have, settings

from cx.core.names import Namespace
from cx.core.origin import Origin
from cx.core.state import Desired
from cx.host import Host
from cx.settings import Settings
from cx.settings.databases import Database
from cx.settings.keys import Project
from cx.settings.showing import settings_digest

KEYS = [key for key in ANSWERS if not key.startswith("databases.")]
OF_DATABASES = [
    (key, name)
    for key, (value, _) in ANSWERS.items()
    if key.startswith("databases.")
    for name in BASE.databases
    if may_have(name, key, value)
]


def digest(given: Settings) -> str:
    return settings_digest(given, project="shop", repository=REPOSITORY)


def name_of(key: str) -> str:
    return REPOSITORY if key.startswith("github.") else "shop"


def test_every_setting_has_an_answer() -> None:
    assert sorted(settings()) == sorted(ANSWERS)


@pytest.mark.parametrize("key", KEYS)
def test_what_shows_makes_another_revision(key: str) -> None:
    value, shows = ANSWERS[key]
    assert (digest(changed(BASE, key, name_of(key), value)) != digest(BASE)) is shows


@pytest.mark.parametrize(("key", "name"), OF_DATABASES)
def test_of_a_database_it_depends_on_how_it_is_reached(key: str, name: str) -> None:
    value, shows = ANSWERS[key]
    assert isinstance(shows, set)
    other = changed(BASE, key, name, value)
    if BASE.databases[name].way == other.databases[name].way:
        assert (digest(other) != digest(BASE)) is (name in shows)
    else:
        assert digest(other) != digest(BASE)


@pytest.mark.parametrize("key", ["github.repositories.*.lfs", "github.repositories.*.submodules", "projects.*.allow"])
def test_what_is_another_projects_shows_nowhere_here(key: str) -> None:
    name = "acme/other" if key.startswith("github.") else "other"
    assert digest(changed(BASE, key, name, ANSWERS[key][0])) == digest(BASE)


def test_a_setting_that_is_new_in_a_version_changes_nothing_while_it_has_its_default() -> None:
    """So an upgrade makes no other revision: whatever is at its default stands in no digest."""
    assert settings_digest(Settings()) == settings_digest(msgspec.structs.replace(Settings(), limits=Settings().limits))
    assert "512m" not in str(msgspec.to_builtins(settings_digest(Settings())))
    given = Settings(databases={"app": Database(file=Path("/srv/dump"))})
    assert digest(given) != digest(Settings())


# --- who may have what
@pytest.fixture
def host(tmp_path: Path) -> Host:
    given = msgspec.structs.replace(BASE, state_dir=tmp_path)
    return Host(given)


def test_origins(host: Host) -> None:
    shop, fork, folder = ORIGIN, Origin.pulls_of(REPOSITORY, fork=True), Origin.folder("/srv/elsewhere")
    before = {one: host.settings_digest(one) for one in (shop, fork, folder)}

    def those_that_differ(key: str, name: str, value: object) -> set[Origin]:
        other = Host(changed(host.settings, key, name, value))
        return {one for one in before if other.settings_digest(one) != before[one]}

    assert those_that_differ("databases.*.projects", "pooled", ["shop"]) == {folder}
    assert those_that_differ("databases.*.projects", "pooled", ["other"]) == {shop, folder}
    assert those_that_differ("databases.*.env", "pooled", {"A": "url"}) == {shop, folder}  # a fork gets none
    assert those_that_differ("github.repositories.*.fork_data", REPOSITORY, True) == {fork}
    assert those_that_differ("projects.*.allow", "shop", ["env_file"]) == {shop}
    assert those_that_differ("projects.*.repository", "shop", None) == set()  # it granted nothing
    assert those_that_differ("limits.memory", "", "1g") == {shop, fork, folder}


def test_a_failure_may_go_well_after_any_change(host: Host) -> None:
    for key, (value, _) in ANSWERS.items():
        name = "pooled" if key.startswith("databases.") else name_of(key)
        if key not in ("listen.secrets", "api.tokens", "github.token", "github.repositories.*.env"):  # never shown
            assert Host(changed(host.settings, key, name, value)).settings_basis() != host.settings_basis(), key


def test_the_revision_follows(host: Host) -> None:
    def revision(given: Host) -> str:
        return Desired(Namespace("preview-1"), origin=ORIGIN, host=given.settings_digest(ORIGIN)).revision

    assert revision(Host(changed(host.settings, "router.acme_email", "", "me@example.com"))) == revision(host)
    assert revision(Host(changed(host.settings, "limits.memory", "", "1g"))) != revision(host)
    assert isinstance(host.settings.projects["shop"], Project)
