"""Cells as tasks of a Ray cluster: a running one (RAY_ADDRESS), or one on this machine."""

import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from steinflow.executors.base import C, Failed, Options, Outcome, attempt, is_final
from steinflow.executors.cores import claim, slots

AHEAD = 20_000  # tasks handed over at once, of which as many workers can be busy
BATCH = 1_000  # tasks handed over between two looks at what is finished


@dataclass(frozen=True)
class Ray:
    """Needs the extra `ray`. On a cluster every node must have steinflow, and see the folder."""

    options: Options = field(default_factory=Options)

    def run(
        self, function: Callable[[C], Any], cells: Sequence[C]
    ) -> Generator[tuple[C, Outcome], None, None]:
        """Every cell with its outcome, as they are finished."""
        with connected(self.options) as ray:
            task = ray.remote(
                num_cpus=self.options.threads, num_gpus=self.options.gpus, max_retries=0
            )(pinned)
            waiting = deque((cell, 1) for cell in cells)
            running: dict[Any, tuple[C, int]] = {}
            try:
                while waiting or running:
                    room = (self.options.workers or AHEAD) - len(running)
                    for _ in range(min(BATCH, room, len(waiting))):
                        cell, tries = waiting.popleft()
                        running[task.remote(function, cell, self.options)] = cell, tries
                    for done in finished(ray, list(running), patient=room <= BATCH or not waiting):
                        cell, tries = running.pop(done)
                        outcome = outcome_of(ray, done, self.options)
                        if is_final(outcome, tries, self.options):
                            yield cell, outcome._replace(tries=tries)
                        else:
                            waiting.append((cell, tries + 1))
            finally:
                for left in running:
                    ray.cancel(left, force=True)


def finished(ray: Any, tasks: list[Any], patient: bool) -> list[Any]:
    """All tasks that are finished, at least one if patient: asking for one at a time would take
    as long as there are tasks, for each of them."""
    if patient:
        ray.wait(tasks, num_returns=1)
    ready: list[Any] = ray.wait(tasks, num_returns=len(tasks), timeout=0)[0]
    return ready


def outcome_of(ray: Any, done: Any, options: Options) -> Outcome:
    """What a task gave; that its worker or node was lost is the cell's failure."""
    try:
        return ray.get(done)
    except ray.exceptions.RayError as error:
        late = "" if options.time_limit is None else f", over its {options.time_limit:g} s"
        why = f"the worker ended: killed, out of memory{late}, or its node was lost"
        return Failed(f"{why}\n{error}", type(error).__name__, 1, 0.0)


def pinned(function: Callable[[C], Any], cell: C, options: Options) -> Outcome:
    """A cell within a Ray worker, on cores that no other worker of the node has."""
    claim(options.threads)
    if options.time_limit is None:
        return attempt(function, cell)
    alarm = threading.Timer(options.time_limit, os._exit, (1,))  # Ray starts another worker
    alarm.daemon = True
    alarm.start()
    try:
        return attempt(function, cell)
    finally:
        alarm.cancel()


@contextmanager
def connected(options: Options) -> Iterator[Any]:
    """The module ray, connected; what was started here is stopped, and nothing else."""
    import ray

    if ray.is_initialized():
        yield ray
        return
    if os.environ.get("RAY_ADDRESS"):
        ray.init(log_to_driver=False)
    else:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent anywhere
        cpus = len(slots(options.workers, options.threads)) * options.threads
        ray.init(num_cpus=cpus, include_dashboard=False, log_to_driver=False)
    try:
        yield ray
    finally:
        ray.shutdown()
