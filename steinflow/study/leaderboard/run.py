"""Run the leaderboard: cells on single cores, finished ones never again."""

import hashlib
import io
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import product
from operator import methodcaller
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
import polars as pl

from steinflow.diagnostics import EED_CAP
from steinflow.executors import campaign
from steinflow.io.files import clear_temporaries, explained, write_atomically
from steinflow.study.leaderboard import actions
from steinflow.study.leaderboard.contest import OURS, PUBLISHED, our_contest, published_contest
from steinflow.study.leaderboard.grid import Board, Group, Unit, groups, support_of, units
from steinflow.study.leaderboard.problems import Problem
from steinflow.study.leaderboard.versions import cached_problem, identities

CHOICE = 8  # states whose networks and mixtures were looked at while `auto` was made
LABEL = ["q", "tau", "budget"]  # of a cell's rows within its unit


class Results(NamedTuple):
    """What a leaderboard found: a row a cell and method, and a row an ODE (docs/columns.md)."""

    rows: pl.DataFrame
    actions: pl.DataFrame


class Cell(NamedTuple):
    """What is computed at once: a Q, a temperature and a budget of a unit, at all levels, by the
    published methods or by ours."""

    unit: Unit
    group: Group
    budget: int
    side: str
    identity: str

    @property
    def label(self) -> str:
        """For people."""
        return f"{self.unit.name} {self.group.family} {self.group.tau:g} {self.budget} {self.side}"

    @property
    def name(self) -> str:
        """All that its rows depend on."""
        return f"{self.label.replace(' ', '-')}-{self.identity}"

    @property
    def compile_group(self) -> str:
        """Cells that share compilations and truths."""
        return f"{self.unit.support} {self.unit.dim}"

    @property
    def key(self) -> tuple[str, float, int]:
        """Its values of LABEL."""
        return self.group.family, self.group.tau, self.budget


def cells(board: Board) -> list[Cell]:
    """All cells, unit by unit; the actions of a dimension on boxes are a unit of their own."""
    result, sides = [], identities(board)
    for unit in units(board):
        for side, budget, group in product(sides, board.budgets, groups(board, unit)):
            result.append(Cell(unit, group, budget, side, sides[side]))
    if "box" in board.supports and "pi" in board.distributions:
        for dim in sorted(board.dims, reverse=True):
            unit = Unit("box", dim, "actions")
            posed = actions.problems(board, unit, groups(board, unit))
            for side, (group, budget) in product(sides, posed):
                result.append(Cell(unit, group, budget, side, sides[side]))
    return result


def seed_of(board: Board, unit: Unit, group: Group) -> jax.Array:
    """A key of its own for every group, the same in any order."""
    text = f"{unit.support} {unit.dim} {unit.distribution} {group}"
    number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1
    return jax.random.fold_in(jax.random.key(board.seed), number)


def measured(board: Board, cell: Cell, out: Path) -> Iterator[dict[str, object]]:
    """The rows of a cell: every level and method."""
    unit, group, budget = cell.unit, cell.group, cell.budget
    first, second = jax.random.split(seed_of(board, unit, group))
    posed = cached_problem(out, board, unit, group, first)
    key = jax.random.fold_in(second, budget)
    contest = published_contest if cell.side == "published" else our_contest
    losses = contest(key, posed, board.levels, support_of(unit.support), budget, board.trials)
    yield from summed(np.asarray(losses), posed, board, cell)


def summed(
    losses: np.ndarray, posed: Problem, board: Board, cell: Cell
) -> Iterator[dict[str, object]]:
    """Rows from squared errors [t, m, b, l]: sums over states, means over trials."""
    (unit, group, budget, side, _), trials = cell, board.trials
    names = PUBLISHED[unit.support] if side == "published" else OURS
    total, choice = losses.sum(axis=2), losses[:, :, :CHOICE].sum(axis=2).mean(axis=0)
    away = (total - total.mean(axis=0)) / np.sqrt(trials * (trials - 1))
    for number, method in enumerate(names):
        hidden = method == "rfm"
        trace = np.asarray(posed.latent_trace if hidden else posed.trace)
        reference_mse = np.asarray(posed.latent_reference_mse if hidden else posed.reference_mse)
        for level, alpha in enumerate(board.alphas):
            errors, mse = total[:, number, level], float(total[:, number, level].mean())
            yield {
                "support": unit.support, "dim": unit.dim, "distribution": unit.distribution,
                "q": group.family, "tau": group.tau, "budget": budget, "alpha": alpha,
                "method": method,
                "trace": float(trace[:, level].sum()), "mse": mse,
                "mse_a": float(errors[::2].mean()), "mse_b": float(errors[1::2].mean()),
                "mse_se": float(np.sqrt(np.sum(away[:, number, level] ** 2))),
                "trace_choice": float(trace[:CHOICE, level].sum()),
                "mse_choice": float(choice[number, level]),
                "reference_mse": float(reference_mse[:, level].sum()),
                "eed": min(EED_CAP, float(trace[:, level].sum()) / max(mse, 1e-300)),
                "states": board.states, "trials": trials, "seed": board.seed,
            }  # fmt: skip


