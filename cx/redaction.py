"""Texts without the host's secrets, before they leave it."""

from __future__ import annotations

import re
from collections.abc import Iterable

SHORTEST = 6  # characters: a shorter secret stands in too many texts by chance
SHORTEST_WORD = 3  # of a password, which is hidden as a word of its own only: "raw" is not hidden in "drawn"
PEM = re.compile(r"-----(?:BEGIN|END) [A-Z0-9 ]+-----")  # around a key stands nothing that is secret

_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\^_])")
_CONTROL = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff\U000e0000-\U000e007f]"
)


class Redactor:
    """Knows secrets, and takes them out. Of `passwords` it also takes out short ones, where one is a whole word."""

    def __init__(self, secrets: Iterable[str], passwords: Iterable[str] = ()) -> None:
        passwords = [*passwords]
        lines = {line for secret in (*secrets, *passwords) for line in (secret, *secret.splitlines())}
        known = {line for line in lines if len(line) >= SHORTEST and not PEM.fullmatch(line)}
        words = {one for one in passwords if SHORTEST_WORD <= len(one) < SHORTEST}
        longest_first = sorted(known | words, key=len, reverse=True)
        patterns = (rf"(?<!\w){re.escape(one)}(?!\w)" if one in words else re.escape(one) for one in longest_first)
        self._pattern = re.compile("|".join(patterns)) if longest_first else None

    def __call__(self, text: str) -> str:
        """As it is seen: a secret with a colour or an invisible character in it is one, too."""
        return self._pattern.sub("***", visible(text)) if self._pattern else visible(text)

    def __repr__(self) -> str:
        return "Redactor(...)"


def visible(value: str) -> str:
    """As a terminal shows it in the end, without colours: of a line that was overwritten, what it says last."""
    lines = _ANSI.sub("", value).replace("\r\n", "\n").split("\n")
    return "\n".join(_CONTROL.sub("", line.rstrip("\r").rpartition("\r")[2]) for line in lines)
