"""What is known of followed repositories, over restarts, and over a change of their names in the configuration."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cx.core.errors import Terminal
from cx.core.names import Namespace
from cx.core.origin import Origin
from cx.core.state import Desired
from cx.pulls import Known
from cx.pulls.commands import Command, Verb
from cx.pulls.repositories import Followed
from cx.pulls.values import PullId
from cx.store import Database, Store
from cx.store.deliveries import Deliveries
from cx.store.pulls import PullsTable
from cx.store.repositories import RepositoriesTable

OLD, NEW = "acme/shop", "globex/store"


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(tmp_path / "cx.db")
    yield database
    database.close()


def facts(table: RepositoriesTable, name: str) -> tuple[str, int | None]:
    return table.current(name), table.number(name)


def test_a_name_is_kept_over_a_restart(database: Database) -> None:
    table = RepositoriesTable(database, {OLD})
    assert facts(table, OLD) == (OLD, None)
    table.learn(OLD, 5, OLD)
    table.learn(OLD, 5, NEW)
    for again in (table, RepositoriesTable(database, {OLD})):
        assert facts(again, OLD) == (NEW, 5)
        followed = Followed({OLD}, again)
        assert [followed.of("Globex/Store", 5), followed.of(NEW, None), followed.of("Acme/Shop", 9)] == [OLD, None, OLD]


def test_a_number_in_the_configuration_wins(database: Database) -> None:
    RepositoriesTable(database, {OLD}).learn(OLD, 5, NEW)
    table = RepositoriesTable(database, {OLD}, {OLD: 6})
    assert facts(table, OLD) == (OLD, 6)
    table.learn(OLD, 6, OLD)
    assert facts(RepositoriesTable(database, {OLD}), OLD) == (OLD, 6)


def test_two_names_of_one_repository_are_told_apart_by_its_owner(database: Database) -> None:
    table = RepositoriesTable(database, {OLD, NEW})
    table.learn(OLD, 5, NEW)
    with pytest.raises(Terminal, match=r'one repository.*take github\.repositories\."acme/shop" out'):
        table.learn(NEW, 5, NEW)


def test_what_was_of_the_old_name_is_of_the_new_one_when_the_configuration_follows(database: Database) -> None:
    """Its previews are kept as they are: nothing is deployed anew, and no command is heard twice."""
    RepositoriesTable(database, {OLD}).learn(OLD, 5, NEW)
    store, pulls, box = Store(database), PullsTable(database), Deliveries(database, lambda: 1000.0)
    for number, kind in ((7, "github"), (8, "fork-of")):
        namespace = Namespace(f"preview-{number}")
        store.want(Desired(namespace, origin=Origin.parse(f"{kind}:{OLD}"), tree="1" * 40), 1.0)
        pulls.keep(Known(PullId(OLD, number), namespace, head="2" * 40))
        box.ask(PullId(OLD, number))
    box.overheard(OLD, [Command(PullId(OLD, 7), 50, Verb.DEPLOY, "ada")], 900.0)
    before = [one.revision for one in store.all_desired()]
    box.ask(PullId(NEW, 7))  # a delivery was quicker than the comparison

    table = RepositoriesTable(database, {NEW, "acme/docs"})
    assert facts(table, NEW) == (NEW, None)
    table.learn(NEW, 5, NEW)
    assert [str(one.origin) for one in store.all_desired()] == [f"github:{NEW}", f"fork-of:{NEW}"]
    assert [one.revision for one in store.all_desired()] == before
    assert [str(one.pull) for one in pulls.all_known(NEW)] == [f"{NEW}#7", f"{NEW}#8"]
    assert pulls.all_known(OLD) == []
    assert sorted(map(str, box.waiting())) == [f"{NEW}#7", f"{NEW}#8"]
    assert [one.comment_id for one in box.unanswered(PullId(NEW, 7))] == [50]
    assert (box.heard_until(NEW), box.heard_until(OLD)) == (900.0, None)
    assert facts(RepositoriesTable(database, {NEW}), NEW) == (NEW, 5)
    assert facts(RepositoriesTable(database, {OLD}), OLD) == (OLD, None)
