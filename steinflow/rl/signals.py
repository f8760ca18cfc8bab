"""What comes from outside while a run goes on: a request to stop, an environment that fails."""

import signal
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from steinflow.rl.checkpoint import RunError


def message_of(error: BaseException) -> str:
    """The kind of an error and what it says, or where it is from, on one line."""
    text = " ".join(str(error).split())
    last = traceback.extract_tb(error.__traceback__)[-1:]
    if not text and last:
        return f"{type(error).__name__} in {Path(last[0].filename).name}, line {last[0].lineno}"
    return f"{type(error).__name__}: {text}".rstrip(": ")


@contextmanager
def guarded(what: str, patience: float) -> Iterator[None]:
    """Turn what goes wrong in an environment into a sentence; one that hangs in Python code is
    interrupted.

    The clock needs the main thread; elsewhere, and where patience is 0, there is none.
    """

    def ring(*_: object) -> None:
        raise TimeoutError(f"it has not answered for {patience:g} s")

    timed = patience > 0 and threading.current_thread() is threading.main_thread()
    timed = timed and hasattr(signal, "setitimer")
    if timed:
        before = signal.signal(signal.SIGALRM, ring)
        signal.setitimer(signal.ITIMER_REAL, patience)
    try:
        yield
    except RunError:
        raise
    except (Exception, SystemExit) as error:  # an environment may ask Python to end
        raise RunError(
            f"{what} failed: {message_of(error).rstrip('.')}. Mend the environment."
        ) from error
    finally:
        if timed:
            signal.setitimer(signal.ITIMER_REAL, 0.0)
            signal.signal(signal.SIGALRM, before)


@contextmanager
def asked_to_stop() -> Iterator[list[int]]:
    """A list that fills when the process is asked to stop; the second time it is at once."""
    asked: list[int] = []

    def listen(number: int, frame: Any) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before = {s: signal.signal(s, listen) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
