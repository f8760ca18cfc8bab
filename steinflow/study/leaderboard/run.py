"""Run the leaderboard: units of work on single cores, finished groups never again."""

import hashlib
import io
import multiprocessing
import os
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, wait
from multiprocessing.managers import SyncManager
from pathlib import Path
from queue import Empty
from typing import Any, NamedTuple

import jax
import numpy as np
import polars as pl

from steinflow.diagnostics import EED_CAP
from steinflow.executors.cores import settle_on_a_core, watch
from steinflow.study.leaderboard import actions
from steinflow.study.leaderboard.contest import OURS, contest, methods
from steinflow.study.leaderboard.grid import Board, Group, Unit, groups, support_of, units
from steinflow.study.leaderboard.problems import Problem
from steinflow.study.leaderboard.versions import identity, kept
from steinflow.study.progress import Progress
from steinflow.study.store import clear_temporaries, explained, write_atomically

CHOICE = 8  # states whose networks and mixtures were looked at while `auto` was made


class Results(NamedTuple):
    """What a leaderboard found: a row a cell and method, and a row an ODE (docs/columns.md)."""

    rows: pl.DataFrame
    actions: pl.DataFrame


def tasks(board: Board) -> list[Unit]:
    """All units; the actions of a dimension on boxes are a unit of law "actions"."""
    found = units(board)
    if "box" in board.supports and "pi" in board.laws:
        found += [Unit("box", dim, "actions") for dim in sorted(board.dims, reverse=True)]
    return found


def steps(board: Board, unit: Unit) -> list[tuple[Group, int]]:
    """The pieces of a unit: groups at all budgets (0), or problems of the actions."""
    if unit.law == "actions":
        return actions.problems(board, unit, groups(board, unit))
    return [(group, 0) for group in groups(board, unit)]


def seed_of(board: Board, unit: Unit, group: Group) -> jax.Array:
    """A key of its own for every group, the same in any order."""
    text = f"{unit.support} {unit.dim} {unit.law} {group}"
    number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1
    return jax.random.fold_in(jax.random.key(board.seed), number)


def measured(board: Board, unit: Unit, group: Group, out: Path) -> Iterator[dict[str, object]]:
    """The rows of a group: every budget, level and method."""
    first, second = jax.random.split(seed_of(board, unit, group))
    posed = kept(out, board, unit, group, first)
    for budget in board.budgets:
        key = jax.random.fold_in(second, budget)
        support = support_of(unit.support)
        losses = contest(key, posed, board.levels, support, budget, board.trials)
        yield from summed(np.asarray(losses), posed, board, unit, group, budget)


def summed(
    losses: np.ndarray, posed: Problem, board: Board, unit: Unit, group: Group, budget: int
) -> Iterator[dict[str, object]]:
    """Rows from squared errors [t, m, b, l]: sums over states, means over trials."""
    names, trials = methods(unit.support), board.trials
    total, choice = losses.sum(axis=2), losses[:, :, :CHOICE].sum(axis=2).mean(axis=0)
    away = (total - total.mean(axis=0)) / np.sqrt(trials * (trials - 1))
    for number, method in enumerate(names):
        hidden = method == "rfm"
        trace = np.asarray(posed.latent_trace if hidden else posed.trace)
        own = np.asarray(posed.latent_reference_mse if hidden else posed.reference_mse)
        for level, alpha in enumerate(board.alphas):
            mine, mse = total[:, number, level], float(total[:, number, level].mean())
            shared = {
                f"cov_{short}": float(away[:, number, level] @ away[:, names.index(other), level])
                for short, other in zip(("auto", "one"), OURS, strict=True)
            }
            yield {
                "support": unit.support, "dim": unit.dim, "law": unit.law, "q": group.family,
                "tau": group.tau, "budget": budget, "alpha": alpha, "method": method,
                "trace": float(trace[:, level].sum()), "mse": mse,
                "mse_a": float(mine[::2].mean()), "mse_b": float(mine[1::2].mean()),
                "mse_se": float(np.sqrt(np.sum(away[:, number, level] ** 2))), **shared,
                "trace_choice": float(trace[:CHOICE, level].sum()),
                "mse_choice": float(choice[number, level]),
                "reference_mse": float(own[:, level].sum()),
                "eed": min(EED_CAP, float(trace[:, level].sum()) / max(mse, 1e-300)),
                "states": board.states, "trials": trials, "seed": board.seed,
            }  # fmt: skip


def path_of(out: Path, unit: Unit) -> Path:
    """Where a unit's rows lie."""
    return out / "parts" / f"{unit.name}.parquet"


