"""Which cell a worker takes next: one that shares compilations with its last one."""

from collections import deque
from collections.abc import Iterable
from itertools import islice
from typing import Any, Protocol, runtime_checkable

AHEAD = 1000  # cells that are looked at


@runtime_checkable
class HasKin(Protocol):
    """A worker."""

    kin: Any
    """`kin` of its last cell, None if that had none"""


def place_of(worker: HasKin, workers: Iterable[HasKin], waiting: deque[tuple[Any, int]]) -> int:
    """Where its next cell waits: the first of its last one's `kin`, which share compilations;
    else the first whose kin no worker has; else the first."""
    kins = [getattr(cell, "kin", None) for cell, _ in islice(waiting, AHEAD)]
    if worker.kin in kins:
        return kins.index(worker.kin)
    taken = {other.kin for other in workers}
    return next((place for place, kin in enumerate(kins) if kin not in taken), 0)
