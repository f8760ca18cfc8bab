"""Preset `prior`: every cell with mu beside Q and without, on R^d and on the box."""

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
from jaxtyping import Array, Float
from scipy.stats import t as student

from steinflow.executors import campaign
from steinflow.executors.base import Versioned
from steinflow.io.files import packed, unpacked
from steinflow.study.conditions import Cell, Grid, StudyConfig, cells, settle
from steinflow.study.leaderboard.contest import draws_of
from steinflow.study.leaderboard.versions import code_version
from steinflow.study.measure import Measures, Truth, measure, standardised
from steinflow.study.prior.problem import (
    METHODS,
    ROWS,
    Posed,
    behaviour,
    estimated,
    method_of,
    posed,
    tilted,
)

QUADRATIC = ("quadratic", "linear", "quadratic-at-bound", "quadratic-outside")
PRESET = Grid(
    "prior",
    trials=16,
    query_points=8,
    taus=(0.05, 0.2, 1.0, 5.0),
    num_draws=(32, 256, 2048),
    families=("quadratic", "linear", "quadratic-outside"),
)
LEAST_ESS = 100.0  # below, errors are too skewed for Student's t
QUERY_POINTS = 20261201  # key of their design
KEPT = ("bias2", "bias2_se", "variance", "variance_se", "mse", "mse_se", "eed")  # of Measures
CODE = ("*.py", "draws/*.py", "estimators/*.py", "proposals/*.py", "targets/*.py", "study/cell.py",
        "study/measure.py", "study/conditions.py", "study/prior/problem.py",
        "study/prior/run.py")  # fmt: skip


def grid_of(config: StudyConfig) -> Grid:
    """The grid with the options that were given.

    Raises:
        ValueError: an option is out of range, or a Q-function is not quadratic.
    """
    return settle(config, {"prior": PRESET}, QUADRATIC)


def all_cells(grid: Grid) -> list[Cell]:
    """Those on R^d and those on the box in turn, since two workers compile one each."""
    both = (cells(grid), cells(replace(grid, box=True)))
    return list(chain.from_iterable(zip(*both, strict=True)))


def compute(grid: Grid, cell: Cell) -> dict[str, np.ndarray]:
    """What is measured in a cell, with mu (first) and without: axes prior, budget, row."""
    q = cell.target
    mu = behaviour(cell.dim, cell.support)
    seed = int.from_bytes(hashlib.sha256(cell.name.encode()).digest()[:4], "big") >> 1
    key = jax.random.fold_in(jax.random.key(grid.seed), seed)
    keys = jax.random.split(key, (grid.trials, grid.query_points))
    level = jax.tree.map(jnp.asarray, cell.level)
    each = []
    for strength, exact in ((1.0, tilted(q, mu)), (0.0, q)):
        known = posed(jax.random.key(QUERY_POINTS), exact, level, grid.query_points)
        scores, ess = estimated(keys, q, mu, jnp.asarray(strength), known.x, level, grid.num_draws)
        each.append(measured(scores, ess, known, spaces(cell)))
    return {name: np.stack([one[name] for one in each]) for name in each[0]}


def spaces(cell: Cell) -> tuple[int, ...]:
    """Which truth each of ROWS has: 1 in the tanh latent of a box."""
    return tuple(int(cell.box and method_of(name).space == "tanh") for name in ROWS)


