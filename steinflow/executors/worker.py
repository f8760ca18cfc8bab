"""One worker of the process executor, seen from both ends of its pipe."""

import multiprocessing
import os
import signal
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

import jax

from steinflow.executors.base import Failed, Outcome, attempt
from steinflow.executors.cores import on_cores, watch
from steinflow.io.files import StudyError

SPAWN = multiprocessing.get_context("spawn")  # a fork after JAX has started hangs
READY = "ready"
STARTS = 3  # ends in a row before a worker was ready, after which nothing will help
KILLED = 20  # the same where it was killed, which may be chance
MOST_MAPS = 30_000  # memory maps; Linux gives a process 65,530, and XLA's compiler crashes beyond


class Worker:
    """A process with cores of its own, and the cell it has been given."""

    def __init__(self, function: Callable[..., Any], cores: Sequence[int]) -> None:
        self.function, self.cores = function, cores
        self.stillborn, self.compile_group = 0, None
        self.start()

    def start(self) -> None:
        """A new process; it says when it is ready."""
        self.pipe, far = SPAWN.Pipe()
        self.process = SPAWN.Process(target=serve, args=(far, self.function, os.getpid()))
        with on_cores(self.cores):
            self.process.start()
        far.close()
        self.ready, self.task, self.since = False, None, time.monotonic()

    task: tuple[Any, int] | None
    """a cell and which try of it this is"""

    @property
    def is_free(self) -> bool:
        """Whether it can be given a cell."""
        return self.ready and self.task is None

    def give(self, task: tuple[Any, int]) -> bool:
        """Send it a cell; False if it has died meanwhile."""
        try:
            self.pipe.send(task[0])
        except OSError:
            self.restart()
            return False
        self.task, self.since = task, time.monotonic()
        self.compile_group = getattr(task[0], "compile_group", None)
        return True

    def hear(self) -> Outcome | None:
        """The outcome of its cell; None if it only became ready, or died without a cell.

        Raises:
            StudyError: it has died again and again before it was ready.
        """
        try:
            message = self.pipe.recv()
        except (EOFError, OSError):
            return self.bury()
        self.stillborn = 0
        if message == READY:
            self.ready = True
            return None
        self.task = None
        return message

    def bury(self) -> Failed | None:
        """Replace it after its death, which is the failure of its cell."""
        seconds, had = time.monotonic() - self.since, self.task
        self.stillborn += not self.ready
        self.process.join(5.0)  # its pipe may close a moment before it ends
        self.kill()
        code = self.process.exitcode
        if self.stillborn >= (KILLED if code == -signal.SIGKILL else STARTS):
            raise StudyError(
                f"A worker ended {self.stillborn} times before it could start (exit code {code}). "
                "See its error above."
            )
        self.start()
        return Failed(ended(code), "WorkerEnded", 1, seconds) if had else None

    def restart(self) -> None:
        """Kill it, and start another."""
        self.kill()
        self.start()

    def kill(self) -> None:
        """End it and every process it has started; nothing of it is left."""
        self.process.kill()
        if self.process.pid is not None:  # a zombie until it is joined, so the number is its own
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
        self.process.join()
        self.pipe.close()


def ended(code: int | None) -> str:
    """Why a process may have ended."""
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        more = ": killed, or out of memory" if -code == signal.SIGKILL else ""
        return f"the worker was ended by {name}{more}"
    return f"the worker ended with exit code {code}"


def serve(pipe: Connection, function: Callable[..., Any], parent: int) -> None:
    """The worker's own end: compute what comes through the pipe until it is closed."""
    os.setsid()  # a group of its own, which is killed as a whole
    watch(parent)
    with suppress(EOFError, ConnectionError):  # who asks has ended
        pipe.send(READY)
        while True:
            answer(pipe, function)
            spare_maps()


def spare_maps(most: int = MOST_MAPS) -> None:
    """Forget compiled programs where they hold more memory maps than `most`."""
    maps = Path("/proc/self/maps")
    if maps.exists() and len(maps.read_bytes().splitlines()) > most:
        jax.clear_caches()  # type: ignore[no-untyped-call]


def answer(pipe: Connection, function: Callable[..., Any]) -> None:
    """Compute one cell.

    Raises:
        EOFError, ConnectionError: nobody asks any more.
    """
    data = pipe.recv_bytes()
    try:
        cell = ForkingPickler.loads(data)
    except Exception as error:  # noqa: BLE001 - a cell that cannot be unpickled
        pipe.send(Failed(traceback.format_exc(), type(error).__name__, 1, 0.0))
        return
    outcome = attempt(function, cell)
    try:
        message = ForkingPickler.dumps(outcome)
    except Exception as error:  # noqa: BLE001 - a result that cannot be pickled
        failed = Failed(traceback.format_exc(), type(error).__name__, 1, outcome.seconds)
        message = ForkingPickler.dumps(failed)
    pipe.send_bytes(message)
