"""Environments in processes: each process steps its share of them in turn.

Seeds, resets and steps are those of the same environments in one process, so that a run's data do
not depend on the number of processes.
"""

import atexit
import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import CloudpickleWrapper

from steinflow.rl.checkpoint import RunError
from steinflow.rl.environment_state import Arrays
from steinflow.rl.environments import Environments, Floats, InTurn, Step
from steinflow.rl.factories import Factory
from steinflow.rl.signals import message_of

STARTING = 120.0  # seconds for a process to start and make its environments
CLOSING = 5.0  # seconds for a process to end by itself
DONE, REFUSED, FAILED = "done", "refused", "failed"  # refused: with a sentence of ours


def serve(connection: Connection, make: CloudpickleWrapper, *options: Any) -> None:
    """A process: makes environments, and answers calls of their methods until it is closed."""
    for number in (signal.SIGINT, signal.SIGTERM):  # the process that trains decides when to end
        signal.signal(number, signal.SIG_IGN)
    sys.stdout = sys.stderr  # what an environment prints is not what a command says
    envs: InTurn | None = None
    kind: str = FAILED
    answer: Any = None
    try:
        envs = InTurn(make, *options)
        kind, answer = DONE, envs.about
    except ValueError as error:
        kind, answer = REFUSED, str(error)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - code of the environment
        answer = message_of(error)
    with suppress(EOFError, OSError):  # the process that trains has ended
        connection.send((kind, answer))
        while envs is not None:
            name, arguments = connection.recv()
            if name == "close":
                envs.close()
                return
            connection.send(answered(envs, name, arguments))


def answered(envs: InTurn, name: str, arguments: tuple[Any, ...]) -> tuple[str, Any]:
    """What a method gives, or why it failed."""
    try:
        return DONE, getattr(envs, name)(*arguments)
    except RunError as error:
        return REFUSED, str(error)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - code of the environment
        return FAILED, message_of(error)


@contextmanager
def as_here() -> Iterator[None]:
    """Processes started meanwhile find the modules that this one finds, and do not run its script
    again: what makes an environment travels by value where it is defined there."""
    main = vars(sys.modules["__main__"])
    saved: dict[str, Any] = {name: main[name] for name in ("__file__", "__spec__") if name in main}
    before = os.environ.get("PYTHONPATH")
    try:
        main["__spec__"] = None
        main.pop("__file__", None)
        os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)
        yield
    finally:
        main.update(saved)
        os.environ.pop("PYTHONPATH")
        if before is not None:
            os.environ["PYTHONPATH"] = before


class InProcesses(Environments):
    """Environments shared out among processes.

    Args:
        make: what makes one; it must be able to travel to a process.
        count: environments.
        mode: when an episode's end is followed by a reset.
        workers: processes, at most `count`.
        drop_nan: end episodes in which something is not finite; otherwise that is an error.
        patience: seconds that a process may take for a step; 0 is no limit.

    Raises:
        ValueError: an environment cannot be made, or its spaces are not supported.
        RunError: a process ended, or does not answer.
    """

    def __init__(
        self,
        make: Factory,
        count: int,
        mode: AutoresetMode,
        workers: int,
        drop_nan: bool = False,
        patience: float = 0.0,
    ) -> None:
        self.count, self.patience = count, patience
        self.shares = [len(part) for part in np.array_split(np.arange(count), workers)]
        self.processes: list[Any] = []
        self.connections: list[Connection] = []
        atexit.register(self.stop)  # before multiprocessing's own, which waits for processes
        try:
            for share in self.shares:
                self.start(make, share, mode, drop_nan)
            answers = [self.answer(k, STARTING) for k in range(workers)]
            for kind, answer in answers:
                if kind != DONE:
                    raise ValueError(answer)
        except BaseException:
            self.stop()
            raise
        self.about = answers[0][1]

    def start(self, make: Factory, *options: Any) -> None:
        """One more process."""
        context: Any = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([__name__])  # imported once for all of them
        ours, its = context.Pipe()
        process = context.Process(target=serve, args=(its, CloudpickleWrapper(make), *options))
        try:
            with as_here():
                process.start()
        except (TypeError, AttributeError, ValueError) as error:
            raise ValueError(
                f"What makes the environment cannot travel to a process: {message_of(error)}. "
                "Give an id or module:function, or leave out --env-workers."
            ) from error
        its.close()
        self.processes.append(process)
        self.connections.append(ours)

    def answer(self, k: int, patience: float) -> tuple[str, Any]:
        """What a process says next.

        Raises:
            RunError: it has ended, or says nothing.
        """
        connection, process = self.connections[k], self.processes[k]
        ready = connection.poll(patience or None)  # also where its process has ended
        if ready:
            with suppress(EOFError, OSError):
                return connection.recv()
            process.join(CLOSING)
            why = f"has ended ({ending(process.exitcode)})"
        else:
            why = f"has not answered for {patience:g} s"
        self.stop()
        raise RunError(f"Process {k} of the environments {why}.")

    def call(self, name: str, shares: Sequence[tuple[Any, ...]]) -> list[Any]:
        """The answers of all processes to a call with arguments of its own for each.

        Raises:
            RunError: a process has ended or does not answer, or an environment failed.
        """
        if not self.connections:
            raise RunError("The processes of the environments have ended.")
        for connection, arguments in zip(self.connections, shares, strict=True):
            with suppress(OSError):  # it has ended, as `answer` tells
                connection.send((name, arguments))
        answers = [self.answer(k, self.patience) for k in range(len(self.processes))]
        for kind, answer in answers:
            if kind == REFUSED:
                raise RunError(answer)
            if kind == FAILED:
                raise RunError(f"The environment's {name} failed: {answer}. Mend the environment.")
        return [answer for _, answer in answers]

    def split(self, values: Any) -> list[tuple[Any]]:
        """The shares of the processes, in their order."""
        ends = np.cumsum(self.shares)
        return [(values[end - n : end],) for end, n in zip(ends, self.shares, strict=True)]

    def reset(self, seeds: Sequence[int]) -> Floats:
        return np.concatenate(self.call("reset", self.split(list(seeds))))

    def step(self, action: Floats) -> Step:
        answers = self.call("step", self.split(action))
        return Step(*(np.concatenate(parts) for parts in zip(*answers, strict=True)))

    def snapshots(self) -> list[Arrays]:
        return [state for part in self.call("snapshots", [()] * len(self.shares)) for state in part]

    def put(self, states: Sequence[Arrays]) -> None:
        self.call("put", self.split(list(states)))

    def close(self) -> None:
        for connection in self.connections:
            with suppress(OSError):
                connection.send(("close", ()))
        for process in self.processes:
            process.join(CLOSING)
        self.stop()

    def stop(self) -> None:
        """End the processes at once."""
        atexit.unregister(self.stop)
        for process in self.processes:
            process.kill()
            process.join()
        for connection in self.connections:
            connection.close()
        self.processes, self.connections = [], []


def ending(code: int | None) -> str:
    """How a process ended."""
    if code is not None and code < 0:
        with suppress(ValueError):
            return signal.Signals(-code).name
    return f"exit code {code}"
