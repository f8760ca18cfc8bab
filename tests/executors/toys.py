"""Cells without JAX that succeed, raise, hang, kill themselves or ask for too much memory."""

import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import NamedTuple


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
    if cell.does == "memory":  # in the control group whose folder it is given
        (Path(cell.folder) / "cgroup.procs").write_text(str(os.getpid()))
        had = []
        while True:
            had.append(bytearray(16 << 20))
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

    result = jax.jit(lambda x: jnp.cumsum(jnp.sin(x)))(jnp.arange(4.0) + cell.number)
    return " ".join(map(str, result.tolist())).encode()


def noted(cell):
    """The square as bytes, slowly; the cell's folder says which processes were at work, on what."""
    for name in (f"pids/{os.getpid()}", f"calls/{cell.name}.{uuid.uuid4().hex}"):
        path = Path(cell.folder) / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    time.sleep(0.05)
    return str(square(cell)).encode()


class Unloadable:
    """A function that ends the process which unpickles it."""

    def __reduce__(self):
        return os._exit, (3,)

    def __call__(self, cell):
        return cell
