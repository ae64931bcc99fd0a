"""Subsets of a source that keep foreign keys whole, and dumps that another tool makes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from pgworld import HERE, ONE, Machine, World, put

from cx.data import errors
from cx.data.values import Masks, Source
from cx.settings.masking import Rows

TREE = """
CREATE TABLE team (id int PRIMARY KEY, lead int);
CREATE TABLE member (id int PRIMARY KEY, team int NOT NULL REFERENCES team, mentor int REFERENCES member);
ALTER TABLE team ADD FOREIGN KEY (lead) REFERENCES member DEFERRABLE;  -- a cycle
CREATE TABLE task (team int REFERENCES team, number int, of_member int REFERENCES member, PRIMARY KEY (team, number));
CREATE TABLE remark (team int, number int, text text, FOREIGN KEY (team, number) REFERENCES task);
CREATE TABLE badge (member int REFERENCES member, what text);
CREATE TABLE colour (name text PRIMARY KEY);
INSERT INTO team SELECT g FROM generate_series(1, 40) AS g;
INSERT INTO member SELECT g, 1 + g % 40, CASE WHEN g > 40 THEN g - 40 END FROM generate_series(1, 400) AS g;
UPDATE team SET lead = id + 39;
INSERT INTO task SELECT 1 + g % 40, g, CASE WHEN g % 3 > 0 THEN 1 + g % 400 END FROM generate_series(1, 2000) AS g;
INSERT INTO remark SELECT 1 + g % 40, g, 'r' || g FROM generate_series(1, 2000, 2) AS g;
INSERT INTO badge SELECT CASE WHEN g % 2 = 0 THEN g END, 'b' || g FROM generate_series(1, 400) AS g;
INSERT INTO colour SELECT 'colour ' || g FROM generate_series(1, 9) AS g;
ANALYZE;
"""


@pytest.fixture(scope="module")
def tree(production: Machine) -> Source:
    with production.connect() as connection:
        connection.execute("CREATE DATABASE tree")
    put(production, "/tmp/tree.sql", TREE.encode())
    production.run("psql", "-Xq", "-v", "ON_ERROR_STOP=1", "-d", "tree", "-f", "/tmp/tree.sql")
    rows = {"task": Rows(newest=20, by="number"), "colour": Rows()}
    return Source("tree", url=production.url("tree"), masks=Masks({}, rows, b"a key"))


@pytest.fixture
def subset(world: World, tree: Source) -> Iterator[psycopg.Connection[Any]]:
    world.goldens.refresh(tree)
    with world.as_preview(world.clones.clone(ONE, "tree")) as connection:
        yield connection
    world.clones.drop(ONE, "tree")


def one(connection: psycopg.Connection[Any], query: str) -> Any:
    row = connection.execute(query).fetchone()  # type: ignore[arg-type]
    return row[0] if row else None


def test_a_subset_keeps_foreign_keys_whole(subset: psycopg.Connection[Any], production: Machine) -> None:
    numbers = "SELECT array_agg(number ORDER BY number) FROM task"
    assert one(subset, numbers) == list(range(1981, 2001))  # the newest, and no other task
    with production.connect("tree") as raw:
        pointing = "SELECT count(*) FROM remark WHERE number > 1980"
        assert one(subset, "SELECT count(*) FROM remark") == one(raw, pointing) == 10  # by a key of two columns
        # What is pointed to, through the cycle of teams and leads and up every line of mentors: no more, no less.
        needed = """
            WITH RECURSIVE need (kind, id) AS (
              SELECT 't', team FROM task WHERE number > 1980
              UNION SELECT 'm', of_member FROM task WHERE number > 1980 AND of_member IS NOT NULL
              UNION SELECT up.kind, up.id FROM need CROSS JOIN LATERAL (
                SELECT 'm' AS kind, lead AS id FROM team WHERE need.kind = 't' AND team.id = need.id
                UNION ALL SELECT 't', team FROM member WHERE need.kind = 'm' AND member.id = need.id
                UNION ALL SELECT 'm', mentor FROM member WHERE need.kind = 'm' AND member.id = need.id
                  AND mentor IS NOT NULL) AS up)
            SELECT array_agg(DISTINCT id ORDER BY id) FROM need WHERE kind = """
        for kind, table in (("'t'", "team"), ("'m'", "member")):
            mine = one(subset, f"SELECT array_agg(id ORDER BY id) FROM {table}")  # type: ignore[arg-type]
            assert mine == one(raw, needed + kind)
            assert len(mine) < one(raw, f"SELECT count(*) FROM {table}")  # type: ignore[arg-type]
    # A table that points into it otherwise keeps the rows whose references are there; one without any is whole.
    assert one(subset, "SELECT count(*) FROM badge WHERE member IS NULL") == 200
    assert one(subset, "SELECT count(*) FROM badge WHERE member IS NOT NULL") == one(
        subset, "SELECT count(*) FROM member WHERE id % 2 = 0"
    )
    assert one(subset, "SELECT count(*) FROM colour") == 9
    # Every foreign key is there, and was checked when it was made.
    keys = "SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND convalidated"
    assert one(subset, keys) == 7


@pytest.fixture(scope="module")
def shop(production: Machine) -> Source:
    with production.connect() as connection:
        connection.execute("CREATE DATABASE by_command")
    # Without the mark by which other tests look for raw values on the server.
    put(production, "/tmp/people.sql", re.sub(b"(?i)qzqzq", b"other", (HERE / "people.sql").read_bytes()))
    production.run("psql", "-Xq", "-v", "ON_ERROR_STOP=1", "-d", "by_command", "-f", "/tmp/people.sql")
    return Source("by_command", url=production.url("by_command"))


def test_another_tool_makes_the_dump(world: World, shop: Source) -> None:
    script = 'pg_dump --format=custom --exclude-table-data=login --file="$DUMP_FILE" "$SOURCE_URL"'
    tool = replace(shop, command=("sh", "-c", script), command_image="postgres:18")
    golden = world.goldens.refresh(tool)
    assert golden.sanitised_by  # that there was a command is kept with it
    with world.as_preview(world.clones.clone(ONE, "by_command")) as app:
        assert one(app, "SELECT count(*) FROM login") == 0
        assert one(app, "SELECT count(*) FROM customer") == 2002
    world.clones.drop(ONE, "by_command")

    password = (shop.url or "").split("@")[0].rpartition(":")[2]
    for script, words in (
        ("exit 3", "ended with status 3"),
        ("true", "wrote nothing to $DUMP_FILE"),
        ("echo rubbish > $DUMP_FILE", "databases.by_command.command"),
        ('echo "no way to $SOURCE_URL" >&2; exit 1', "ended with status 1"),
    ):
        before = (world.goldens.current("by_command"), world.databases(), world.roles())
        with pytest.raises((errors.SanitiseFailed, errors.DumpUnusable)) as caught:
            world.goldens.refresh(replace(tool, command=("sh", "-c", script)))
        assert words in str(caught.value)
        assert password not in str(caught.value)
        assert (world.goldens.current("by_command"), world.databases(), world.roles()) == before
