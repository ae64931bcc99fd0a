"""JSON that a reader of YAML takes for the same."""

from __future__ import annotations

import json
import re

# An escape, whichever: so that the one behind an escaped backslash is not taken for one.
_ESCAPE = re.compile(r"\\(?:u(d[89ab][0-9a-f]{2})\\u(d[c-f][0-9a-f]{2})|.)")


def json_in_yaml(value: object) -> str:
    """`value` as JSON without pairs of surrogates, of which JSON makes one character and YAML none."""
    return _ESCAPE.sub(_joined, json.dumps(value))


def _joined(escape: re.Match[str]) -> str:
    if not escape[1]:
        return escape[0]
    return chr(0x10000 + ((int(escape[1], 16) - 0xD800) << 10) + (int(escape[2], 16) - 0xDC00))
