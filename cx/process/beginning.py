"""What every program of cx begins with, and what all that it starts inherits.

The files that it makes are for its user alone, and a relative folder in PATH, which is one of whatever project somebody
stands in, names no program.
"""

import os

UMASK = 0o077


def begin() -> None:
    """It loads nothing: a command is to be there at once."""
    os.umask(UMASK)
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    os.environ["PATH"] = os.pathsep.join(folder for folder in folders if os.path.isabs(folder))