@partial(jax.jit, static_argnames="space")
def measured(
    scores: Float[Array, "t x n e d"],
    ess: Float[Array, "t x n e"],
    known: Posed,
    space: tuple[int, ...],
) -> dict[str, Array]:
    """Errors [n, e], effective sample sizes [n, e, x] and mean errors in standard errors
    [n, e, d, x]."""
    score, trace = known.score[np.array(space)], known.trace[np.array(space)]
    estimate = jnp.transpose(scores, (2, 3, 4, 0, 1))  # [n, e, d, t, x]
    none = jnp.zeros((0, 0))  # of the policy network, which is not looked at

    def one(estimate: Array, noise: Array, score: Array, trace: Array) -> tuple[Measures, Array]:
        exact = Truth(score, trace, none, none)
        return measure(estimate, noise, exact), standardised(estimate, exact)

    over_rows = jax.vmap(one, in_axes=(0, None, 0, 0))
    measures, t = jax.lax.map(
        lambda estimates: over_rows(estimates, estimates[0], score, trace), estimate
    )
    result = {name: getattr(measures, name) for name in KEPT}
    result |= {"t": t, "ess": jnp.moveaxis(jnp.mean(ess, axis=0), 0, -1)}
    size = jnp.mean(jnp.sum(score**2, axis=-1), axis=-1)
    shape = result["mse"].shape
    result["score_norm2"] = jnp.broadcast_to(size, shape)
    result["trace"] = jnp.broadcast_to(jnp.mean(trace, axis=-1), shape)
    return result


def run(
    grid: Grid,
    out: Path,
    quiet: bool = False,
    engine: campaign.Engine = campaign.HERE,
) -> pl.DataFrame:
    """Run what is missing.

    Args:
        grid: what to run.
        out: a folder; a rerun goes on from what is finished there.
        quiet: no progress.
        engine: where cells are computed.

    Returns:
        Rows of what is finished, the shares of others included (docs/columns.md).

    Raises:
        StudyError: the folder cannot be written, or a cell failed; what was finished is kept.
    """
    settings = (grid.trials, grid.query_points, grid.num_draws, grid.seed)
    version = hashlib.sha256(f"{settings}{code_version(CODE)}".encode()).hexdigest()[:16]
    todo = [Versioned(cell, version) for cell in all_cells(grid)]
    outcomes = campaign.study(partial(computed, grid), todo, out, engine, quiet)
    rows = (rows_of(grid, one.cell, unpacked(content)) for one, content in outcomes.items())
    return pl.DataFrame(list(chain.from_iterable(rows)), infer_schema_length=None)


def computed(grid: Grid, one: Versioned[Cell]) -> bytes:
    """What a cell found, as a file."""
    with jax.enable_x64(True):
        return packed({k: np.asarray(v) for k, v in compute(grid, one.cell).items()})


def rows_of(grid: Grid, cell: Cell, part: dict[str, np.ndarray]) -> Iterator[dict[str, object]]:
    """A row a budget and estimator, with mu and without."""
    where = {"q": cell.family, "tau": cell.tau, "alpha": cell.alpha,
             "sigma": float(cell.level.sigma), "dim": cell.dim, "box": cell.box}  # fmt: skip
    sizes = {"trials": grid.trials, "query_points": grid.query_points, "seed": grid.seed}
    for p, prior in enumerate((True, False)):
        for n, budget in enumerate(grid.num_draws):
            for e, name in enumerate(ROWS):
                if name in METHODS or prior:
                    labels = {"prior": prior, "budget": budget, "estimator": name}
                    draws = {"num_draws": draws_of(method_of(name), budget, cell.dim)}
                    numbers = {k: float(part[k][p, n, e]) for k in (*KEPT, "score_norm2", "trace")}
                    test = tested(part, (p, n, e), grid.trials)
                    yield where | labels | draws | numbers | test | sizes


def tested(part: dict[str, np.ndarray], at: tuple[int, int, int], trials: int) -> dict[str, object]:
    """Mean effective sample size, and the test of the mean error at the points where it is
    LEAST_ESS or more: two-sided, corrected for the number of components."""
    ess = part["ess"][at]
    t = np.nan_to_num(np.abs(part["t"][at][:, ess >= LEAST_ESS]), nan=np.inf)
    result: dict[str, object] = {"ess": float(ess.mean()), "tested": t.size}
    largest = float(t.max()) if t.size else None
    chance = None if largest is None else min(1.0, t.size * 2.0 * student.sf(largest, trials - 1))
    return result | {"largest_t": largest, "p_value": chance}
