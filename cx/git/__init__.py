"""git: sources that are deployed (`sources`), and pull requests that are fetched (`fetching`)."""

from cx.core.source import Source
from cx.git.sources import Sources, leaves, project_of

__all__ = ["Source", "Sources", "leaves", "project_of"]
