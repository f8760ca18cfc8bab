"""One process trains in a folder."""

import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from steinflow.executors.locks import locked
from steinflow.rl.checkpoint import RunError

NAME = ".lock"
WITHOUT = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)  # file systems that have no locks
HELD: set[IO[Any]] = set()


def let_go() -> None:
    """A child that is forked holds no folder: it may outlive the process that trains."""
    for file in HELD:
        file.close()
    HELD.clear()


os.register_at_fork(after_in_child=let_go)


@contextmanager
def run_lock(folder: Path) -> Iterator[Callable[[], None]]:
    """Keep others out of a folder: at once if it is there, else from the first call of what this
    gives. Where the file system has no locks, nobody is kept out.

    Raises:
        RunError: another process trains there.
    """
    held: list[IO[Any]] = []

    def claim() -> None:
        if held:
            return
        try:
            file = locked(folder / NAME)
        except OSError as error:
            if error.errno in WITHOUT:
                return
            raise
        if file is None:
            raise RunError(f"Another process trains in {folder}. Stop it, or give another --out.")
        held.append(file)
        HELD.add(file)

    if folder.is_dir():
        claim()
    try:
        yield claim
    finally:
        for file in held:
            HELD.discard(file)
            if not file.closed:  # a child that has not closed its copy yet would keep the lock
                fcntl.flock(file, fcntl.LOCK_UN)
                file.close()
