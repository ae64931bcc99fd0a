"""`[github]`: whose pull requests get previews, and how cx talks to GitHub."""

from __future__ import annotations

import re
import string
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, Struct

from cx.core.names import shortened, shown
from cx.schema import Rule, Secret, Wrong
from cx.settings.rules import is_variable

ONE, SEVERAL = "preview-{pr}", "{repo}-{pr}"
NAMESPACE_MAX = 40
NUMBER_MAX = 7  # digits of a pull request's number that a name has room for


def is_repository(text: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9-]{0,38}/[A-Za-z0-9._-]{1,100}", text) or text.endswith(("/.", "/..")):
        raise ValueError(f"should be owner/name, is {shown(text)}")


def is_namespace_template(text: str) -> None:
    try:
        parsed = list(string.Formatter().parse(text))
    except ValueError as exc:
        raise ValueError("has a brace that is not closed") from exc
    fields = [field for _, field, _, _ in parsed if field is not None]
    odd = any(spec or conversion for _, _, spec, conversion in parsed)
    if odd or sorted(fields) not in (["pr"], ["pr", "repo"]):
        raise ValueError("should hold {pr} once, and {repo} once or not at all")
    plain = text.replace("{repo}", "r")
    if not re.fullmatch(r"[a-z]([a-z0-9]|-(?!-))*-\{pr\}", plain) or len(plain) > 24:
        raise ValueError("should be a-z, 0-9 and single dashes, begin with a letter or {repo}, and end with -{pr}")


def is_slug(text: str) -> None:
    if not re.fullmatch(r"[a-z]([a-z0-9]|-(?!-))*[a-z0-9]|[a-z]", text) or len(text) > 24:
        raise ValueError("should be up to 24 of a-z, 0-9 and single dashes, beginning with a letter")


def is_fetch_url(text: str) -> None:
    if re.match(r"https?://[^/]*@", text):
        raise ValueError("should hold no user and no password: they come from github.token (not shown here)")
    if not re.fullmatch(r"(https://|http://|file:///|/)[A-Za-z0-9._~:/%+\[\]-]+", text):
        raise ValueError(f"should be an https:// URL, is {shown(text)}")


def is_submodule(text: str) -> None:
    if "@" in text:
        raise ValueError("should hold no user and no password, as in owner/name (not shown here)")
    if ".." in text or not re.fullmatch(
        r"[A-Za-z0-9][A-Za-z0-9-]{0,38}/([A-Za-z0-9._-]{1,100}|\*)"
        r"|((https|http|file)://[A-Za-z0-9.:\[\]-]*)?(/[A-Za-z0-9._~+-]+)+(/\*)?|https://[A-Za-z0-9.:\[\]-]+/\*",
        text,
    ):
        raise ValueError(f"should be owner/name, owner/* or an https:// URL, is {shown(text)}")


def is_api_url(text: str) -> None:
    if not re.fullmatch(r"https://[A-Za-z0-9.:-]+(/[A-Za-z0-9._/-]*)?", text) and not re.fullmatch(
        r"http://(127\.0\.0\.1|localhost|\[::1\])(:[0-9]+)?(/[A-Za-z0-9._/-]*)?", text
    ):
        raise ValueError(f"should be an https:// URL such as https://github.example.com/api/v3, is {shown(text)}")


