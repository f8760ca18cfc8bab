"""Run what is missing of a sweep, keep why cells failed, and collect what is done."""

import csv
import io
import json
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

import polars as pl

from steinflow.checks import lookup
from steinflow.executors.base import Executor, Failed, Options, headline
from steinflow.executors.process import Processes
from steinflow.executors.ray import Ray
from steinflow.executors.serial import Serial
from steinflow.executors.shards import share
from steinflow.executors.store import Writer
from steinflow.study.progress import Progress
from steinflow.study.store import StudyError, explained, write_atomically
from steinflow.sweep import work
from steinflow.sweep.plan import Cell
from steinflow.sweep.state import State, state

EXECUTORS: dict[str, Callable[[Options], Executor]] = {
    "serial": Serial,
    "process": Processes,
    "ray": Ray,
}


def run(
    cells: Sequence[Cell],
    out: Path,
    executor: str = "process",
    options: Options | None = None,
    shard: tuple[int, int] = (0, 1),
    retry_failed: bool = False,
    quiet: bool = False,
) -> State:
    """Run the cells of a shard that are not done, not running elsewhere, and have not failed.

    Args:
        cells: all cells of the sweep.
        out: a folder; machines that share it need nothing else.
        executor: serial, process or ray.
        options: how cells are computed.
        shard: which share of the cells is run here, (i, n).
        retry_failed: run those again that failed.
        quiet: no progress.

    Raises:
        StudyError: the folder cannot be written; what was finished is kept.
    """
    engine = lookup("executor", executor, EXECUTORS)(options or Options())
    out = out.resolve()  # a worker may be elsewhere
    mine = share(cells, shard)
    with explained(out):
        failures = Writer(out / "failures")
    before = state(out, mine)
    skipped = before.running | (set() if retry_failed else set(before.failed))
    todo = [cell for cell in mine if cell.name not in before.done and cell.name not in skipped]
    function = partial(work.work, out, work.PROGRAM)
    kept = len(mine) - len(todo)
    with (
        Progress(len(mine), kept, quiet, "sweep") as progress,
        closing(engine.run(function, todo)) as outcomes,
    ):
        for cell, outcome in outcomes:
            if isinstance(outcome, Failed):
                kept_failure(out, failures, cell, outcome)
                if not quiet:
                    progress.line(f"{cell.label} failed: {headline(outcome.why)}")
            progress.advance(cell.label)
    failures.close()
    with explained(out):
        collect(out, cells)
    return state(out, mine)


def kept_failure(out: Path, failures: Writer, cell: Cell, failed: Failed) -> None:
    """Keep why a cell failed; a folder that cannot be written stops everything."""
    if failed.kind == StudyError.__name__:
        raise StudyError(headline(failed.why).partition("StudyError: ")[2])
    record = {"at": time.time(), "why": failed.why, "tries": failed.tries}
    with explained(out):
        failures.append(cell.name, json.dumps(record).encode())


def collect(out: Path, cells: Sequence[Cell]) -> None:
    """cells.csv: a row a finished cell; of studies rows.parquet too, by the column `cell`."""
    done = state(out, cells).done
    finished = [cell for cell in cells if cell.name in done]
    names = sorted({name for cell in cells for name in cell.options})
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["cell", "command", *names, "seed", "threads"])
    for cell in finished:
        values = [json.dumps(cell.options.get(name, None)) for name in names]
        table.writerow([cell.name, cell.command, *values, cell.seed, cell.threads])
    write_atomically(out / "cells.csv", lambda file: file.write(text.getvalue().encode()))
    paths = [(cell.name, out / "runs" / cell.name / "rows.parquet") for cell in finished]
    rows = [
        pl.read_parquet(path).with_columns(cell=pl.lit(name))
        for name, path in paths
        if path.exists()
    ]
    if rows:
        buffer = io.BytesIO()  # polars has errors of its own for a full disk
        pl.concat(rows, how="diagonal_relaxed").write_parquet(buffer)
        write_atomically(out / "rows.parquet", lambda file: file.write(buffer.getvalue()))
