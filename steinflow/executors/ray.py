"""Cells in actors of a Ray cluster: a running one (RAY_ADDRESS), or one on this machine."""

import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from steinflow.executors.base import C, Failed, Options, Outcome, attempt, is_final
from steinflow.executors.compile_groups import place_of
from steinflow.executors.cores import claim, slots
from steinflow.io.files import StudyError

MOST = 20_000  # workers
STARTS = 10  # ends in a row before a worker was ready, after which nothing will help


@dataclass(frozen=True)
class Ray:
    """Needs the extra `ray`. On a cluster every node must have steinflow, and see the folder."""

    options: Options = field(default_factory=Options)

    def run(
        self, function: Callable[[C], Any], cells: Sequence[C]
    ) -> Generator[tuple[C, Outcome], None, None]:
        """Every cell with its outcome, as they are finished."""
        waiting = deque((cell, 1) for cell in cells)
        with connected(self.options) as ray:
            team = Team(ray, function, self.options)
            try:
                while waiting or team.at_work:
                    team.fit(len(waiting))
                    team.give(waiting)
                    for (cell, tries), outcome in team.heard():
                        if is_final(outcome, tries, self.options):
                            yield cell, outcome._replace(tries=tries)
                        else:
                            waiting.append((cell, tries + 1))
            finally:
                team.fit(0, at_work=False)


class Pinned:
    """A worker's own end: on cores that no other worker of its node has."""

    def __init__(self, function: Callable[[Any], Any], options: Options) -> None:
        self.function, self.options = function, options
        claim(options.threads)

    def ready(self) -> None:
        """Answers once the worker is there."""

    def compute(self, cell: Any) -> Outcome:
        """A cell; over its time limit the worker ends."""
        if self.options.time_limit is None:
            return attempt(self.function, cell)
        alarm = threading.Timer(self.options.time_limit, os._exit, (1,))
        alarm.daemon = True
        alarm.start()
        try:
            return attempt(self.function, cell)
        finally:
            alarm.cancel()


class Member:
    """A worker as the driver sees it, and what it has been given."""

    def __init__(self, actor: Any) -> None:
        self.actor, self.compile_group, self.is_ready = actor, None, False
        self.call: Any = actor.ready.remote()
        self.task: tuple[Any, int] | None = None

    def give(self, task: tuple[Any, int]) -> None:
        """A cell and which try of it this is."""
        self.task, self.compile_group = task, getattr(task[0], "compile_group", None)
        self.call = self.actor.compute.remote(task[0])


class Team:
    """The workers; one that Ray cannot place yet waits, which tells a cluster to grow."""

    def __init__(self, ray: Any, function: Callable[..., Any], options: Options) -> None:
        self.ray, self.options, self.members, self.stillborn = ray, options, list[Member](), 0
        kind = ray.remote(num_cpus=options.threads, num_gpus=options.gpus, max_restarts=0)(Pinned)
        self.arguments = ray.put(function), options  # the function is sent to a node once
        self.start: Callable[..., Any] = kind.remote
        self.cores = int(ray.cluster_resources().get("CPU", 1)) // options.threads

    @property
    def at_work(self) -> list[Member]:
        """Those that have a cell."""
        return [member for member in self.members if member.task]

    def fit(self, waiting: int, at_work: bool = True) -> None:
        """As many workers as there is work for, and at most as many starting as are there; the
        idle go when nothing waits."""
        wanted = min(self.options.workers or MOST, waiting + len(self.at_work) * at_work)
        ready = sum(member.is_ready for member in self.members)
        starting = len(self.members) - ready
        while len(self.members) < wanted and starting < max(self.cores, ready, 1):
            self.members.append(Member(self.start(*self.arguments)))
            starting += 1
        for member in list(self.members):
            if not waiting and not (member.task and at_work):
                self.dismiss(member)

    def dismiss(self, member: Member) -> None:
        """End a worker, whatever it does."""
        self.members.remove(member)
        self.ray.kill(member.actor)

    def give(self, waiting: deque[tuple[Any, int]]) -> None:
        """A cell to every worker that is ready and has none."""
        for member in self.members:
            if waiting and member.is_ready and not member.task:
                place = place_of(member, self.members, waiting)
                member.give(waiting[place])
                del waiting[place]

    def heard(self) -> Iterator[tuple[tuple[Any, int], Outcome]]:
        """Tasks that are finished, with their outcomes; waits until a worker says something.

        Raises:
            StudyError: workers end again and again before they are ready.
        """
        stillborn = False  # many may end at once, with their node
        asked = {member.call: member for member in self.members if member.call is not None}
        for call in finished(self.ray, list(asked)):
            member = asked[call]
            task, member.task, member.call = member.task, None, None
            try:
                outcome = self.ray.get(call)
                self.stillborn = 0
            except self.ray.exceptions.RayError as error:
                outcome = lost(error, self.options)
                self.stillborn += not (member.is_ready or stillborn)
                stillborn |= not member.is_ready
                self.dismiss(member)
            if self.stillborn >= STARTS:
                raise StudyError(
                    f"{STARTS} workers of Ray ended before they could start. Is steinflow "
                    f"installed on every node? The last one: {outcome.why}"
                )
            member.is_ready = True
            if task:
                yield task, outcome


def finished(ray: Any, calls: list[Any]) -> list[Any]:
    """All calls that are finished, at least one: asking for one at a time would take as long as
    there are calls, for each of them."""
    ray.wait(calls, num_returns=1)
    ready: list[Any] = ray.wait(calls, num_returns=len(calls), timeout=0)[0]
    return ready


def lost(error: Exception, options: Options) -> Failed:
    """That a worker or its node was lost is the failure of its cell."""
    late = "" if options.time_limit is None else f", over its {options.time_limit:g} s"
    why = f"the worker ended: killed, out of memory{late}, or its node was lost"
    return Failed(f"{why}\n{error}", type(error).__name__, 1, 0.0)


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