def compute(board: Board, out: Path, cell: Cell) -> bytes:
    """The rows of a cell as a file."""
    with jax.enable_x64(True):
        if cell.unit.distribution == "actions":
            key = jax.random.fold_in(seed_of(board, cell.unit, cell.group), cell.budget)
            driver = actions.DRIVERS[cell.side]
            rows = [actions.compared(board, cell.unit, cell.group, cell.budget, key, driver)]
        else:
            rows = list(measured(board, cell, out))
    return as_file(pl.DataFrame(rows).with_columns(identity=pl.lit(cell.identity)))


def as_file(rows: pl.DataFrame) -> bytes:
    """Parquet."""
    buffer = io.BytesIO()  # polars has errors of its own for a full disk
    rows.write_parquet(buffer, compression="zstd", compression_level=15)
    return buffer.getvalue()


def path_of(out: Path, unit: Unit) -> Path:
    """Where the rows of a unit are collected."""
    return out / "parts" / f"{unit.name}.parquet"


def collected(out: Path, wanted: Sequence[Cell]) -> dict[Cell, pl.DataFrame]:
    """The rows of cells that an earlier run has collected, of the same configuration and code."""
    result: dict[Cell, pl.DataFrame] = {}
    for unit in dict.fromkeys(cell.unit for cell in wanted):
        path = path_of(out, unit)
        try:
            rows = pl.read_parquet(path) if path.exists() else pl.DataFrame()
        except (pl.exceptions.PolarsError, OSError):  # cut in half by something: made again
            continue
        if "identity" in rows.columns:
            parts = rows.partition_by([*LABEL, "identity"], as_dict=True)
            in_unit = [cell for cell in wanted if cell.unit == unit]
            existing = {cell: parts.get((*cell.key, cell.identity)) for cell in in_unit}
            result |= {cell: part for cell, part in existing.items() if part is not None}
    return result


def run(
    board: Board,
    out: Path,
    quiet: bool = False,
    engine: campaign.Engine = campaign.HERE,
) -> Results:
    """Run what is missing of the leaderboard.

    Args:
        board: what to run.
        out: a folder; a rerun goes on from what is finished there.
        quiet: no progress.
        engine: where cells are computed.

    Returns:
        What is finished, the shares of others included.

    Raises:
        StudyError: the folder cannot be written, or a cell failed; what was finished is kept.
    """
    with explained(out):
        (out / "parts").mkdir(parents=True, exist_ok=True)
        for folder in ("parts", "truths"):
            clear_temporaries(out / folder)
    wanted = cells(board)
    before = collected(out, wanted)
    todo = [cell for cell in wanted if cell not in before]
    function = partial(compute, board, out.resolve())
    now = campaign.study(function, todo, out, engine, quiet, len(before))
    new = {cell: pl.read_parquet(content) for cell, content in now.items()}
    by_cell = {cell: (before | new)[cell] for cell in wanted if cell in before or cell in new}
    for unit in {cell.unit for cell in new}:
        content = as_file(pl.concat([part for c, part in by_cell.items() if c.unit == unit]))
        with explained(out):
            write_atomically(path_of(out, unit), methodcaller("write", content))

    def joined(drawn: bool) -> pl.DataFrame:
        parts = [p for cell, p in by_cell.items() if (cell.unit.distribution == "actions") == drawn]
        return pl.concat(parts).drop("identity") if parts else pl.DataFrame()

    return Results(joined(False), joined(True))
