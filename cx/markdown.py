"""Words for a comment: what a pull request brought is in code or escaped, and neither markup nor a mention.

Of Python's own library alone: it is also imported where a repository's template is rendered.
"""

from __future__ import annotations

import re

from cx.redaction import visible

_MARKUP = re.compile(r"[\\`*_\[\]<>|!~$&{}^=]")
_JOINED = re.compile(r"(?<=[@#])|(?<=:)(?=//)|(?<=[wW]{3})(?=\.)|(?<=[gG][hH])(?=-)")  # else a mention, a link


def code(value: str) -> str:
    """A code span, also in a table."""
    said = plain(value).replace("`", "'").replace("|", "¦")
    return f"`{cut(said, 200) or '?'}`"


def text(value: str) -> str:
    """Words in a line, also in a table: nothing of it is markup, a mention or a link."""
    return escaped(plain(value))


def fenced(value: str) -> str:
    """A block of code. Its fence is longer than any inside."""
    said = visible(value).strip("\n")
    longest = max((len(run) for run in re.findall(r"`+", said)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{said}\n{fence}"


def escaped(line: str) -> str:
    return _JOINED.sub("\u2060", _MARKUP.sub(r"\\\g<0>", line))


def plain(value: str) -> str:
    """One line, without what a terminal would obey and nobody sees."""
    return " ".join(visible(value).split())


def cut(value: str, most: int) -> str:
    return value if len(value) <= most else value[:most] + "…"
