"""A repository as it comes: its `cx.toml`, its Compose file, its Dockerfile. All of it is hostile input."""

from cx.project.document import Document
from cx.project.reading import Project, check_environment, read_document, read_project

__all__ = ["Document", "Project", "check_environment", "read_document", "read_project"]
