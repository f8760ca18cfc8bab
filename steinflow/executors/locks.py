"""Locks of files: the system lets go of them when a process ends, so none is ever stale."""

import fcntl
from pathlib import Path
from typing import IO, Any


def locked(path: Path) -> IO[Any] | None:
    """The file, open for reading and writing and locked; None if another process has it."""
    file = path.open("a+b", buffering=0)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    except OSError:
        file.close()
        raise
    return file
