"""Marks: the comments on databases and roles that say whose they are (law 4).

A mark is JSON with the instance's id in it. Roles are marked in the transaction that makes them, databases
last of all: a database without a mark is half-made. Everybody on the server can read marks, so they hold no
secret. Only their owner and the superuser can write them, which no preview is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cx.core.names import Names

CLONE = "clone"
CLONE_ROLE = "clone-role"
GOLDEN = "golden"
SPARE = "spare"
SNAPSHOT = "snapshot"
POLICY_ROLE = "policy-role"


@dataclass(frozen=True)
class Mark:
    kind: str
    facts: Mapping[str, Any]

    def text(self, key: str) -> str:
        value = self.facts.get(key, "")
        return value if isinstance(value, str) else ""

    def number(self, key: str) -> int:
        value = self.facts.get(key, 0)
        return value if isinstance(value, int) else 0

    def moment(self, key: str) -> datetime | None:
        try:
            return datetime.fromisoformat(self.text(key))
        except ValueError:
            return None


def written(names: Names, kind: str, **facts: Any) -> str:
    return json.dumps({"cx": kind, "instance": names.instance, **facts}, ensure_ascii=True, sort_keys=True)


def read(names: Names, comment: str | None) -> Mark | None:
    """The mark in `comment`; None where there is none, or it is another instance's."""
    try:
        facts = json.loads(comment or "")
    except ValueError:
        return None
    if not isinstance(facts, dict) or facts.get("instance") != names.instance:
        return None
    return Mark(str(facts.get("cx", "")), facts)