class Repository(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which pull requests of one repository get a preview, and what they get."""

    labels: Annotated[
        Literal["all", "preview", "no-preview"],
        Meta(
            description="`all`: labels play no part; `preview`: only those with the label `preview`; `no-preview`: "
            "all but those with the label `no-preview`."
        ),
    ] = "no-preview"
    drafts: Annotated[bool, Meta(description="Drafts get one too.")] = True
    branches: Annotated[
        list[str],
        Meta(description="Only pull requests to these branches, such as `main` or `release/*`. Empty: to any."),
    ] = []
    ignore: Annotated[
        list[str],
        Meta(
            description="A pull request that changes only such paths gets none: `docs/**`, `*.md`. `*` ends at a "
            "slash, `**` does not; a pattern without a slash is for a file's name in any folder."
        ),
    ] = []
    not_needed: Annotated[
        Literal["success", "none"],
        Meta(
            description="The commit status of a pull request that these rules give no preview: `success`, so that a "
            "required check is passed, or `none`."
        ),
    ] = "success"
    forks: Annotated[
        Literal["approve", "never"],
        Meta(
            description="`approve`: one commit of a fork is built when somebody who may write to the repository says "
            "`/cx approve`; `never`: not even then."
        ),
    ] = "approve"
    fork_data: Annotated[
        bool, Meta(description="An approved fork's commit gets clones of this host's databases, as other previews do.")
    ] = False
    name: Annotated[
        str | None,
        Meta(description="What stands for `{repo}` in a namespace. Default: the repository's own name."),
        Rule(is_slug),
    ] = None
    environment: Annotated[
        str, Meta(pattern=r"^[a-z][a-z0-9_-]{0,39}$(?!\n)", description="Which `[environments.*]` of cx.toml holds.")
    ] = "preview"
    env: Annotated[
        dict[Annotated[str, Rule(is_variable)], Secret],
        Meta(description="Variables for every service, such as keys of a test account. A fork never gets them."),
    ] = {}
    own_comment: Annotated[
        bool,
        Meta(
            description="The repository may replace the comment's template: by `.cx/comment.md.j2` of its default "
            "branch, never by a pull request's."
        ),
    ] = True
    comment_template: Annotated[
        Path | None, Meta(description="A Jinja template for the comment on this host; the repository's does not count.")
    ] = None
    submodules: Annotated[
        list[Annotated[str, Rule(is_submodule)]],
        Meta(
            description="Which repositories may come along as submodules: `owner/name` or `owner/*` on the same "
            "server, an `https://` URL, or one that ends with `/*`. Empty: submodules stay empty folders. A pull "
            "request chooses among these, and what it chooses is read with the token (not for a fork): list none "
            "that its authors may not see."
        ),
    ] = []
    lfs: Annotated[
        bool, Meta(description="Files in Git LFS are fetched. Otherwise their pointers stay what they are.")
    ] = False
    id: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        Meta(
            description="GitHub's number of the repository. Default: that of the repository which has the name when cx "
            "asks first. By it a repository is known when it is renamed; another one of its name is not followed."
        ),
    ] = None
    url: Annotated[
        str | None,
        Meta(description="Where to fetch it from instead of GitHub. A path or `file://` needs `allow_local`."),
        Rule(is_fetch_url),
    ] = None


class GitHub(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Pull requests: which repositories, and how cx talks to GitHub."""

    repositories: dict[Annotated[str, Rule(is_repository)], Repository] = {}
    namespace: Annotated[
        str | None,
        Meta(
            description="How a preview is called, from `{pr}` and `{repo}`. Default: `preview-{pr}` with one "
            "repository, `{repo}-{pr}` with several."
        ),
        Rule(is_namespace_template),
    ] = None
    base_url: Annotated[
        str,
        Meta(description="The REST API; of GitHub Enterprise: `https://HOST/api/v3` or `https://api.NAME.ghe.com`."),
        Rule(is_api_url),
    ] = "https://api.github.com"
    token: Annotated[
        Secret | None,
        Meta(
            description="A token that may read the code and the pull requests, and write issues' comments, deployments "
            "and statuses. Default: the variable GITHUB_TOKEN."
        ),
    ] = None
    app_id: Annotated[
        Annotated[int, Meta(ge=1)] | None, Meta(description="A GitHub App instead of a token: its number.")
    ] = None
    private_key: Annotated[Path | None, Meta(description="With `app_id`: the file of its private key (PEM).")] = None
    comment: Annotated[bool, Meta(description="Write one comment on each pull request.")] = True
    deployments: Annotated[bool, Meta(description="Tell GitHub's Deployments API.")] = True
    status: Annotated[bool, Meta(description="Set a commit status on the head of each pull request.")] = True
    at_once: Annotated[int, Meta(ge=1, le=64, description="Previews that are built and deployed at once.")] = 2
    sync_s: Annotated[
        int, Meta(ge=5, le=86_400, description="Seconds between two comparisons of all open pull requests with GitHub.")
    ] = 300
    fetch_timeout_s: Annotated[int, Meta(ge=1, le=86_400, description="Seconds for fetching one commit.")] = 300
    fetch_size_mb: Annotated[
        int, Meta(ge=1, le=1_000_000, description="MiB that one fetch may bring; one that grows larger is ended.")
    ] = 1024
    fetch_files: Annotated[int, Meta(ge=1, le=10_000_000, description="Files that one commit may hold.")] = 100_000
    allow_local: Annotated[
        bool, Meta(description="`url` of a repository may be a path or `file://`: for tests and trying out.")
    ] = False

    def __post_init__(self) -> None:
        if (self.app_id is None) != (self.private_key is None):
            missing = "app_id" if self.app_id is None else "private_key"
            raise Wrong(missing, "is missing: a GitHub App needs app_id and private_key")
        if len(self.rules) < len(self.repositories):
            raise Wrong("repositories", "two of its names differ in case only: GitHub does not tell them apart")
        for name, rules in self.repositories.items():
            if rules.url and not rules.url.startswith("https://") and not self.allow_local:
                raise Wrong(f"repositories.{name}.url", "should be an https:// URL", "or set github.allow_local = true")
            if any(re.match("/|file:|http:", one) for one in rules.submodules) and not self.allow_local:
                raise Wrong(
                    f"repositories.{name}.submodules",
                    "should hold https:// URLs, owner/name or owner/*",
                    "or set github.allow_local = true",
                )
        if len(self.repositories) > 1 and "{repo}" not in self.template:
            raise Wrong(
                "namespace",
                f"gives pull requests of {len(self.repositories)} repositories the same names",
                f'set github.namespace = "{SEVERAL}"',
            )
        taken: dict[str, str] = {}
        for name in self.repositories if "{repo}" in self.template else ():
            other = taken.setdefault(self.slug(name), name)
            if other != name:
                raise Wrong(
                    f"repositories.{name}.name",
                    f"is missing: previews of {name} and {other} would have the same names",
                    f'set it: github.repositories."{name}".name = "..."',
                )

    # --- what follows from the keys
    @property
    def rules(self) -> Mapping[str, Repository]:
        """By the repository's name in lower case, as in PullId."""
        return {name.lower(): rules for name, rules in self.repositories.items()}

    @property
    def template(self) -> str:
        return self.namespace or (SEVERAL if len(self.repositories) > 1 else ONE)

    def slug(self, repository: str) -> str:
        """What stands for `{repo}`: 2 to 24 characters, or fewer where the template leaves less room."""
        rules = self.rules.get(repository.lower())
        if rules and rules.name:
            return rules.name
        plain = re.sub(r"[^a-z0-9]+", "-", repository.lower().partition("/")[2]).strip("-")
        plain = plain if plain[:1].isalpha() else f"r-{plain}".strip("-")
        room = NAMESPACE_MAX - NUMBER_MAX - len(self.template.replace("{repo}", "").replace("{pr}", ""))
        return shortened(plain, min(24, room))

    def namespace_of(self, repository: str, number: int) -> str:
        """The name of a pull request's namespace: of its number and the configuration, of nothing else (law 6)."""
        return self.template.replace("{repo}", self.slug(repository)).replace("{pr}", str(number))
