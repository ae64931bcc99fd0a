"""A project's Compose text in its normal form, as `docker compose config` makes it.

The program reads what we have read and written again, never the project's text; it is given no variable of
ours, no file but the project's own `.env`, and bounded time, memory and output.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import subprocess
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cx.core.errors import Invalid, Retryable
from cx.core.json_in_yaml import json_in_yaml
from cx.core.names import shown
from cx.plugins import program
from cx.project.checkout import read_inside

TIMEOUT_S = 20.0
OUTPUT_MAX_BYTES = 8 * 1024 * 1024
MEMORY_MAX_BYTES = 1536 * 1024 * 1024
DOTENV_MAX_BYTES = 64 * 1024
_LINE_MAX = 2000  # characters of a message of Compose's that are looked into


def normalise(
    document: Mapping[str, Any], *, checkout: Path, where: str, variables: Mapping[str, str], base: str = "."
) -> tuple[dict[str, Any], list[str]]:
    """The normal form of `document`, with every `$$` made `$`, and the names of variables that were not set.

    `variables` are what `${NAME}` may stand for, over the project's own `.env`; `base` is the folder of the
    checkout that has this `.env`, and that paths are relative to. Raises Invalid (file and key).
    """
    inner = {key: value for key, value in document.items() if key not in ("name", "version")}
    checkout = Path(os.path.realpath(checkout))
    with tempfile.TemporaryDirectory(prefix="cx-") as folder:
        argv = [program("compose"), "--file", "-", "--project-directory", str(checkout / base), "--project-name", "x"]
        for path in _env_files(Path(folder), checkout, base, variables):
            argv += ["--env-file", str(path)]
        text = json_in_yaml(inner)
        model, errors, status = _run([*argv, "config", "--format", "json"], text, Path(folder))
        needed = _needed(text, Path(folder), variables) if status else []
    unset = sorted(set(re.findall(r'The \\"([^"\\]{1,255})\\" variable is not set', errors)))
    if status:
        raise _with_unset(_translated(errors, where, checkout, needed), unset)
    try:
        normal = json.loads(model)
    except ValueError as exc:
        raise Invalid(where, "", "docker compose gave no model for it") from exc
    return _unescaped(normal), unset


def read_dotenv(checkout: Path, base: str) -> bytes:
    """The `.env` in the folder `base` of the checkout; empty where there is none."""
    path = os.path.normpath(f"{base}/.env")
    # Beyond being regular, short and in the checkout, Compose's own reader judges what is in it.
    return read_inside(checkout, path, size_max=DOTENV_MAX_BYTES) if os.path.lexists(checkout / path) else b""


def _env_files(folder: Path, checkout: Path, base: str, variables: Mapping[str, str]) -> list[Path]:
    """The project's `.env`, as it is, then what is said over it. Without either, a file that is empty."""
    dotenv, ours = folder / "project.env", folder / "cx.env"
    dotenv.write_bytes(read_dotenv(checkout, base))
    ours.write_text("".join(f"{name}={quoted(value)}\n" for name, value in variables.items()), "utf-8", newline="")
    return [dotenv, ours]


def quoted(value: str) -> str:
    """`value` as Compose's reader of env files takes it literally."""
    if "'" not in value and not value.endswith("\\"):
        return f"'{value}'"
    for plain, escaped in (("\\", "\\\\"), ('"', '\\"'), ("$", "\\$"), ("\n", "\\n"), ("\r", "\\r")):
        value = value.replace(plain, escaped)
    return f'"{value}"'


def _run(argv: list[str], text: str, folder: Path) -> tuple[str, str, int]:
    # Without a home it would look up ours, and find our configuration there. This much `${HOME}` can show.
    # `${PWD}` is the folder that the paths of the file are relative to; unset, it would be that of the process.
    environment = {"HOME": "/nonexistent", "PWD": "."}
    (folder / "model.json").write_text(text, "utf-8")
    with (folder / "model.json").open("rb") as model, (folder / "errors").open("w+b") as errors:
        process = subprocess.Popen(
            argv,
            stdin=model,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=environment,
            cwd=folder,
            process_group=0,  # and in cx's session: what ends a session of cx's ends it, too
        )
        with contextlib.suppress(ProcessLookupError, AttributeError):
            resource.prlimit(process.pid, resource.RLIMIT_AS, (MEMORY_MAX_BYTES, MEMORY_MAX_BYTES))
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (OUTPUT_MAX_BYTES, OUTPUT_MAX_BYTES))
        late = threading.Event()

        def stop() -> None:
            late.set()
            process.kill()

        watchdog = threading.Timer(TIMEOUT_S, stop)
        watchdog.start()
        try:
            assert process.stdout  # noqa: S101 - it is a pipe
            output = process.stdout.read(OUTPUT_MAX_BYTES + 1)
            if len(output) > OUTPUT_MAX_BYTES:
                process.kill()
        except BaseException:  # whoever waits for it is told to end
            process.kill()
            raise
        finally:
            status = process.wait()
            watchdog.cancel()
            process.stdout.close() if process.stdout else None
        errors.seek(0)
        said = errors.read(64 * 1024).decode(errors="replace")
    if late.is_set():
        raise Retryable(f"`docker compose config` took more than {TIMEOUT_S:.0f} s")
    if len(output) > OUTPUT_MAX_BYTES:
        return "", "the model is too large once its variables are filled in", 1
    return output.decode(errors="replace"), said, status


