"""One cell of a sweep: a command in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

from steinflow.executors.base import CellError
from steinflow.executors.worker import ended
from steinflow.io.files import explained
from steinflow.sweep.plan import Cell, words

PROGRAM = ("-m", "steinflow.executors.child")
KEPT = 20_000  # characters of what a command prints
FRAME = "╭╮╰╯│─ \t"


def work(out: Path, program: tuple[str, ...], cell: Cell) -> bytes:
    """Run a cell's command; what it prints is kept, and why it fails.

    Raises:
        CellError: the command failed.
        StudyError: the folder cannot be written.
    """
    folder = out / "runs" / cell.name
    with explained(out):
        folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [sys.executable, *program, str(os.getpid()), *words(cell, folder)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        env=os.environ | {"COLUMNS": "1000"},
    )
    if done.returncode:
        raise CellError(f"{reason(done.stderr, done.returncode)}\n{done.stderr[-KEPT:]}")
    return done.stdout[-KEPT:].encode()


def reason(output: str, code: int) -> str:
    """One line of why a command failed: its own sentence, the exception, or the signal."""
    if code < 0:
        return ended(code).replace("the worker", "the command")
    lines = [line for line in (line.strip(FRAME) for line in output.splitlines()) if line]
    messages = [line for line in lines if line.startswith("steinflow: ")]
    errors = [line for line in messages if not line.startswith("steinflow: warning: ")]
    if errors:
        return errors[-1].removeprefix("steinflow: ")
    if any(line.startswith("Traceback") for line in lines):
        return lines[-1]
    framed = [line.strip(FRAME) for line in output.splitlines() if line.startswith("│")]
    return (framed or lines or [f"the command ended with exit code {code}"])[0]
