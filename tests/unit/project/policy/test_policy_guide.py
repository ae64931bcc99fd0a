"""The guide's list of keys is made from the policy's table."""

from __future__ import annotations

import os
import re
import textwrap
from pathlib import Path

from cx.project.policy.table import SERVICE, Drop, Keep, Refuse, Use

GUIDE = Path(__file__).parents[4] / "docs" / "guide.md"
BEGIN, END = "<!-- keys: made from cx/project/policy/table.py -->\n", "<!-- end of keys -->"


JUDGED = {"build", "cap_add", "devices", "extra_hosts", "image", "labels", "sysctls", "ulimits", "volumes"}


def keys(*kinds: type, judged: bool = False) -> str:
    listed = [key for key, entry in SERVICE.items() if isinstance(entry, kinds) and (key in JUDGED) == judged]
    return ", ".join(f"`{key}`" for key in listed)


def made() -> str:
    items = {
        "Taken": keys(Keep, Use),
        "Taken where the value is harmless or allowed": keys(Keep, Use, judged=True),
        "Without effect, some with a note": keys(Drop),
        "Refused": keys(Refuse),
    }
    lines = [textwrap.fill(f"- **{name}**: {listed}.", 115, subsequent_indent="  ") for name, listed in items.items()]
    return "\n" + "\n".join(lines) + "\n\n"


def test_the_guide_lists_every_key_of_a_service():
    text = GUIDE.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    wanted = before + BEGIN + made() + END + after
    if os.environ.get("CX_UPDATE_GOLDEN"):
        GUIDE.write_text(wanted)
    assert text == wanted, "CX_UPDATE_GOLDEN=1 pytest updates the page"


def test_every_key_stands_in_one_list():
    listed = re.findall(r"`(\w+)`", made())
    assert sorted(listed) == sorted(SERVICE)
