"""A namespace has one owner: another origin is refused by the transaction that would change the row."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from cx.core.errors import Busy, CxError, Owned
from cx.core.names import Namespace
from cx.core.origin import Origin
from cx.core.state import Desired
from cx.pulls import Known
from cx.pulls.values import PullId
from cx.store import Database, Store
from cx.store.migrations import MIGRATIONS
from cx.store.pulls import PullsTable

NAME = Namespace("preview-7")
OWNERS = {
    "folder": Origin.folder("/srv/shop"),
    "other folder": Origin.folder("/srv/other"),
    "pull request": Origin.pulls_of("acme/shop"),
    "fork": Origin.pulls_of("acme/shop", fork=True),
    "other repository": Origin.pulls_of("acme/site"),
    "upload": Origin.upload(NAME),
}
PAIRS = [(one, other) for one in OWNERS for other in OWNERS if one != other]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(Database(tmp_path / "cx.db"))
    yield store
    store.database.close()


def wish(origin: str, tree: str = "a") -> Desired:
    return Desired(NAME, project=origin, origin=OWNERS[origin], tree=tree * 40)


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_whoever_was_first_keeps_it(store, first, second):
    store.want(wish(first), 1.0)
    with pytest.raises(Owned, match=r"preview-7 belongs to .*; choose another name") as refused:
        store.want(wish(second), 2.0)
    assert OWNERS[first].words in str(refused.value)
    assert "\n" not in str(refused.value)
    assert store.desired(NAME) == wish(first)
    store.want(wish(first, "b"), 3.0)
    assert store.desired(NAME) == wish(first, "b")


@pytest.mark.parametrize(("first", "second"), [one for one in PAIRS if set(one) != {"pull request", "fork"}])
def test_no_other_origin_takes_it_away_or_changes_it(store, first, second):
    store.want(wish(first), 1.0)
    by = OWNERS[second]
    for change in (
        lambda: store.want_absent(NAME, 2.0, by),
        lambda: store.want_asleep(NAME, True, by),
        lambda: store.want_fresh_data(NAME, by),
        lambda: store.expire(NAME, 2.0, by),
        lambda: store.must_own(NAME, by),
    ):
        with pytest.raises(Owned):
            change()
    assert store.desired(NAME) == wish(first)


@pytest.mark.parametrize("owner", OWNERS)
def test_the_owner_and_the_hosts_owner_may(store, owner):
    for by in (OWNERS[owner], None):
        store.want(wish(owner), 1.0)
        store.want_asleep(NAME, True, by)
        assert store.desired(NAME).asleep
        store.want_fresh_data(NAME, by)
        assert (store.desired(NAME).asleep, store.desired(NAME).reset_data) == (False, True)
        store.expire(NAME, 9.0, by)
        assert store.desired(NAME).expires_at == 9.0
        store.want_absent(NAME, 2.0, by)
        assert not store.desired(NAME).present


def test_what_is_being_deleted_is_not_taken_over_with_its_data(store):
    store.want(wish("folder"), 1.0)
    store.want_absent(NAME, 2.0)
    with pytest.raises(Busy, match="preview-7 of the folder /srv/shop is being deleted; try again"):
        store.want(wish("pull request"), 3.0)
    store.forget(NAME)
    store.want(wish("pull request"), 4.0)
    assert store.desired(NAME) == wish("pull request")


def test_a_take_over_is_explicit(store):
    store.want(wish("pull request"), 1.0)
    store.want(wish("folder"), 2.0, take_over=True)
    assert store.desired(NAME) == wish("folder")
    with pytest.raises(Owned):
        store.want(wish("pull request"), 3.0)


@pytest.mark.parametrize("_", range(10))
def test_of_those_who_come_at_once_one_has_it(tmp_path, _):
    """Each with a connection of its own, as processes have."""
    path, gate = tmp_path / "cx.db", Barrier(len(OWNERS))
    Database(path).close()

    def claim(name: str) -> str:
        store = Store(Database(path))
        gate.wait(10)
        try:
            store.want(wish(name), 1.0)
        except Owned:
            return ""
        finally:
            store.database.close()
        return name

    with ThreadPoolExecutor(len(OWNERS)) as pool:
        won = [name for name in pool.map(claim, OWNERS) if name]
    store = Store(Database(path))
    assert [store.desired(NAME).project] == won
    store.database.close()


# --- hosts of before
def test_rows_of_before_say_whose_they_are(tmp_path):
    before = next(number for number, step in enumerate(MIGRATIONS) if "TABLE wanting" in step)
    with sqlite3.connect(tmp_path / "cx.db") as old:
        old.executescript("".join(MIGRATIONS[:before]))
        old.execute(f"PRAGMA user_version = {before}")
        row = "INSERT INTO desired VALUES (?, 1, 'p', ?, '', 't', 0, 'preview', '{}', '', 0, 1.0, 0, NULL)"
        for number, origin in enumerate(("/srv/shop", "github:acme/shop", "fork-of:acme/shop", "remote:preview-3")):
            old.execute(row, (f"preview-{number}", origin))
        facts = '{"head": "x", "failure": null, "notes": []}'
        old.execute("INSERT INTO pulls VALUES ('acme/shop', 1, 'preview-1', ?)", (facts,))
    store = Store(Database(tmp_path / "cx.db"))
    for number, origin in enumerate(("folder", "pull request", "fork")):
        own = Desired(Namespace(f"preview-{number}"), origin=OWNERS[origin])
        store.want(own, 2.0)
        with pytest.raises(CxError):
            store.want(Desired(own.namespace, origin=OWNERS["other folder"]), 2.0)
    assert store.desired(Namespace("preview-3")).origin == Origin.upload(Namespace("preview-3"))
    known = PullsTable(store.database)
    assert known.known(PullId("acme/shop", 1)) == Known(PullId("acme/shop", 1), Namespace("preview-1"), head="x")
    store.database.close()


def test_two_pull_requests_may_want_one_name(store):
    """Whose it is, the namespace's row says: a repository that was configured before is in nobody's way."""
    pulls = PullsTable(store.database)
    known = [Known(PullId(f"acme/{name}", 7), NAME) for name in ("shop", "site")]
    for one in known:
        pulls.keep(one)
    assert [pulls.of(NAME, f"acme/{name}") for name in ("shop", "site", "none")] == [*known, None]
