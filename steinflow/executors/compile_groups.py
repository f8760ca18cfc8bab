"""Which cell a worker takes next: one that shares compilations with its last one."""

from collections import deque
from collections.abc import Iterable
from itertools import islice
from typing import Any, Protocol, runtime_checkable

AHEAD = 1000  # cells that are looked at


@runtime_checkable
class HasCompileGroup(Protocol):
    """A worker."""

    compile_group: Any
    """`compile_group` of its last cell, None if that had none"""


def place_of(
    worker: HasCompileGroup, workers: Iterable[HasCompileGroup], waiting: deque[tuple[Any, int]]
) -> int:
    """Where its next cell waits: the first of its last one's group, which share compilations; else
    the first whose group no worker has; else the first."""
    groups = [getattr(cell, "compile_group", None) for cell, _ in islice(waiting, AHEAD)]
    if worker.compile_group in groups:
        return groups.index(worker.compile_group)
    taken = {other.compile_group for other in workers}
    return next((place for place, group in enumerate(groups) if group not in taken), 0)