_SAID = (
    (r"error while interpolating ([^\s:]+): required variable (\S+) is missing a value(?:: (.*))?", "variable"),
    (r"error while interpolating ([^\s:]+): (.*)", "key"),
    (r"invalid interpolation format for ([^\s]+?)\.?(?: |$)()", "format"),
    (r"validating -: (\S+) false schema()", "unknown"),
    (r"validating -: (\S+) additional properties (.*) not allowed", "unknown names"),
    (r"validating -: (\S+) (.*)", "key"),
    (r"'services\[([^\]]+)\](\S*)' (.*)", "decoding"),
    (r'service "([^"]+)" (.*)', "service"),
    (r"(services\.\S+|volumes\.\S+|networks\.\S+): (.*)", "key"),
    (r"failed to read \S+/project\.env: (.*)", "dotenv"),
    (r"failed to read \S+/cx\.env: (.*)", "values"),
    (r"fatal error: out of memory|too large once", "memory"),
)


def _needed(text: str, folder: Path, variables: Mapping[str, str]) -> list[str]:
    """The variables that `${NAME:?}` in `text` asks for, and that nothing seems to set."""
    dotenv = (folder / "project.env").read_text(errors="replace")
    given = {*variables, *re.findall(r"^[^\S\n]*(?:export\s+)?(\w+)\s*[=:]", dotenv, re.MULTILINE)}
    asked = dict.fromkeys(re.findall(r"(?<!\$)\$\{([A-Za-z_]\w{0,254}):?\?", text))
    return [name for name in asked if name not in given]


def _translated(errors: str, where: str, checkout: Path, needed: list[str]) -> Invalid:
    """What Compose said, as file, key and problem. The wording is that of Compose 2.30 to 5.6."""
    lines = [line.strip()[:_LINE_MAX] for line in errors.splitlines() if line.strip() and not line.startswith("time=")]
    for line in lines:
        for pattern, kind in _SAID:
            match = re.search(pattern, line)
            if match:
                return _as_invalid(kind, match, where, needed)
    said = next((line for line in lines), "docker compose refused it")
    said = said.removesuffix(": invalid compose project").replace(f"{checkout}/", "")
    return Invalid(where, "", shown(said, 200))


def _with_unset(wrong: Invalid, unset: list[str]) -> Invalid:
    """`wrong`, and that variables are not set: often that is why."""
    if not unset or wrong.remedy:
        return wrong
    names = ", ".join(shown(name) for name in unset[:5]) + (", ..." if len(unset) > 5 else "")
    remedy = f"not set, and so empty: {names}; set them in .env, in [environment] of cx.toml, or with --set"
    return Invalid(wrong.where, wrong.key, wrong.problem.rstrip(": "), remedy=remedy)


def _as_invalid(kind: str, match: re.Match[str], where: str, needed: list[str]) -> Invalid:
    groups = [shown(group or "", 160).removesuffix(": invalid compose project") for group in match.groups()]
    if kind == "variable":
        because = f" ({groups[2]})" if groups[2] else ""
        remedy = f"set it in .env, in [environment] of cx.toml, or with --set {groups[1]}=..."
        if others := [name for name in needed if name != groups[1]]:
            remedy += f"; needed as well: {', '.join(map(shown, others[:20]))}"
        return Invalid(where, groups[0].removesuffix(".[]"), f"needs the variable {groups[1]}{because}", remedy=remedy)
    if kind == "format":
        return Invalid(where, groups[0], "has a $ that begins no variable", remedy="write $$ for a $")
    if kind == "unknown":
        return Invalid(where, groups[0], "is not a key of Compose")
    if kind == "unknown names":
        return Invalid(where, groups[0], f"may not hold {groups[1]}")
    if kind == "decoding":
        return Invalid(where, f"services.{groups[0]}{groups[1]}", groups[2])
    if kind == "service":
        return Invalid(where, f"services.{groups[0]}", groups[1])
    if kind == "dotenv":
        return Invalid(".env", "", groups[0])
    if kind == "values":
        return Invalid("cx.toml", "environment", groups[0])
    if kind == "memory":
        return Invalid(where, "", "is too large once its variables are filled in")
    return Invalid(where, groups[0], groups[1])


def _unescaped(value: Any) -> Any:
    if isinstance(value, dict):
        return {key.replace("$$", "$"): _unescaped(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_unescaped(one) for one in value]
    return value.replace("$$", "$") if isinstance(value, str) else value
