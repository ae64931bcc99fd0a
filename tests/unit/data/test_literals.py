"""What of SQL is looked for among the values of masked columns."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cx.data.masking.literals import Definition, Literals, words

HELD = [
    ("CHECK (email <> 'ada@corp.example'::text)", "ada@corp.example"),
    ("email text DEFAULT 'Ada Lovelace'::text NOT NULL", "Ada Lovelace"),
    ("FOR VALUES IN ('it''s ada', 'other')", "it's ada"),
    ("CHECK (v ~ '^ada@corp\\.example$'::text)", "ada@corp.example"),
    ("WHERE (v ~~ '%ada@corp.example%'::text)", "ada@corp.example"),
    ("VALUES (E'first\\nada@corp.example')", "ada@corp.example"),
    ("AS $$ SELECT 'ada@corp.example' $$", "ada@corp.example"),
    ("AS $_$ BEGIN EXECUTE 'SELECT ''ada@corp.example'''; END $_$", "ada@corp.example"),
    ("AS $$ x = replace(y, '\\', '') || 'ada@corp.example' $$", "ada@corp.example"),
    ("AS $$ x = 'a\\'b' + 'ada@corp.example' $$", "ada@corp.example"),
    ('AS $$ return "ada@corp.example" $$', "ada@corp.example"),
    ("AS $$ NULL; -- for Ada Lovelace\n $$", "Ada Lovelace"),
    ("/* for Ada\nAda Lovelace */", "Ada Lovelace"),
    ("COMMENT ON TABLE x IS 'Ask (Ada Lovelace), Musterweg 12, 10115 Berlin!'", "Musterweg 12, 10115 Berlin"),
    ("COMMENT ON TABLE x IS 'as Lovelace, Ada has it'", "Lovelace, Ada"),
    ('CREATE SCHEMA "ada@corp.example"', "ada@corp.example"),
    ('CREATE SCHEMA "tenant ""b"" c"', 'tenant "b" c'),
    ('\'{"a": ["\\u00c4da Lovelace"]}\'::jsonb', "Äda Lovelace"),
    ("'{\"ada@corp.example\": 1}'::jsonb", "ada@corp.example"),
    ("'{a,\"Ada Lovelace\",NULL}'::text[]", "Ada Lovelace"),
    ("'(1,ada@corp.example)'::pair", "ada@corp.example"),
    ("'\\x416461204c6f76656c616365'::bytea", "Ada Lovelace"),
    ("'<p mail=\"ada@corp.example\">Ada&#32;Lovelace</p>'::xml", "Ada Lovelace"),
    ("CHECK (phone <> 491701234567)", "491701234567"),
    ("/*!50001 VIEW `v` AS select 1 from `p` where (`p`.`email` = 'ada@corp.example') */", "ada@corp.example"),
    ("`c` varchar(80) COMMENT 'O\\'Neill, Ada'", "O'Neill, Ada"),
]


@pytest.mark.parametrize(("sql", "word"), HELD)
def test_a_value_is_a_word_wherever_it_stands(sql: str, word: str) -> None:
    assert word in words(sql)


PLAIN = [
    ("DEFAULT 'completed'", "completed"),
    ("CHECK (state = 'PENDING_REVIEW')", "PENDING_REVIEW"),
    ("CREATE TABLE public.customers (a integer)", "customers"),
    ("COMMENT ON TABLE x IS 'Completed purchases of a customer'", "Completed"),
    ("COMMENT ON TABLE x IS 'completed by customer'", "completed by"),
    ("FOR VALUES FROM (10000000000) TO (20000000000)", "10000000000"),
    ("MAXVALUE 9223372036854775807", "9223372036854775807"),
    ("CHECK (id < 12345)", "12345"),
    ("AS $$ SELECT total_of_customer1 FROM t $$", "total_of_customer1"),
]


@pytest.mark.parametrize(("sql", "word"), PLAIN)
def test_what_a_program_says_is_no_word(sql: str, word: str) -> None:
    assert word not in words(sql)


@given(st.text(alphabet="'\"`$\\-/*\n ax@1\u00e9{[(", max_size=60))
def test_any_text_has_words_that_are_in_it(text: str) -> None:
    for word in words(text):
        assert len(word) >= 8
    assert "ada@corp.example" in words(f"'ada@corp.example' {text}")


def test_a_name_that_is_a_value_is_not_shown() -> None:
    held = Definition("schema", "Ada@corp.example and more", "")
    assert held.said(["ada@corp.example"]) == "schema *** and more"
    found = Literals({"b.c": tuple(f"view v{n}" for n in range(6)), "a.b": ("view x",)})
    assert str(found) == "a.b in view x; b.c in view v0, view v1, view v2, view v3 and 2 more"
