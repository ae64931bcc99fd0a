"""Looks for what other users of a host could open in the folders `state` and `tmp` of FOLDER: `walking.py FOLDER`.

It is run as a program too, in the middle of what cx does.
"""

from __future__ import annotations

import os
import stat
import sys
from contextlib import suppress
from pathlib import Path

OTHERS = stat.S_IRWXG | stat.S_IRWXO


def opened(folder: Path) -> list[str]:
    """Each file and folder of cx's state, and of its temporary ones, that is open to others than its user.

    In a checkout, the tree's own files have the modes that the repository gives them: the folder around it is closed.
    """
    found = []
    for top in ("state", "tmp"):
        for inner, folders, files in os.walk(folder / top):
            place = Path(inner).relative_to(folder)
            if len(place.parts) == 3 and place.parts[1] == "checkouts":
                folders[:] = [name for name in folders if name.startswith("build-")]  # the rest is the tree
            for path in (Path(inner), *(Path(inner) / name for name in files)):
                with suppress(FileNotFoundError):
                    mode = path.lstat().st_mode
                    if mode & OTHERS and not stat.S_ISLNK(mode) and not (top == "tmp" and path == folder / top):
                        found.append(f"{path.relative_to(folder)} {stat.S_IMODE(mode):o}")
    return found


if __name__ == "__main__":
    print("\n".join(opened(Path(sys.argv[1]))), end="")
