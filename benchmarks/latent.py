"""`auto` in the latent of `rfm`, like for like: `python benchmarks/latent.py`.

In cells of the leaderboard on boxes where `auto` is surely worse than the best published method,
`auto` is posed in the tanh latent too, with the same points, truth and cost as `rfm`, five levels a
state. A row has the EED of `rfm`, `auto` in the latent and its relative standard error, and `auto`
and the best other method in the space of actions. Run `make leaderboard` before; then it takes
some minutes on 2 cores.
"""

import json
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl

import steinflow as sf
from steinflow.diagnostics import EED_CAP
from steinflow.io.files import write_json
from steinflow.levels import Level
from steinflow.study.leaderboard.contest import PUBLISHED, State, over_trials
from steinflow.study.leaderboard.grid import GRADIENT, Board, Group, Unit, support_of
from steinflow.study.leaderboard.problems import Problem, boltzmann_of
from steinflow.study.leaderboard.run import path_of, seed_of
from steinflow.study.leaderboard.versions import kept
from steinflow.supports import AbstractSupport

RESULTS = Path(__file__).parent / "results"
BOARD, AUTO = Board(), sf.auto()._replace(space="tanh")
CELL = ("dim", "law", "q", "tau", "budget", "alpha")


@partial(jax.jit, static_argnames="budget")
def errors(key: Any, problem: Problem, levels: Level, support: AbstractSupport, budget: int) -> Any:
    """Squared errors in the latent, [trials, 1, states, levels]."""
    levels = jax.tree.map(jnp.asarray, levels)

    def trial(keys: Any, own: State) -> Any:
        tau, members = jax.tree.map(lambda leaf: leaf[None], (own.tau, own.members))
        alike = boltzmann_of(problem.kind, tau, members, support)
        given = keys[1, 0], alike, own.y[None], levels, AUTO
        found = sf.score_targets(*given, num_draws=budget // GRADIENT).score
        return jnp.sum((found - own.latent_score) ** 2, axis=-1)

    return over_trials(key, problem, levels, budget, BOARD.trials, trial)


def like_for_like(cell: dict[str, Any], rows: pl.DataFrame) -> dict[str, Any]:
    """The row of a cell."""
    unit, group = Unit("box", cell["dim"], cell["law"]), Group(cell["q"], cell["tau"])
    first, second = jax.random.split(seed_of(BOARD, unit, group))
    posed = kept(RESULTS / "leaderboard", BOARD, unit, group, first)
    key, level = jax.random.fold_in(second, cell["budget"]), BOARD.alphas.index(cell["alpha"])
    found = errors(key, posed, BOARD.levels, support_of("box"), cell["budget"])
    of_trials = np.asarray(found)[:, 0, :, level].sum(axis=1)
    mse = float(of_trials.mean())
    eed = float(np.asarray(posed.latent_trace)[:, level].sum()) / mse
    same = pl.all_horizontal(pl.col(name) == cell[name] for name in CELL)
    theirs = dict(rows.filter(same).select("method", "eed").iter_rows())
    others = [name for name in PUBLISHED["box"] if name != "rfm"]
    return {name: cell[name] for name in CELL} | {
        "rfm": theirs["rfm"],
        "auto_in_the_latent": min(eed, EED_CAP),
        "relative_error": float(of_trials.std() / mse / np.sqrt(BOARD.trials)),
        "auto": theirs["auto"],
        "best_other": max(theirs[name] for name in others),
    }


def main() -> None:
    """Measure all listed cells, and print them."""
    jax.config.update("jax_enable_x64", True)
    lines = json.loads((RESULTS / "leaderboard/leaderboard.json").read_text())
    listed = next(line["listed"] for line in lines if line["id"] == "1-surely-above")
    cells = [cell for cell in listed if cell["support"] == "box"]
    units = [Unit("box", dim, law) for dim in BOARD.dims for law in BOARD.laws]
    rows = pl.concat([pl.read_parquet(path_of(RESULTS / "leaderboard", unit)) for unit in units])
    found = [like_for_like(cell, rows) for cell in cells]
    write_json(RESULTS / "latent.json", found)
    for row in found:
        print(" ".join(f"{row[name]}" for name in CELL), end=": ")
        print(", ".join(f"{name} {row[name]:.3g}" for name in row if name not in CELL), flush=True)


if __name__ == "__main__":
    main()
