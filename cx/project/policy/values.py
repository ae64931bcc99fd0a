"""Checks of single values. Each gives what may be kept, or None, having said why in `look`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from cx.core.durations import compose_duration, duration_s
from cx.core.names import LABEL_PREFIX, shown
from cx.core.sizes import size_bytes
from cx.project.policy.findings import Look, at, plain

Take = Callable[[Look, str, Any], Any]

TEXT_MAX = 64 * 1024
WORDS_MAX = 1000
ENVIRONMENT_MAX_BYTES = 256 * 1024
MEMORY_LEAST = 6 << 20
CPUS_LEAST = 0.01

# What a project may ask for: enough to start as root, own its files and drop to a user.
CAPABILITIES = frozenset({"CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "NET_BIND_SERVICE", "SETGID", "SETUID"})
ULIMITS = {"core": -1, "fsize": -1, "memlock": -1, "nofile": 1_048_576, "nproc": 65_536, "stack": 1_073_741_824}
_REPOSITORY = re.compile(
    r"(?=.{1,255}$)[A-Za-z0-9][A-Za-z0-9._-]*(?::[0-9]{1,5})?(?:/[a-z0-9][a-z0-9._-]*)*"
    r"(?::[A-Za-z0-9_][A-Za-z0-9._-]{0,127})?(?:@sha256:[0-9a-f]{64})?"
)


def matching(pattern: str, what: str) -> Take:
    compiled = re.compile(pattern)

    def take(look: Look, key: str, value: Any) -> Any:
        text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
        if isinstance(text, str) and compiled.fullmatch(text):
            return text
        look.refuse(key, f"should be {what}, is {_seen(value)}")
        return None

    return take


def boolean(look: Look, key: str, value: Any) -> bool | None:
    if isinstance(value, bool):
        return value
    look.refuse(key, f"should be true or false, is {_seen(value)}")
    return None


def words(look: Look, key: str, value: Any) -> list[str] | None:
    if isinstance(value, list) and len(value) <= WORDS_MAX and all(is_text(one) for one in value):
        return list(value)
    look.refuse(key, f"should be a list of words, is {_seen(value)}")
    return None


def environment(look: Look, key: str, value: Any) -> dict[str, str] | None:
    if not isinstance(value, Mapping):
        look.refuse(key, f"should be a table, is {_seen(value)}")
        return None
    kept: dict[str, str] = {}
    for name, one in value.items():
        if not isinstance(name, str) or not name or not plain(name) or re.search(r"[=\s]", name) or len(name) > 255:
            look.refuse(at(key, name), "is not the name of an environment variable")
        elif one is None:
            look.note(at(key, name), "has no value here (cx passes none of the host's on): left out")
        elif not is_text(one):
            look.refuse(at(key, name), "should be text without control characters")
        else:
            kept[name] = one
    if sum(len(name) + len(one) for name, one in kept.items()) > ENVIRONMENT_MAX_BYTES:
        look.refuse(key, f"holds more than {ENVIRONMENT_MAX_BYTES // 1024} KiB")
    return kept


def labels(look: Look, key: str, value: Any) -> dict[str, str] | None:
    pairs = dict(one.partition("=")[::2] for one in value if isinstance(one, str)) if isinstance(value, list) else value
    if not isinstance(pairs, Mapping):
        look.refuse(key, f"should be a table, is {_seen(value)}")
        return None
    for name in pairs:
        if str(name).strip().lower().startswith(LABEL_PREFIX):
            look.refuse(at(key, name), f"labels that begin with {LABEL_PREFIX} are cx's own")
    return {str(name): str(one) for name, one in pairs.items() if one is not None}


def healthcheck(look: Look, key: str, value: Any) -> dict[str, Any] | None:
    if not isinstance(value, Mapping):
        look.refuse(key, f"should be a table, is {_seen(value)}")
        return None
    kept: dict[str, Any] = {}
    for name, one in value.items():
        where = at(key, name)
        if name == "test":
            test = words(look, where, one)
            if test and test[0] not in ("CMD", "CMD-SHELL", "NONE"):
                look.refuse(where, "should begin with CMD, CMD-SHELL or NONE")
            elif test:
                kept[name] = test
        elif name == "disable":
            if boolean(look, where, one):
                kept[name] = True
        elif name == "retries":
            if isinstance(one, int) and not isinstance(one, bool) and 0 <= one <= 1000:
                kept[name] = one
            else:
                look.refuse(where, f"should be a number up to 1000, is {_seen(one)}")
        elif name in ("interval", "timeout", "start_period"):
            kept[name] = bounded_time(look, where, one, 0.0 if name == "start_period" else 1.0, 600.0)
        elif name == "start_interval":
            kept[name] = bounded_time(look, where, one, 0.1, 600.0)
        elif not str(name).startswith("x-"):
            look.refuse(where, "is not a known key")
    return {name: one for name, one in kept.items() if one is not None}


def bounded_time(look: Look, key: str, value: Any, least: float, most: float) -> str | None:
    try:
        found = duration_s(value, zero=True)
    except ValueError as exc:
        look.refuse(key, f"should be a time such as 10s, is {_seen(value)}: {exc}")
        return None
    bounded = min(max(found, least), most)
    if bounded != found:
        look.note(key, f"{shown(str(value))} is made {compose_duration(bounded)}")
    return compose_duration(bounded)


def stop_grace_period(look: Look, key: str, value: Any) -> str | None:
    return bounded_time(look, key, value, 0.0, 60.0)


def restart(look: Look, key: str, value: Any) -> str | None:
    """As in Blueprint. `unless-stopped` is `always`: what is stopped here is stopped by cx."""
    if value in ("always", "unless-stopped", "any"):
        return "always"
    if value in ("no", "none", "on-failure") or re.fullmatch(r"on-failure:[0-9]{1,4}", str(value)):
        return "no" if value == "none" else str(value).removesuffix(":0")
    look.refuse(key, f"should be no, always, unless-stopped, on-failure or on-failure:N, is {_seen(value)}")
    return None


def memory(look: Look, key: str, value: Any) -> int | None:
    """At most the cap; None for 0, which would mean no limit."""
    if value in (0, "0") and not isinstance(value, bool):
        look.note(key, f"0 means no limit: made {look.caps.memory}")
        return None
    found = _size(look, key, value, "256m")
    if found is not None and found < MEMORY_LEAST:
        look.refuse(key, "should be at least 6m, which is the engine's least")
        return None
    return found


def shm_size(look: Look, key: str, value: Any) -> int | None:
    if value in (0, "0") and not isinstance(value, bool):  # the engine's default, as if it were not said
        return None
    return _size(look, key, value, "64m")


def _size(look: Look, key: str, value: Any, example: str) -> int | None:
    """At most the memory of one container."""
    try:
        found = size_bytes(value)
    except ValueError as exc:
        look.refuse(key, f"should be a size such as {example}, is {_seen(value)}: {exc}")
        return None
    most = look.caps.memory_bytes
    if found > most:
        look.note(key, f"{shown(str(value))} is more than a container gets here: made {look.caps.memory}")
    return min(found, most)


def cpus(look: Look, key: str, value: Any) -> float | None:
    """At most the cap; None for 0, which would mean no limit."""
    try:
        found = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else -1.0
    except (ValueError, OverflowError):
        found = -1.0
    if not 0 <= found < 1e6 or "_" in str(value):
        look.refuse(key, f"should be a number of cores, is {_seen(value)}")
        return None
    if found == 0:
        look.note(key, f"0 means no limit: made {look.caps.cpus:g}")
        return None
    if found < CPUS_LEAST:
        look.refuse(key, f"should be at least {CPUS_LEAST}, which is the engine's least")
        return None
    if found > look.caps.cpus:
        look.note(key, f"{found:g} is more than a container gets here: made {look.caps.cpus:g}")
    return min(found, look.caps.cpus)


def pids(look: Look, key: str, value: Any) -> int | None:
    """At most the cap; None for -1 and 0, which would mean no limit."""
    if not isinstance(value, int) or isinstance(value, bool):
        look.refuse(key, f"should be a number, is {_seen(value)}")
        return None
    if value <= 0:
        look.note(key, f"{value} means no limit: made {look.caps.pids}")
        return None
    if value > look.caps.pids:
        look.note(key, f"{value} is more than a container gets here: made {look.caps.pids}")
    return min(value, look.caps.pids)


def replicas(look: Look, key: str, value: Any) -> int | None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        look.refuse(key, f"should be a number, is {_seen(value)}")
        return None
    if value > look.caps.replicas:
        look.note(key, f"{value} are more than a service gets here: made {look.caps.replicas}")
    return min(value, look.caps.replicas)


def ulimits(look: Look, key: str, value: Any) -> dict[str, Any] | None:
    if not isinstance(value, Mapping):
        look.refuse(key, f"should be a table, is {_seen(value)}")
        return None
    kept: dict[str, Any] = {}
    for name, one in value.items():
        where = at(key, name)
        if name not in ULIMITS:
            look.refuse(where, f"may be one of {', '.join(ULIMITS)}")
            continue
        pair = one if isinstance(one, Mapping) else {"soft": one, "hard": one}
        limits = [n for n in (pair.get("soft"), pair.get("hard")) if isinstance(n, int) and not isinstance(n, bool)]
        most = ULIMITS[name]
        if set(pair) != {"soft", "hard"} or len(limits) != 2:
            look.refuse(where, "should be a number, or soft and hard")
        elif any(n < (-1 if most == -1 else 0) or (most >= 0 and n > most) for n in limits):
            look.refuse(where, f"should be {'a number or -1' if most == -1 else f'at most {most}'}")
        else:
            kept[name] = {"soft": limits[0], "hard": limits[1]}
    return kept


def cap_add(look: Look, key: str, value: Any) -> list[str] | None:
    if not isinstance(value, list):
        look.refuse(key, f"should be a list, is {_seen(value)}")
        return None
    kept = []
    for one in value:
        name = str(one).upper().removeprefix("CAP_")
        if name in CAPABILITIES or look.grants.allow(f"cap_add:{name}"):
            kept.append(name)
        else:
            look.refuse(key, f'{shown(name)} gives more than a preview needs (allow = ["cap_add:{shown(name)}"])')
    return sorted(set(kept))


def devices(look: Look, key: str, value: Any) -> list[dict[str, str]] | None:
    kept = []
    for one in value if isinstance(value, list) else [value]:
        parts = one if isinstance(one, Mapping) else {}
        source = str(parts.get("source", one))
        target, permissions = str(parts.get("target", source)), str(parts.get("permissions", "rwm"))
        if not look.grants.allow(f"device:{source}"):
            look.refuse(key, f'{shown(source)} is the host\'s (allow = ["device:{shown(source)}"])')
        elif not re.fullmatch(r"/[A-Za-z0-9._/-]+", target) or not re.fullmatch(r"[rwm]{1,3}", permissions):
            look.refuse(key, f"{shown(target)} is not the path of a device")
        else:
            kept.append({"source": source, "target": target, "permissions": permissions})
    return kept


def extra_hosts(look: Look, key: str, value: Any) -> dict[str, list[str]] | None:
    if not isinstance(value, Mapping | list):
        look.refuse(key, "should be names and their addresses")
        return None
    pairs = value.items() if isinstance(value, Mapping) else [str(one).partition("=")[::2] for one in value]
    if not look.grants.allow("extra_hosts"):
        if pairs and all(addresses in ("host-gateway", ["host-gateway"]) for _, addresses in pairs):
            look.note(key, "is left out: a preview does not reach the host")
        else:
            look.refuse(key, 'names of other machines are not given (allow = ["extra_hosts"])')
        return None
    kept: dict[str, list[str]] = {}
    for name, addresses in pairs:
        listed = addresses if isinstance(addresses, list) else [addresses]
        if re.fullmatch(r"[A-Za-z0-9._-]{1,253}", str(name)) and all(
            re.fullmatch(r"host-gateway|[0-9a-fA-F.:]{2,45}", str(one)) for one in listed
        ):
            kept[str(name)] = [str(one) for one in listed]
        else:
            look.refuse(at(key, name), "should be a name and its address")
    return kept


def group_add(look: Look, key: str, value: Any) -> list[str] | None:
    if isinstance(value, list) and all(re.fullmatch(r"[A-Za-z0-9_.-]{1,32}", str(one)) for one in value):
        return [str(one) for one in value]
    look.refuse(key, "should be a list of groups")
    return None


def image(look: Look, key: str, value: Any) -> str | None:
    """A reference that leads to a registry: no image of cx's own, and no id of an image that is here."""
    if not isinstance(value, str) or not _REPOSITORY.fullmatch(value):
        look.refuse(key, f"is not the name of an image: {_seen(value)}")
        return None
    name = re.sub(r"^(?:index\.)?docker\.io/(?:library/)?", "", value)
    if re.match(rf"{re.escape(look.instance)}[/:@]", name + ":"):
        look.refuse(key, f"images that begin with {look.instance}/ are cx's own, of other previews")
        return None
    if re.fullmatch(r"(?:sha256:)?[0-9a-f]{1,64}", value):  # the engine takes the beginning of an id, too
        look.refuse(key, f"looks like the id of an image on the host: {shown(value)}; write its registry before it")
        return None
    return value


def is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= TEXT_MAX and plain(value)


def _seen(value: Any) -> str:
    if isinstance(value, str | int | float | bool):
        return shown(str(value)) or "empty"
    return {list: "a list", dict: "a table", type(None): "nothing"}.get(type(value), "something else")


path_in_container = matching(r"/[^\x00-\x1f\x7f$:\\]{0,1023}", "an absolute path")
user = matching(r"[A-Za-z0-9_.-]{1,64}(?::[A-Za-z0-9_.-]{1,64})?", "a user, or user:group")
stop_signal = matching(r"(?:SIG)?[A-Z][A-Z0-9+-]{1,12}|[0-9]{1,2}", "a signal")
