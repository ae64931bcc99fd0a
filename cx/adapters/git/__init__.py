"""git: sources that are deployed (`sources`), and pull requests that are fetched (`fetching`)."""

from cx.adapters.git.sources import Source, Sources, leaves, project_of

__all__ = ["Source", "Sources", "leaves", "project_of"]
