"""Names: one place spells what a thing of ours is called, on every system that it lives on."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import total_ordering

from cx.core.errors import Invalid

NAMESPACE_RULE = (
    "must be 2 to 40 characters of a-z, 0-9 and single dashes, begin with a letter and end with a letter or digit"
)
_NAMESPACE = re.compile(r"[a-z](?:[a-z0-9]|-(?!-))*[a-z0-9]")
_INSTANCE = re.compile(r"[a-z][a-z0-9]{0,11}")
_DATABASE = re.compile(r"[a-z](?:[a-z0-9]|_(?!_))*[a-z0-9]|[a-z]")
_SERVICE = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._-]{0,62}")

# Labels of law 4. A test fails on a label that is not listed here.
LABEL_PREFIX = "dev.cx."
LABEL_INSTANCE = "dev.cx.instance"
LABEL_NAMESPACE = "dev.cx.namespace"
LABEL_REVISION = "dev.cx.revision"
LABEL_SERVICE = "dev.cx.service"
LABEL_ROLE = "dev.cx.role"
LABEL_BUILD = "dev.cx.build"
LABEL_DATA = "dev.cx.data"
LABEL_REPLICA = "dev.cx.replica"
LABEL_RESTART = "dev.cx.restart"
LABEL_DATABASE = "dev.cx.database"
LABEL_MARK = "dev.cx.mark"
LABEL_WAY = "dev.cx.way"
LABELS = frozenset(
    {
        LABEL_INSTANCE,
        LABEL_NAMESPACE,
        LABEL_REVISION,
        LABEL_SERVICE,
        LABEL_ROLE,
        LABEL_BUILD,
        LABEL_DATA,
        LABEL_REPLICA,
        LABEL_RESTART,
        LABEL_DATABASE,
        LABEL_MARK,
        LABEL_WAY,
        "dev.cx.stand-in",
    }
)

DNS_LABEL_MAX = 63
IDENTIFIER_MAX = 63  # NAMEDATALEN - 1 of PostgreSQL


@total_ordering
@dataclass(frozen=True)
class Namespace:
    """One isolated preview: `preview-123`. Raises Invalid when the name breaks NAMESPACE_RULE.

    Namespaces are ordered as people count: `preview-2` comes before `preview-10`.
    """

    name: str

    def __lt__(self, other: Namespace) -> bool:
        return natural(self.name) < natural(other.name)

    def __post_init__(self) -> None:
        if not 2 <= len(self.name) <= 40 or not _NAMESPACE.fullmatch(self.name):
            raise Invalid("namespace", shown(self.name), NAMESPACE_RULE, remedy="for example preview-123")

    def __str__(self) -> str:
        return self.name


def natural(text: str) -> tuple[tuple[int | str, ...], str]:
    """For sorting names as people count: their numbers are compared as numbers."""
    parts = re.split(r"([0-9]+)", text)  # texts and numbers in turn
    return tuple(int(one) if place % 2 else one for place, one in enumerate(parts)), text


def shown(text: str, limit: int = 60) -> str:
    """`text` made safe to print in one line: control characters escaped, long values cut."""
    plain = text.encode("unicode_escape").decode("ascii")
    return plain if len(plain) <= limit else plain[: limit - 3] + "..."


def check_instance(name: str) -> str:
    if not _INSTANCE.fullmatch(name):
        raise ValueError("must be 1 to 12 characters of a-z and 0-9, beginning with a letter")
    return name


def check_database(name: str) -> str:
    if len(name) > 30 or not _DATABASE.fullmatch(name):
        raise ValueError("must be 1 to 30 characters of a-z, 0-9 and single underscores, beginning with a letter")
    return name


def check_service(name: str) -> str:
    if not _SERVICE.fullmatch(name):
        raise ValueError("must be 1 to 63 characters of letters, digits, '.', '_' and '-'")
    return name


def shortened(text: str, limit: int) -> str:
    """`text`, or its beginning and a hash of the whole where it is longer than `limit`: still unique."""
    if len(text) <= limit:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return f"{text[: limit - 9].rstrip('-_')}-{digest}"


def dns_label(text: str) -> str:
    """`text` as one DNS label: lower case, other characters as dashes, at most 63 long, still unique."""
    plain = re.sub(r"[^a-z0-9-]+", "-", text.lower()).strip("-")
    if plain != text:
        plain = f"{plain[: DNS_LABEL_MAX - 9]}-{hashlib.sha256(text.encode()).hexdigest()[:8]}".lstrip("-")
    return shortened(plain, DNS_LABEL_MAX)


@dataclass(frozen=True)
class Names:
    """What the things of one instance of cx are called."""

    instance: str

    # --- Docker
    def labels(self, namespace: Namespace | None, role: str, **more: str) -> dict[str, str]:
        """The owner's labels. `role` is what the thing is for: service, release, pooler, files, stack, ..."""
        labels = {LABEL_INSTANCE: self.instance, LABEL_ROLE: role}
        if namespace:
            labels[LABEL_NAMESPACE] = namespace.name
        for key, value in more.items():
            if f"{LABEL_PREFIX}{key}" not in LABELS:
                raise ValueError(f"label {LABEL_PREFIX}{key} is not declared in LABELS")
            labels[f"{LABEL_PREFIX}{key}"] = value
        return labels

    def stack(self) -> str:
        return self.instance

    def project(self, namespace: Namespace, revision: str = "") -> str:
        """The Compose project: of one revision, or (without) of what outlives revisions."""
        return f"{self.instance}-{namespace}" + (f"-r{revision}" if revision else "-data")

    def network(self, namespace: Namespace, revision: str = "") -> str:
        return self.project(namespace, revision)

    def data_network(self) -> str:
        return f"{self.instance}_data"

    def volume(self, namespace: Namespace, volume: str) -> str:
        return f"{self.instance}-{namespace}_{volume}"

    def files_volume(self, namespace: Namespace, revision: str) -> str:
        """The volume with what a revision mounts from its checkout."""
        return f"{self.instance}-{namespace}-r{revision}_files"

    def kept_files_volume(self, namespace: Namespace, digest: str) -> str:
        """The volume with what services that outlive revisions mount from a checkout: another one for other files."""
        return f"{self.instance}-{namespace}-f{digest}_files"

    def clone_volume(self, namespace: Namespace, database: str, stamp: str) -> str:
        """A clone that is a volume. No volume of a project's is called so: see `volume`."""
        return f"{self.instance}.{namespace}.{database}.{stamp}"

    def snapshot_volume(self, namespace: Namespace, database: str, stamp: str) -> str:
        """What a clone that is a volume held at one moment."""
        return f"{self.clone_volume(namespace, database, stamp)}.snapshot"

    def golden_volume(self, database: str, stamp: str) -> str:
        return f"{self.instance}_golden.{database}.{stamp}"

    def image(self, namespace: Namespace, service: str, build: str) -> str:
        plain = re.sub(r"[^a-z0-9-]+", "-", service.lower()).strip("-") or "x"
        return f"{self.instance}/{namespace}/{shortened(plain, 60)}:{build}"

    def image_prefix(self, namespace: Namespace) -> str:
        return f"{self.instance}/{namespace}/"

    # --- PostgreSQL
    def database(self, namespace: Namespace, database: str) -> str:
        """A clone's name, and its role's: at most 63 characters."""
        return shortened(f"{self.instance}__{namespace.name.replace('-', '_')}__{database}", IDENTIFIER_MAX)

    def golden_prefix(self, database: str) -> str:
        return f"{self.instance}_golden__{database}__"

    def spare_prefix(self, database: str) -> str:
        """What the names of finished clones begin with that wait for a namespace."""
        return f"{self.instance}_spare__{database}__"

    def snapshot_prefix(self, namespace: Namespace, database: str) -> str:
        """What the names of a clone's snapshots begin with: 23 to 33 characters."""
        digest = hashlib.sha256(f"{namespace}/{database}".encode()).hexdigest()[:10]
        return f"{self.instance}_snap__{digest}__"

    def golden_owner(self, database: str) -> str:
        """The role that owns the objects in a golden and in its clones. Nobody logs in as it."""
        return f"{self.instance}_owner__{database}"

    # --- router
    def route_file(self, namespace: Namespace) -> str:
        return f"{self.instance}-{namespace}.yml"
