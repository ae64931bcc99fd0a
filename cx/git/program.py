"""git as cx starts it, wherever it does: by argv only, with no hooks, no prompts, and nobody's configuration.

What a repository's own configuration could still start (a lazy fetch from its promisor remote, in any protocol that it
allows) each of three settings stops: GIT_ALLOW_PROTOCOL, which no key overrides; GIT_NO_LAZY_FETCH, where git knows it
(2.45, and the security releases of older ones); safe.bareRepository, for ordinary files that look like a repository.
https://git-scm.com/docs/git#_environment_variables and https://git-scm.com/docs/git-config
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from cx.core.errors import Retryable, Terminal

NONE = "none"  # a protocol that there is not
TIMEOUT_S = 300
_ENVIRONMENT = {
    "HOME": "/nonexistent",
    "LC_ALL": "C",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_ASKPASS": "/bin/false",
    "GIT_NO_LAZY_FETCH": "1",
}
_SAFE = (
    "-c", "safe.bareRepository=explicit", "-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false",
    "-c", "core.autocrlf=false", "-c", "core.symlinks=true", "-c", "core.protectNTFS=true",
    "-c", "core.attributesFile=/dev/null", "-c", "core.quotePath=false", "-c", "gc.auto=0",
    "-c", "core.excludesFile=/dev/null", "-c", "advice.addEmbeddedRepo=false",
)  # fmt: skip


def git(*argv: str | Path) -> list[str]:
    """The argv of one git."""
    return ["git", *_SAFE, *map(str, argv)]


def environment(more: Mapping[str, str] | None = None, *, protocol: str = NONE) -> dict[str, str]:
    """All that it sees of the environment. It may fetch by `protocol`, and by no other."""
    return {"PATH": os.environ.get("PATH", os.defpath), **_ENVIRONMENT, "GIT_ALLOW_PROTOCOL": protocol, **(more or {})}


def run(
    argv: list[str],
    more: Mapping[str, str] | None = None,
    *,
    protocol: str = NONE,
    umask: int = -1,
) -> subprocess.CompletedProcess[str]:
    """`argv` has ended, well or not. Where PATH names a relative folder, no program is found in a project's.

    Raises Retryable after TIMEOUT_S, Terminal where there is no git.
    """
    try:
        return subprocess.run(
            argv,
            env=environment(more, protocol=protocol),
            cwd="/",
            umask=umask,
            capture_output=True,
            text=True,
            errors="surrogateescape",
            timeout=TIMEOUT_S,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    except subprocess.TimeoutExpired as exc:
        raise Retryable(f"git took more than {TIMEOUT_S} s") from exc
    except FileNotFoundError as exc:
        raise Terminal("git is not installed", remedy="see `cx doctor`") from exc
