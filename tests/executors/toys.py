"""Cells without JAX that succeed, raise, hang or kill themselves."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from steinflow.executors.store import keep


class Toy(NamedTuple):
    """A cell and what it does."""

    name: str
    number: int = 0
    does: str = ""
    folder: str = ""

    @property
    def label(self):
        return self.name


def square(cell):
    """The cell's number squared, or what the cell is told to do."""
    if cell.does == "raise":
        raise ArithmeticError("no square today")
    if cell.does == "hang":
        time.sleep(600)
    if cell.does == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if cell.does == "kill once":
        mark = Path(cell.folder) / cell.name
        if not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
    if cell.does == "leave a child":
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        time.sleep(600)
    return cell.number**2


def cores(cell):
    """How many cores the cell has, and how long its process has lived by its own count."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1


def compiled(cell):
    """What a compiled function makes of the cell's number."""
    import jax
    import jax.numpy as jnp

    found = jax.jit(lambda x: jnp.cumsum(jnp.sin(x)))(jnp.arange(4.0) + cell.number)
    return " ".join(map(str, found.tolist())).encode()


def kept(cell):
    """Square, slowly, and keep the result; say who is at work."""
    folder = Path(cell.folder)
    (folder / "pids").mkdir(exist_ok=True)
    (folder / "pids" / str(os.getpid())).touch()
    time.sleep(0.05)
    keep(folder / "cells", cell.name, str(square(cell)).encode())


class Unloadable:
    """A function that ends the process which unpickles it."""

    def __reduce__(self):
        return os._exit, (3,)

    def __call__(self, cell):
        return cell
