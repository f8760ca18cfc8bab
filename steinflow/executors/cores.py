"""Workers on cores of their own, which end with the process that started them."""

import os
import signal
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from steinflow.executors.locks import locked

ONE_THREAD = "--xla_cpu_multi_thread_eigen=false"


def end_with(parent: int, every: float = 2.0) -> None:
    """End this process when its parent has gone: nobody would save what it finds.

    One that leads a group of processes takes the group with it.
    """
    while os.getppid() == parent:
        time.sleep(every)
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(1)


def watch(parent: int) -> None:
    """`end_with` in the background."""
    threading.Thread(target=end_with, args=(parent,), daemon=True).start()


def cores_here() -> list[int]:
    """The cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def slots(workers: int | None, threads: int) -> list[list[int]]:
    """The cores of each worker; more workers than cores share them in turn.

    Raises:
        ValueError: a cell is to have more cores than there are.
    """
    cores = cores_here()
    if threads > len(cores):
        raise ValueError(f"threads {threads} are more than the {len(cores)} cores. Give fewer.")
    sets = [cores[k : k + threads] for k in range(0, len(cores) - threads + 1, threads)]
    return [sets[k % len(sets)] for k in range(workers or len(sets))]


@contextmanager
def on_cores(cores: Sequence[int]) -> Iterator[None]:
    """This thread, and processes that it starts, on these cores; afterwards as before."""
    before, flags = cores_here(), os.environ.get("XLA_FLAGS")
    if len(cores) == 1 and ONE_THREAD not in (flags or ""):
        os.environ["XLA_FLAGS"] = f"{flags or ''} {ONE_THREAD}".strip()
    pin(cores)
    try:
        yield
    finally:
        pin(before)
        if flags is None:
            os.environ.pop("XLA_FLAGS", None)
        else:
            os.environ["XLA_FLAGS"] = flags


def pin(cores: Sequence[int]) -> None:
    """Keep this thread on these cores, where the system can."""
    if hasattr(os, "sched_setaffinity"):
        with suppress(OSError):  # a core that was taken offline
            os.sched_setaffinity(0, set(cores))


CLAIMED: list[Any] = []  # the locks of this process


def claim(count: int) -> None:
    """Keep this process on cores that no other process has claimed, as long as it lives.

    For workers that somebody else starts. Where all are claimed it stays where it is.
    """
    if CLAIMED or not hasattr(os, "sched_setaffinity"):
        return
    folder = Path(tempfile.gettempdir()) / f"steinflow-cores-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    claimed: list[int] = []
    for core in cores_here():
        lock = locked(folder / str(core)) if len(claimed) < count else None
        if lock is not None:
            CLAIMED.append(lock)
            claimed.append(core)
    if len(claimed) == count:
        pin(claimed)
    if count == 1:
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {ONE_THREAD}".strip()
