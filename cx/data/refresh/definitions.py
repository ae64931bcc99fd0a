"""The definitions of a dump as SQL, and what of them holds raw values of the source's."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from cx.data.masking.checking import Plan
from cx.data.masking.dialects.postgres import literals as asking
from cx.data.masking.dialects.postgres.reading import Reading
from cx.data.masking.literals import Definition, Literals, Words
from cx.data.refresh.dump import Dump, unreadable
from cx.data.workbench.tools import WORK, Tools

# As pg_dump and pg_restore write before each thing.
_ENTRY = re.compile(
    r"^--\n-- Name: (?P<name>.*); Type: (?P<kind>[^;\n]+); Schema: (?P<schema>.*); Owner: .*\n--$", re.M
)
_KINDS = {"TABLE ATTACH": "partition", "INDEX ATTACH": "index", "COMMENT": "comment on"}
_LIST = f"{WORK}/definitions.list"


def of_dump(tools: Tools, dump: Dump) -> tuple[Definition, ...]:
    """What an archive would make before and after its rows, and the settings that clones get."""
    use = []
    if dump.contents is not None:
        tools.put(_LIST, ("\n".join(dump.contents.keep) + "\n").encode())
        use = [f"--use-list={_LIST}"]
    ran = tools.run(["pg_restore", *use, "--schema-only", "--no-owner", "--no-privileges", "--file=-", dump.path])
    if not ran.ok:
        raise unreadable(dump.origin, ran)
    return (*of_text(ran.output), *of_settings(dump.settings))


def of_text(text: str) -> Iterator[Definition]:
    """The entries of what pg_dump or pg_restore writes."""
    found = list(_ENTRY.finditer(text))
    ends = [one.start() for one in found[1:]] + [len(text)]
    for entry, end in zip(found, ends, strict=True):
        name = entry["name"] if entry["schema"] in ("-", "public") else f"{entry['schema']}.{entry['name']}"
        kind = _KINDS.get(entry["kind"], entry["kind"].lower())
        yield Definition(kind, name, text[entry.end() : end])


def of_settings(settings: Mapping[str, str]) -> Iterator[Definition]:
    for name, value in settings.items():
        yield Definition("setting", name, f'"{value}"' if '"' not in value else value)


def held(reading: Reading, plan: Plan, definitions: Sequence[Definition]) -> Literals | None:
    """What of the definitions is a value of a masked column."""
    words = Words(definitions)
    return words.found(plan, asking.values(reading, plan, words.spelled))
