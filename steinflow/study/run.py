"""Run a study: cells one after another, finished ones never again, then everything from them."""

import hashlib
import io
import json
import platform
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import UTC, datetime
from functools import cache, lru_cache, partial
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import polars as pl

from steinflow.executors import campaign
from steinflow.executors.base import Versioned
from steinflow.executors.devices import dealt
from steinflow.executors.state import contents
from steinflow.io.files import (
    FORMAT_VERSION,
    clear_temporaries,
    digests,
    explained,
    load_part,
    packed,
    save_part,
    tell_damage,
    unlike_manifest,
    unpacked,
    write_atomically,
    write_json,
)
from steinflow.io.progress import Compilations, Progress
from steinflow.study.cell import (
    TRIALS_AT_ONCE,
    CellResult,
    Randomness,
    methods,
    randomness,
    run_cell,
)
from steinflow.study.conditions import Cell, Grid, StudyConfig, cells, settle
from steinflow.study.extras import Extra, source
from steinflow.study.rows import part_rows
from steinflow.study.verdicts import Samples, judge_all

PACKAGES = ("steinflow", "jax", "jaxlib", "equinox", "numpy", "scipy", "polars", "matplotlib")
CELLS_AT_ONCE = 2


class Study(NamedTuple):
    """A finished study in memory."""

    grid: Grid
    rows: pl.DataFrame
    claims: list[dict[str, Any]]
    coverage: dict[str, np.ndarray]  # estimator -> [2, bins]: covered, count


class UnfinishedError(Exception):
    """Cells of other shards are missing."""

    def __init__(self, done: int, total: int) -> None:
        super().__init__(
            f"{done:,} of {total:,} cells are finished. Once the other shards have run, the "
            "same command gives the report."
        )


def run(
    config: StudyConfig | None = None, out: Path | str | None = None, quiet: bool = False
) -> pl.DataFrame:
    """Run a study and return its rows, one a condition and estimator (docs/columns.md).

    Args:
        config: what to run; None is the paper's grid.
        out: a folder for finished cells (a rerun goes on from them) and for the rows;
            None keeps everything in memory.
        quiet: no progress.

    Raises:
        ValueError: the configuration is out of range.
        StudyError: the folder cannot be written; what was finished is kept.
    """
    return run_study(config or StudyConfig(), None if out is None else Path(out), quiet).rows


def run_study(
    config: StudyConfig,
    out: Path | None,
    quiet: bool = False,
    command: str = "steinflow.study.run(config, out)",
    engine: campaign.Engine | None = None,
) -> Study:
    """Run what is missing of a study and judge it.

    Args:
        config: what to run.
        out: a folder, or None for memory alone.
        quiet: no progress.
        command: what the manifest says.
        engine: where cells are computed; None is in this process, on all cores.

    Raises:
        ValueError: the configuration is out of range.
        StudyError: the folder cannot be written; what was finished is kept.
        UnfinishedError: only a share of the cells was run, and others are missing.
    """
    grid = settle(config)
    started, clock = datetime.now(UTC), time.monotonic()
    todo = list(cells(grid))
    parts: dict[Cell, dict[str, np.ndarray]] = {}
    if out is not None:
        with explained(out):
            (out / "parts").mkdir(parents=True, exist_ok=True)
            clear_temporaries(out / "parts")
            clear_temporaries(out)
            write_json(out / "config.json", {"format_version": FORMAT_VERSION} | asdict(grid))
        loaded = {cell: load_part(part_path(out, cell), fingerprint(grid, cell)) for cell in todo}
        parts = {cell: part for cell, part in loaded.items() if part is not None}
    fresh = len(todo) - len(parts)
    if out is not None and engine is not None:
        tasks = [Versioned(cell, fingerprint(grid, cell)) for cell in todo if cell not in parts]
        fresh -= len(contents(out, tasks))
        outcomes = campaign.study(partial(computed, grid), tasks, out, engine, quiet, len(parts))
        parts |= {task.cell: unpacked(content) for task, content in outcomes.items()}
        if len(parts) < len(todo):
            raise UnfinishedError(len(parts), len(todo))
    remaining = [cell for cell in todo if cell not in parts]
    with Compilations() as compilations, Progress(len(todo), len(parts), quiet) as progress:
        for cell, result in compute(grid, remaining):
            parts[cell] = flatten(result)
            if out is not None:
                with explained(out):
                    save_part(part_path(out, cell), parts[cell], fingerprint(grid, cell))
            progress.advance(cell.name)
    study = assemble(grid, {cell: parts[cell] for cell in todo})
    if out is not None:
        about = {
            "command": command, "started": started.isoformat(timespec="seconds"),
            "seconds": round(time.monotonic() - clock, 2), "cells": len(todo),
            "cells_computed_now": fresh, "compilations_over_0.1s": compilations.count,
        }  # fmt: skip
        with explained(out):
            write_study(out, study, about)
    return study