def finished(out: Path, unit: Unit, board: Board) -> pl.DataFrame:
    """The rows of a unit that are there, of this configuration and code."""
    path = path_of(out, unit)
    try:
        rows = pl.read_parquet(path) if path.exists() else pl.DataFrame()
    except (pl.exceptions.PolarsError, OSError):  # cut in half by something: made again
        return pl.DataFrame()
    if "identity" not in rows.columns:
        return pl.DataFrame()
    wanted = {(g.family, g.tau, budget) for g, budget in steps(board, unit)}
    if unit.law != "actions":
        wanted = {(family, tau, b) for family, tau, _ in wanted for b in board.budgets}
    labels = [label in wanted for label in rows.select("q", "tau", "budget").iter_rows()]
    return rows.filter(
        pl.Series(labels, dtype=pl.Boolean) & (pl.col("identity") == identity(board))
    )


def left(board: Board, unit: Unit, rows: pl.DataFrame) -> list[tuple[Group, int]]:
    """The steps of a unit that are missing."""
    if not rows.height:
        return steps(board, unit)
    done = set(rows.select("q", "tau", "budget").iter_rows())
    return [
        (group, budget)
        for group, budget in steps(board, unit)
        if any(
            (group.family, group.tau, b) not in done
            for b in ([budget] if budget else board.budgets)
        )
    ]


def save(out: Path, unit: Unit, rows: pl.DataFrame) -> None:
    """Write the rows of a unit, at once or not at all."""
    buffer = io.BytesIO()  # polars has errors of its own for a full disk
    rows.write_parquet(buffer, compression="zstd", compression_level=15)
    write_atomically(path_of(out, unit), lambda file: file.write(buffer.getvalue()))


def work(board: Board, unit: Unit, out: Path, said: Any = None) -> None:
    """Do what is missing of a unit, saving after each group."""
    rows = finished(out, unit, board)
    for group, budget in left(board, unit, rows):
        with jax.enable_x64(True):
            if unit.law == "actions":
                key = jax.random.fold_in(seed_of(board, unit, group), budget)
                new = list(actions.compared(board, unit, group, budget, key))
            else:
                new = list(measured(board, unit, group, out))
        more = pl.DataFrame(new).with_columns(identity=pl.lit(identity(board)))
        rows = pl.concat([rows, more]) if rows.height else more
        with explained(out):
            save(out, unit, rows)
        if said is not None:
            said.put(f"{unit.name} {group.family} {group.tau:g}")


def run(board: Board, out: Path, quiet: bool = False, workers: int | None = None) -> Results:
    """Run what is missing of the leaderboard; every worker has one core.

    Args:
        board: what to run.
        out: a folder; a rerun goes on from what is finished there.
        quiet: no progress.
        workers: processes; None is one a core, at most four.

    Raises:
        StudyError: the folder cannot be written; what was finished is kept.
    """
    with explained(out):
        (out / "parts").mkdir(parents=True, exist_ok=True)
        for folder in ("parts", "truths"):
            clear_temporaries(out / folder)
    missing = {unit: len(left(board, unit, finished(out, unit, board))) for unit in tasks(board)}
    total = sum(len(steps(board, unit)) for unit in tasks(board))
    todo = [unit for unit, count in missing.items() if count]
    if todo:
        compute(board, todo, out, Progress(total, total - sum(missing.values()), quiet), workers)
    return collected(board, out)


def compute(
    board: Board, todo: list[Unit], out: Path, progress: Progress, workers: int | None
) -> None:
    """Spread units over processes."""
    here = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]
    workers = min(workers or min(len(here), 4), len(todo))
    context = multiprocessing.get_context("spawn")
    manager = SyncManager(ctx=context)
    manager.start(watch, (os.getpid(),))
    with manager, progress:
        cores, said = manager.Queue(), manager.Queue()
        for number in range(workers):
            cores.put(here[number % len(here)])
        settings = (cores, str(out / "compiled"))
        with ProcessPoolExecutor(workers, context, settle_on_a_core, settings) as pool:
            futures = {pool.submit(work, board, unit, out, said) for unit in todo}
            try:
                while futures:
                    done, futures = wait(futures, timeout=0)
                    for future in done:
                        future.result()
                    announce(said, progress)
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                for process in list((pool._processes or {}).values()):
                    process.terminate()
                raise
        announce(said, progress, 0.0)


def announce(said: Any, progress: Progress, patience: float = 1.0) -> None:
    """Pass on what workers have said, waiting a while for the first word."""
    until = time.monotonic() + patience
    while True:
        try:
            progress.advance(said.get(timeout=max(until - time.monotonic(), 0.01)))
        except Empty:
            return


def collected(board: Board, out: Path) -> Results:
    """All rows that are there, in the order of the grid."""
    found = {unit: finished(out, unit, board) for unit in tasks(board)}
    rows = [part for unit, part in found.items() if part.height and unit.law != "actions"]
    drawn = [part for unit, part in found.items() if part.height and unit.law == "actions"]

    def joined(parts: list[pl.DataFrame]) -> pl.DataFrame:
        return pl.concat(parts).drop("identity") if parts else pl.DataFrame()

    return Results(joined(rows), joined(drawn))
