"""Run what is missing of a sweep, and collect what is done."""

import csv
import io
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import polars as pl

from steinflow.executors import campaign
from steinflow.executors.state import State, state
from steinflow.io.files import explained, tell_damage, unlike_manifest, write_atomically
from steinflow.sweep import work
from steinflow.sweep.plan import Cell


def run(
    cells: Sequence[Cell],
    out: Path,
    engine: campaign.Engine = campaign.HERE,
    retry_failed: bool = False,
    quiet: bool = False,
) -> State:
    """Run the cells of a shard that are missing; the arguments are `campaign.run`'s.

    Raises:
        StudyError: the folder cannot be written; what was finished is kept.
    """
    function = partial(work.work, out.resolve(), work.PROGRAM)
    outcome = campaign.run(function, cells, out, engine, retry_failed, quiet)
    with explained(out):
        collect(out, cells)
    return outcome


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
    rows = []
    for cell in finished:
        folder = out / "runs" / cell.name
        if "rows.parquet" in unlike_manifest(folder):
            tell_damage(
                f"{folder} has damaged rows. They are left out. Run the command that its "
                f"manifest.json names with --out {folder}, which makes them from the parts, and "
                "then this command again."
            )
        elif (folder / "rows.parquet").exists():
            part = pl.read_parquet(folder / "rows.parquet")
            rows.append(part.with_columns(cell=pl.lit(cell.name)))
    if rows:
        buffer = io.BytesIO()  # polars has errors of its own for a full disk
        pl.concat(rows, how="diagonal_relaxed").write_parquet(buffer)
        write_atomically(out / "rows.parquet", lambda file: file.write(buffer.getvalue()))
