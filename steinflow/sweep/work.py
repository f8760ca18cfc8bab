"""One cell of a sweep: a command in a process of its own, then a record."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from steinflow.executors.base import CellError
from steinflow.executors.locks import locked
from steinflow.executors.store import keep
from steinflow.executors.worker import ended
from steinflow.study.store import explained
from steinflow.sweep.plan import Cell, words

PROGRAM = ("-m", "steinflow.executors.child")
KEPT = 20_000  # characters of what a command prints
FRAME = "╭╮╰╯│─ \t"


def work(out: Path, program: tuple[str, ...], cell: Cell) -> None:
    """Run a cell's command; what it prints is kept, and why it fails.

    Raises:
        CellError: the command failed.
        StudyError: the folder cannot be written.
    """
    own, clock = out / "runs" / cell.name, time.monotonic()
    with explained(out):
        own.mkdir(parents=True, exist_ok=True)
    with marked(out, cell.name):
        done = subprocess.run(
            [sys.executable, *program, str(os.getpid()), *words(cell, own)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            env=os.environ | {"COLUMNS": "1000"},
        )
        if done.returncode:
            raise CellError(f"{reason(done.stderr, done.returncode)}\n{done.stderr[-KEPT:]}")
        record = {"seconds": time.monotonic() - clock, "printed": done.stdout[-KEPT:]}
        with explained(out):
            keep(out / "cells", cell.name, json.dumps(record).encode())


def reason(said: str, code: int) -> str:
    """One line of why a command failed: its own sentence, the exception, or the signal."""
    if code < 0:
        return ended(code).replace("the worker", "the command")
    lines = [line for line in (line.strip(FRAME) for line in said.splitlines()) if line]
    own = [line for line in lines if line.startswith("steinflow: ")]
    if own:
        return own[-1].removeprefix("steinflow: ")
    if any(line.startswith("Traceback") for line in lines):
        return lines[-1]
    framed = [line.strip(FRAME) for line in said.splitlines() if line.startswith("│")]
    return (framed or lines or [f"the command ended with exit code {code}"])[0]


@contextmanager
def marked(out: Path, name: str) -> Iterator[None]:
    """A locked file for as long as a cell runs, by which others see that it does.

    Raises:
        CellError: another process is running it.
    """
    with explained(out):
        (out / "running").mkdir(exist_ok=True)
        path = out / "running" / name
        file = locked(path)
        for _ in range(10):  # somebody may only be looking
            if file is None:
                time.sleep(0.05)
                file = locked(path)
    if file is None:
        raise CellError("another process is running this cell")
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        file.close()
