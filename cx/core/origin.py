"""Where a namespace comes from, and so who owns it. Origins are read and compared here, and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from cx.core.errors import Owned
from cx.core.names import Namespace


class OriginKind(StrEnum):
    """The value is what stands before the colon where an origin is stored; a folder is stored as its path alone."""

    NOBODY = ""
    FOLDER = "folder"
    REPOSITORY = "github"
    FORK = "fork-of"
    UPLOAD = "remote"


PREFIXED = {str(one): one for one in (OriginKind.REPOSITORY, OriginKind.FORK, OriginKind.UPLOAD)}


@dataclass(frozen=True)
class Origin:
    """`name` is a folder's path, a repository (`owner/name` in lower case), or the namespace that an upload is for.

    A repository's own pull requests and those of its forks are two origins: what one is granted, the other is not.
    """

    kind: OriginKind = OriginKind.NOBODY
    name: str = ""

    @classmethod
    def parse(cls, stored: str) -> Origin:
        """The origin that `str` made this text of."""
        prefix, colon, name = stored.partition(":")
        if colon and prefix in PREFIXED:
            return cls(PREFIXED[prefix], name)
        return cls(OriginKind.FOLDER, stored) if stored else cls()

    @classmethod
    def folder(cls, path: object) -> Origin:
        return cls(OriginKind.FOLDER, str(path))

    @classmethod
    def pulls_of(cls, repository: str, *, fork: bool = False) -> Origin:
        return cls(OriginKind.FORK if fork else OriginKind.REPOSITORY, repository.lower())

    @classmethod
    def upload(cls, namespace: Namespace) -> Origin:
        return cls(OriginKind.UPLOAD, namespace.name)

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}" if self.kind in PREFIXED.values() else self.name

    @property
    def repository(self) -> str:
        """The repository whose pull requests these are; "" for what is no pull request."""
        return self.name if self.kind in (OriginKind.REPOSITORY, OriginKind.FORK) else ""

    @property
    def words(self) -> str:
        """For the host's people: a pull request is not told of folders and other repositories."""
        match self.kind:
            case OriginKind.FOLDER:
                return f"the folder {self.name}"
            case OriginKind.REPOSITORY:
                return f"a pull request of {self.name}"
            case OriginKind.FORK:
                return f"a fork's pull request of {self.name}"
            case OriginKind.UPLOAD:
                return "an upload through the API"
            case OriginKind.NOBODY:
                return "nobody"

    def may_have(self, owner: Origin) -> bool:
        """It may deploy to a namespace of `owner`: its own, or one that nobody owns."""
        return owner in (self, NOBODY)

    def may_remove(self, owner: Origin) -> bool:
        """As `may_have`. A pull request that is closed is not asked any more whether it came from a fork."""
        return self.may_have(owner) or bool(self.repository and self.repository == owner.repository)


NOBODY = Origin()


def owned(namespace: Namespace, owner: Origin) -> Owned:
    return Owned(
        f"{namespace} belongs to {owner.words}",
        remedy=f"choose another name, or first delete it on its host: cx delete --namespace {namespace}",
    )
