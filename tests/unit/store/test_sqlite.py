"""What is wanted is kept, and a file that is not cx's is not touched."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cx.core.errors import CxError, Retryable, Terminal
from cx.core.history import StepTaken
from cx.core.names import Namespace
from cx.core.origin import Origin
from cx.core.state import Desired
from cx.store import Database, Store
from cx.store.intent import KEPT
from cx.store.migrations import MIGRATIONS

PR_7, PR_8 = Namespace("preview-7"), Namespace("preview-8")
WISH = Desired(
    PR_7,
    True,
    "shop-1",
    Origin.folder("/src/shop"),
    "c" * 40,
    "d" * 40,
    True,
    "staging",
    {"A": "1", "B": "ü$"},
    "ab12",
    True,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "cx.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    store = Store(Database(path))
    yield store
    store.database.close()


def opened_again(store: Store) -> Store:
    store.database.close()
    return Store(Database(store.database.path))


# --- intent
def test_what_is_wanted_is_kept_whole(store: Store) -> None:
    store.want(WISH, 1.0)
    again = opened_again(store)
    assert again.desired(PR_7) == WISH
    assert again.desired(PR_7).revision == WISH.revision
    assert again.desired(PR_8) is None
    again.database.close()


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    store = Store(Database(tmp_path_factory.mktemp("state") / "cx.db"))
    store.database._db.execute("PRAGMA synchronous=OFF")
    yield store
    store.database.close()


@given(values=st.dictionaries(texts, texts), origin=texts, dirty=st.booleans())
def test_any_values_are_kept(lasting: Store, values: dict[str, str], origin: str, dirty: bool) -> None:
    wish = replace(WISH, values=values, origin=Origin.parse(origin), dirty=dirty)
    lasting.want(wish, 1.0, take_over=True)
    assert lasting.desired(PR_7) == wish


def test_the_last_wish_holds(store: Store) -> None:
    store.want(WISH, 1.0)
    store.want(replace(WISH, tree="e" * 40), 2.0)
    assert [one.tree for one in store.all_desired()] == ["e" * 40]


def test_absence_is_wanted_too(store: Store) -> None:
    store.want(WISH, 1.0)
    store.want_absent(PR_7, 2.0)
    store.want_absent(PR_8, 2.0)
    assert [(one.namespace, one.present, one.project) for one in store.all_desired()] == [
        (PR_7, False, "shop-1"),  # kept: its mirror is to forget the ref
        (PR_8, False, ""),
    ]


def test_data_was_reset_leaves_the_rest(store: Store) -> None:
    store.want(WISH, 1.0)
    store.data_was_reset(PR_7)
    assert store.desired(PR_7) == replace(WISH, reset_data=False)


def test_forgetting_leaves_nothing_of_the_namespace_and_all_of_another(store: Store) -> None:
    for namespace in (PR_7, PR_8):
        store.want(replace(WISH, namespace=namespace), 1.0)
        store.step(StepTaken(store.begin(replace(WISH, namespace=namespace), 1.0), "build", 1.0, 1.0, "done"))
    store.want_absent(PR_7, 2.0)
    store.forget(PR_7)
    store.forget(PR_7)
    assert store.desired(PR_7) is None
    assert store.deployments(PR_7) == []
    assert store.steps(PR_7) == []
    assert store.desired(PR_8) is not None
    assert len(store.deployments(PR_8)) == len(store.steps(PR_8)) == 1


def test_what_somebody_wants_back_by_now_is_not_forgotten(store: Store) -> None:
    store.want_absent(PR_7, 1.0)
    store.want(WISH, 2.0)
    store.begin(WISH, 2.0)
    store.forget(PR_7)
    assert store.desired(PR_7) == WISH
    assert len(store.deployments(PR_7)) == 1


# --- history
def test_a_deployment_and_its_steps(store: Store) -> None:
    identity = store.begin(WISH, 10.0)
    store.step(StepTaken(identity, "build app", 10.0, 1.5, "done"))
    store.step(StepTaken(identity, "start", 11.5, 0.5, "failed"))
    store.end(identity, 12.0, "failed", "it does not start", ["line 1", "line 2"])
    (found,) = store.deployments(PR_7)
    assert (found.revision, found.version) == (WISH.revision, "cccccccc+")
    assert (found.started_at, found.finished_at, found.outcome) == (10.0, 12.0, "failed")
    assert (found.message, found.log) == ("it does not start", ("line 1", "line 2"))
    assert [(one.step, one.outcome) for one in store.steps(PR_7)] == [("build app", "done"), ("start", "failed")]


def test_one_that_still_runs_when_the_next_begins_has_died(store: Store) -> None:
    store.begin(WISH, 1.0)
    other = store.begin(replace(WISH, namespace=PR_8), 1.5)
    store.begin(WISH, 2.0)
    assert [(one.outcome, one.finished_at) for one in store.deployments(PR_7)] == [("running", None), ("died", 2.0)]
    assert [(one.id, one.outcome) for one in store.deployments(PR_8)] == [(other, "running")]


def test_only_the_last_ones_are_kept(store: Store) -> None:
    for number in range(KEPT + 5):
        store.step(StepTaken(store.begin(WISH, float(number)), "build", 1.0, 1.0, "done"))
    assert len(store.deployments(PR_7, limit=1000)) == KEPT
    assert store.deployments(PR_7)[0].started_at == KEPT + 4
    assert len(store.steps(PR_7)) == KEPT


def test_a_step_of_a_deployment_that_is_forgotten_is_dropped(store: Store) -> None:
    identity = store.begin(WISH, 1.0)
    store.forget(PR_7)
    store.step(StepTaken(identity, "build", 1.0, 1.0, "done"))
    assert store.steps(PR_7) == []


# --- the file
def test_the_file_is_for_its_owner_only(store: Store) -> None:
    assert store.database.path.stat().st_mode & 0o077 == 0
    assert store.database.path.parent.stat().st_mode & 0o077 == 0


def test_it_is_safe_on_a_disk(store: Store) -> None:
    assert store.database.run("PRAGMA journal_mode")[0]["journal_mode"] == "wal"
    assert store.database.run("PRAGMA synchronous")[0]["synchronous"] == 2


def test_a_newer_version_is_refused_and_not_changed(store: Store) -> None:
    store.want(WISH, 1.0)
    store.database.close()
    with sqlite3.connect(store.database.path) as db:
        db.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    db.close()
    with pytest.raises(Terminal, match="written by a newer cx"):
        Store(Database(store.database.path))
    with sqlite3.connect(store.database.path) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS) + 1,)
    db.close()


def test_a_file_that_is_no_database(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"precious\n" * 1000)
    with pytest.raises(Terminal, match="not a database") as caught:
        Store(Database(path))
    assert str(path) in str(caught.value)
    assert path.read_bytes() == b"precious\n" * 1000


def test_a_path_that_is_a_folder(path: Path) -> None:
    path.mkdir(parents=True)
    with pytest.raises(Terminal, match=str(path)):
        Store(Database(path))


def test_a_folder_that_is_a_file(path: Path) -> None:
    path.parent.touch()
    with pytest.raises(Terminal, match=str(path)):
        Store(Database(path))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written(path: Path) -> None:
    path.parent.mkdir(mode=0o500)
    with pytest.raises(CxError, match=str(path)):
        Store(Database(path))


def test_one_that_another_process_writes_to(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    other = sqlite3.connect(store.database.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    store.database._db.execute("PRAGMA busy_timeout = 1")
    with pytest.raises(Retryable, match="in use by another cx"):
        store.want(WISH, 1.0)
    other.close()


def test_a_transaction_that_breaks_leaves_nothing(store: Store) -> None:
    def broken() -> None:
        with store.database.transaction():
            store._put(WISH, 1.0)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        broken()
    assert store.all_desired() == []
    store.want(WISH, 1.0)


def test_what_a_full_disk_does_not_take_is_told_and_leaves_nothing_open(path: Path) -> None:
    database = Database(path)
    database.run("CREATE TABLE filler (text TEXT)")
    ((pages,),) = database.run("PRAGMA page_count")
    database.run(f"PRAGMA max_page_count = {pages + 2}")
    for _ in range(2):
        with pytest.raises(Terminal, match="the disk is full; free some space"), database.transaction():
            database.run("INSERT INTO filler VALUES (?)", ("x" * 100_000,))
        with pytest.raises(Terminal, match="the disk is full; free some space"):
            database.probe()
    database.run("PRAGMA max_page_count = 1000000")
    database.probe()
    with database.transaction():
        database.run("INSERT INTO filler VALUES ('y')")
    assert [tuple(row) for row in database.run("SELECT count(*) FROM filler")] == [(1,)]
    database.close()
