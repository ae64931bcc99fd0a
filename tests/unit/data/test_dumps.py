"""What of a dump's list, and of its text, may be restored."""

from __future__ import annotations

from cx.data.refresh.archive import contents
from cx.data.refresh.plain import Reading, filtered

LIST = """
314; 1259 57338 FOREIGN TABLE public far table cx
315; 1259 57339 TABLE public near cx
5590; 0 0 COMMENT public FOREIGN TABLE far table cx
5591; 0 0 COMMENT public COLUMN far table.id cx
5592; 0 0 COMMENT public COLUMN near.id cx
5593; 2604 1 DEFAULT public far table id cx
5594; 2620 1 TRIGGER public far table watched cx
5595; 2606 1 CHECK CONSTRAINT public far table positive cx
5596; 2606 1 CHECK CONSTRAINT other far table positive cx
5597; 2620 1 TRIGGER public near watched cx
"""
KEPT = ["315;", "5592;", "5596;", "5597;"]
PLAIN = b"""--
-- PostgreSQL database dump
--
-- Name: far; Type: FOREIGN TABLE; Schema: public; Owner: cx
--
CREATE FOREIGN TABLE public.far (id integer);
--
-- Name: FOREIGN TABLE far; Type: COMMENT; Schema: public; Owner: cx
--
COMMENT ON FOREIGN TABLE public.far IS 'of two
lines';
--
-- Name: COLUMN far.id; Type: COMMENT; Schema: public; Owner: cx
--
COMMENT ON COLUMN public.far.id IS 'x';
--
-- Name: COLUMN near.id; Type: COMMENT; Schema: public; Owner: cx
--
COMMENT ON COLUMN public.near.id IS 'y';
--
-- PostgreSQL database dump complete
--
"""


def test_what_belongs_to_a_foreign_table_stays_behind_with_it() -> None:
    found = contents(LIST)
    assert [line.split()[0] for line in found.keep] == KEPT
    assert found.notes == ("left out: foreign table far table",)


def test_in_a_plain_dump_too() -> None:
    reading = Reading()
    assert b"".join(filtered(PLAIN.splitlines(keepends=True), reading)) == b"COMMENT ON COLUMN public.near.id IS 'y';\n"
    assert reading.notes == ("left out: foreign table far",)
    assert not reading.cut
