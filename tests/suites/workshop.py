"""Where hostile repositories are made, and what a deployment does with a folder."""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cx.core.errors import CxError
from cx.core.names import Namespace
from cx.core.source import Source
from cx.git import Sources

PR = Namespace("preview-1")
MISSING = "1" * 40


@dataclass
class Workshop:
    """Where hostile repositories are made: `evil` is a program of theirs, `ran` says that somebody has run it."""

    folder: Path

    @property
    def evil(self) -> Path:
        path = self.folder / "evil"
        if not path.exists():
            path.write_text(f"#!/bin/sh\necho \"$0 $*\" >> '{self.folder}/proof'\nexit 1\n")
            path.chmod(0o755)
        return path

    @property
    def ran(self) -> str:
        proof = self.folder / "proof"
        return proof.read_text() if proof.exists() else ""

    def git(self, folder: Path, *argv: str, check: bool = True, stdin: str = "") -> str:
        """As whoever made the repository ran it, or a user without cx would."""
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "protocol.file.allow=always"]
        around = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "GIT_CONFIG_NOSYSTEM": "1"}
        done = subprocess.run(
            ["git", *identity, *argv], cwd=folder, env=around, input=stdin, check=check, capture_output=True, text=True
        )
        return done.stdout.strip()

    def repository(self, name: str) -> Path:
        folder = self.folder / name
        (folder / "sub").mkdir(parents=True)
        (folder / "app.py").write_text("print(1)\n")
        (folder / "sub" / "a").write_text("a\n")
        self.git(folder, "init", "--quiet", "--initial-branch=main")
        self.commit(folder)
        return folder

    def commit(self, folder: Path) -> str:
        self.git(folder, "add", "--all")
        self.git(folder, "commit", "--quiet", "--allow-empty", "-m", "x")
        return self.git(folder, "rev-parse", "HEAD")

    def config(self, folder: Path, **values: str) -> None:
        for key, value in values.items():
            self.git(folder, "config", "--add", key.replace("__", "."), value)

    def promise(self, folder: Path, url: str, **values: str) -> None:
        """HEAD is an object that git would fetch, by `url`."""
        self.config(folder, extensions__partialClone="p", remote__p__promisor="true", remote__p__url=url, **values)
        (folder / ".git" / "refs" / "heads" / "main").write_text(f"{MISSING}\n")


def used(sources: Sources, folder: Path, ref: str = "") -> Source | None:
    """All that a deployment does with a folder; None where cx refuses it."""
    with suppress(CxError):
        source = sources.read(folder, ref)
        sources.keep(PR, source)
        sources.digest(source.project, source.tree, ".")
        with sources.checkout(PR, source.project, source.tree):
            return source
    return None
