"""Cells in processes of this machine: one that dies or hangs costs its own cell only.

The pool of the standard library breaks as a whole when one of its processes is killed, so
this one speaks to each of its workers by a pipe of its own.
"""

import pickle
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from multiprocessing import connection
from typing import Any

from steinflow.executors.base import C, Failed, Options, Outcome, is_final, require_no_gpus
from steinflow.executors.compile_groups import place_of
from steinflow.executors.cores import slots
from steinflow.executors.worker import Worker


@dataclass(frozen=True)
class Processes:
    """A worker on each core (or on `threads` cores), started by spawn."""

    options: Options = field(default_factory=Options)

    def __post_init__(self) -> None:
        require_no_gpus(self.options)

    def run(
        self, function: Callable[[C], Any], cells: Sequence[C]
    ) -> Generator[tuple[C, Outcome], None, None]:
        """Every cell with its outcome, as they are finished."""
        require_picklable(function)
        waiting = deque((cell, 1) for cell in cells)
        cores = slots(self.options.workers, self.options.threads)[: len(cells)]
        workers: list[Worker] = []
        try:
            workers += [Worker(function, slot) for slot in cores]
            while waiting or any(worker.task for worker in workers):
                give(workers, waiting)
                for worker in awaited(workers, self.options.time_limit):
                    cell, tries = worker.task or (None, 0)
                    outcome = answer(worker, self.options.time_limit)
                    if cell is None or outcome is None:
                        continue
                    if is_final(outcome, tries, self.options):
                        yield cell, outcome._replace(tries=tries)
                    else:
                        waiting.append((cell, tries + 1))
        finally:
            for worker in workers:
                worker.kill()


def require_picklable(function: Callable[..., Any]) -> None:
    """Raise unless a worker can be sent the function."""
    try:
        pickle.dumps(function)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise ValueError(
            f"{function} cannot be sent to a worker ({error}). Give a function of a module."
        ) from error


def give(workers: list[Worker], waiting: deque[tuple[Any, int]]) -> None:
    """A cell to every worker that has none."""
    for worker in workers:
        if waiting and worker.is_free:
            place = place_of(worker, workers, waiting)
            if worker.give(waiting[place]):
                del waiting[place]


def awaited(workers: list[Worker], limit: float | None) -> list[Worker]:
    """Workers that have something to say, or are over the time limit; waits for one."""
    patience = 5.0
    if limit is not None:
        ends = [worker.since + limit for worker in workers if worker.task]
        patience = max(0.0, min([patience, *(end - time.monotonic() for end in ends)]))
    heard = connection.wait([worker.pipe for worker in workers], patience)
    return [w for w in workers if w.pipe in heard or (w.task and is_over(w, limit))]


def is_over(worker: Worker, limit: float | None) -> bool:
    """Whether a worker has taken more than its time."""
    return limit is not None and time.monotonic() > worker.since + limit


def answer(worker: Worker, limit: float | None) -> Outcome | None:
    """What a worker says of its cell; the late and the dead are replaced."""
    clock = time.monotonic() - worker.since
    if not worker.pipe.poll():
        worker.restart()
        return Failed(f"over the time limit of {limit:g} s", "TimeLimit", 1, clock)
    return worker.hear()
