"""Cells run where they are missing; what they give is kept under their names, once."""

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax

from steinflow.checks import lookup
from steinflow.executors.base import C, CellError, Executor, Failed, Options, headline
from steinflow.executors.locks import locked
from steinflow.executors.process import Processes
from steinflow.executors.ray import Ray
from steinflow.executors.serial import Serial
from steinflow.executors.shards import share
from steinflow.executors.state import SECONDS, State, contents, state
from steinflow.executors.store import Writer, keep, let_go
from steinflow.io.files import StudyError, explained
from steinflow.io.progress import Progress

EXECUTORS: dict[str, Callable[[Options], Executor]] = {
    "serial": Serial,
    "process": Processes,
    "ray": Ray,
}


class Engine(NamedTuple):
    """Where and how cells are computed."""

    executor: str = "process"
    """serial, process or ray"""
    options: Options = Options()
    shard: tuple[int, int] = (0, 1)
    """(i, n): the share of the cells that is computed here"""


HERE = Engine()


def run(
    function: Callable[[C], bytes],
    cells: Sequence[C],
    out: Path,
    engine: Engine = HERE,
    retry_failed: bool = False,
    quiet: bool = False,
    title: str = "sweep",
    known: int = 0,
) -> State:
    """Run the cells of a shard that are not done, not running elsewhere, and have not failed.

    Args:
        function: picklable; what it gives for a cell is kept.
        cells: all cells, with names that say everything their content depends on.
        out: a folder; machines that share it need nothing else.
        engine: where they are computed; its shard of them is.
        retry_failed: run those again that failed.
        quiet: no progress.
        title: what the progress calls it.
        known: further cells, which were finished elsewhere.

    Returns:
        The state of the shard's cells.

    Raises:
        StudyError: the folder cannot be written; what was finished is kept.
    """
    executor = lookup("executor", engine.executor, EXECUTORS)(engine.options)
    out = out.resolve()  # a worker may be elsewhere
    in_shard = share(cells, engine.shard)
    with explained(out):
        failures = Writer(out / "failures")
    before = state(out, in_shard)
    skipped = before.running | (set() if retry_failed else set(before.failed))
    todo = [cell for cell in in_shard if cell.name not in before.done and cell.name not in skipped]
    outcomes = executor.run(partial(work, out, function), todo)
    with closing(failures), closing(outcomes), ended(out):
        if not todo:  # nothing is started for nothing
            return before
        with Progress(
            known + len(in_shard), known + len(in_shard) - len(todo), quiet, title
        ) as progress:
            for cell, outcome in outcomes:
                if isinstance(outcome, Failed):
                    kept_failure(out, failures, cell.name, outcome)
                    if not quiet:
                        progress.line(f"{cell.label} failed: {headline(outcome.why)}")
                progress.advance(cell.label)
    return state(out, in_shard)


@contextmanager
def ended(out: Path) -> Iterator[None]:
    """Leave no file open; a cell of the serial executor opens it in this process."""
    try:
        yield
    finally:
        let_go(out / "cells")


def study(
    function: Callable[[C], bytes],
    cells: Sequence[C],
    out: Path,
    engine: Engine,
    quiet: bool,
    known: int = 0,
) -> dict[C, bytes]:
    """`run` for cells that do not fail; gives what all finished ones gave, those of others too.

    Raises:
        StudyError: the folder cannot be written, or a cell failed; what was finished is kept.
    """
    outcome = run(function, cells, out, engine, True, quiet, "study", known)
    for name, why in outcome.failed.items():
        raise StudyError(
            f"{len(outcome.failed)} cells failed, the first being {name}: {headline(why)}. What "
            f"was finished is kept, and why others failed in {out / 'failures'}; the same command "
            "runs them again."
        )
    return contents(out, cells)


def work(out: Path, function: Callable[[C], bytes], cell: C) -> None:
    """One cell, in a worker.

    Raises:
        CellError: the cell says why it failed.
        StudyError: the folder cannot be written.
    """
    share_compilations(out / "compiled")
    began = time.monotonic()
    with marked(out, cell.name):
        content = function(cell)
        with explained(out):
            keep(out / "cells", cell.name, SECONDS.pack(time.monotonic() - began) + content)


def share_compilations(folder: Path) -> None:
    """This process and those that it starts take over what others have compiled.

    JAX writes a compilation under the hash of all it depends on, and compiles anew what it cannot
    read whole, so that any number of workers may write at once.
    """
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        os.environ["JAX_COMPILATION_CACHE_DIR"] = str(folder)
        jax.config.update("jax_compilation_cache_dir", str(folder))  # type: ignore[no-untyped-call]


@contextmanager
def marked(out: Path, name: str) -> Iterator[None]:
    """A locked file for as long as a cell runs, by which others see that it does.

    Raises:
        CellError: another process is running it.
    """
    with explained(out):
        (out / "running").mkdir(parents=True, exist_ok=True)
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


def kept_failure(out: Path, failures: Writer, name: str, failed: Failed) -> None:
    """Keep why a cell failed; a folder that cannot be written stops everything."""
    if failed.kind == StudyError.__name__:
        raise StudyError(headline(failed.why).partition("StudyError: ")[2])
    record = {"at": time.time(), "why": failed.why, "tries": failed.tries}
    with explained(out):
        failures.append(name, json.dumps(record).encode())