def write_study(out: Path, study: Study, about: dict[str, Any]) -> None:
    """Rows, claims, and a manifest that says how they were made."""
    buffer = io.BytesIO()  # polars has errors of its own for a full disk
    study.rows.write_parquet(buffer)
    for name in unlike_manifest(out):
        tell_damage(f"{out / name} was not what the study had written. It is made again.")
    write_atomically(out / "rows.parquet", lambda file: file.write(buffer.getvalue()))
    write_json(out / "claims.json", study.claims)
    of_machine = {
        "host": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: package_version(name) for name in PACKAGES},
        "sha256": digests(out, ("rows.parquet", "claims.json")),
    }
    write_json(out / "manifest.json", {"format_version": FORMAT_VERSION} | about | of_machine)


def compute(grid: Grid, todo: list[Cell]) -> Iterator[tuple[Cell, CellResult]]:
    """Results of cells.

    Two cells at a time: XLA leaves cores idle between the operations of one. The first of
    a dimension is alone, so that it is compiled once.
    """
    for _, group in groupby(todo, lambda cell: cell.dim):
        first, *rest = group
        yield first, result_of(grid, first)
        pool = ThreadPoolExecutor(CELLS_AT_ONCE)
        try:
            yield from zip(rest, pool.map(partial(result_of, grid), rest), strict=True)
        finally:
            pool.shutdown(cancel_futures=True)


def result_of(grid: Grid, cell: Cell) -> CellResult:
    """One cell, in float64, whatever the precision of the process (each thread has its own)."""
    with jax.enable_x64(True):
        random, more = drawn(grid, cell.dim), tuple(map(Extra, grid.estimators))
        return jax.device_get(run_cell(cell.target, cell.level, random, grid.num_draws, more))


@lru_cache(maxsize=1)
def drawn(grid: Grid, dim: int) -> Randomness:
    """The random numbers that all cells of a dimension share."""
    numbers = jax.jit(randomness, static_argnums=(1, 2))(jax.random.key(grid.seed), grid, dim)
    return numbers._replace(draws=dealt(numbers.draws[0], TRIALS_AT_ONCE))


def computed(grid: Grid, task: Versioned[Cell]) -> bytes:
    """One cell in a worker."""
    return packed(flatten(result_of(grid, task.cell)))


def flatten(result: CellResult) -> dict[str, np.ndarray]:
    """A result as named arrays."""
    named = {f"measure.{k}": v for k, v in result.measures._asdict().items()}
    named |= {f"exact.{k}": v for k, v in result.exact._asdict().items()}
    named |= {f"coverage.{k}": v for k, v in result.coverage._asdict().items()}
    for name in ("ess", "ess_se", "max_weight", "pair", "network", "score"):
        named[name] = getattr(result, name)
    return {name: np.asarray(value) for name, value in named.items()}


def assemble(grid: Grid, parts: Mapping[Cell, dict[str, np.ndarray]]) -> Study:
    """Rows, coverage and claims from the parts; the same whatever order they were made in."""
    rows = pl.concat([part_rows(grid, cell, part) for cell, part in parts.items()])
    coverage: dict[str, np.ndarray] = {}
    for cell, part in parts.items():
        for k, name in enumerate(methods(cell.box, tuple(map(Extra, grid.estimators)))):
            table = np.stack([part["coverage.covered"][:, k], part["coverage.total"][:, k]])
            coverage[name] = coverage.get(name, np.zeros(())) + np.nan_to_num(table.sum(axis=1))
    samples = {
        cell: Samples(
            part["pair"],
            part["network"],
            part["score"],
            float(part["exact.norm_noise"] / part["exact.norm_gradient"]),
        )
        for cell, part in parts.items()
    }
    return Study(grid, rows, judge_all(rows, samples, grid), coverage)


def part_path(out: Path, cell: Cell) -> Path:
    """Where a cell's part lies."""
    return out / "parts" / f"{cell.name}.npz"


def fingerprint(grid: Grid, cell: Cell) -> str:
    """A hash of everything that a cell's numbers depend on."""
    content = asdict(grid) | {"cell": cell._asdict(), "code": code_version()}
    for varied in ("preset", "taus", "alphas", "dims", "families"):
        del content[varied]
    content["estimators"] = {name: source(name) for name in grid.estimators}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


@cache
def code_version() -> str:
    """A hash of the package's own source: numbers of other code are never read."""
    root = Path(__file__).parent.parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def package_version(name: str) -> str:
    """An installed version, or unknown."""
    try:
        return version(name)
    except Exception:  # noqa: BLE001 - a source tree that was never installed
        return "unknown"
