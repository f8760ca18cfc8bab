"""How long every method takes, with a critic of the usual size: from equal evaluations to equal
time."""

import time
from itertools import product
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
from jaxtyping import Array, Float, Key

from steinflow.io.files import explained, write_json
from steinflow.io.texts import parse_json, read_text
from steinflow.levels import Level
from steinflow.methods import ESTIMATORS
from steinflow.score import score_targets
from steinflow.study.leaderboard.contest import PUBLISHED, draws_of
from steinflow.study.leaderboard.grid import GRADIENT, Board, support_of
from steinflow.targets import Boltzmann

STATES, OBSERVATION, WIDTH, ROUNDS = 32, 17, 256, 9
NETWORK_SEED = 0
CACHE = "times.json"


def network(dim: int) -> eqx.nn.MLP:
    """A ReLU critic of two layers, in float32."""
    key = jax.random.key(NETWORK_SEED)
    return eqx.nn.MLP(
        OBSERVATION + dim, "scalar", WIDTH, 2, jax.nn.relu, dtype=jnp.float32, key=key
    )


def scores(
    critic: eqx.nn.MLP,
    key: Key[Array, ""],
    observations: Float[Array, "n o"],
    xs: Float[Array, "n *l d"],
    levels: Level,
    name: str,
    support: str,
    num_draws: int,
) -> Array:
    """Score targets of a method on the critic."""

    def q(action: Array, observation: Array) -> Array:
        return critic(jnp.concatenate([action, observation]))

    target = Boltzmann(q=q, tau=0.1, support=support_of(support), context=observations)
    return score_targets(key, target, xs, levels, name, num_draws=num_draws).score


def timed(board: Board, support: str, dim: int, budget: int) -> dict[str, float]:
    """Seconds of one jitted call for a batch of states at all noise levels, in float32: medians of
    rounds in which the methods take turns. Levels share their draws in auto alone."""
    key, count = jax.random.key(board.seed), len(board.alphas)
    observations = jax.random.normal(key, (STATES, OBSERVATION), jnp.float32)
    xs = jax.random.normal(key, (STATES, count, dim), jnp.float32)
    alpha, critic = jnp.asarray(board.alphas, jnp.float32), network(dim)
    call = eqx.filter_jit(scores)
    flat = (jnp.repeat(observations, count, axis=0), xs.reshape(-1, dim),
            Level(jnp.tile(alpha, STATES), 1.0 - jnp.tile(alpha, STATES)))  # fmt: skip
    shared = observations, xs, Level(alpha, 1.0 - alpha)
    runs: dict[str, tuple[Any, ...]] = {
        name: (*flat, name, support, draws_of(ESTIMATORS[name], budget, dim))
        for name in PUBLISHED[support]
    }
    runs["auto"] = (*shared, "auto", support, budget // GRADIENT)
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(ROUNDS + 1):
        for name, arguments in runs.items():
            begun = time.perf_counter()
            np.asarray(call(critic, key, *arguments))
            seconds[name].append(time.perf_counter() - begun)
    return {name: float(np.median(values[1:])) for name, values in seconds.items()}


def measured_times(board: Board, out: Path, version: str) -> pl.DataFrame:
    """Milliseconds of every method, by support, dimension and budget. Those that an earlier run of
    the same code has measured are kept.

    Raises:
        StudyError: the folder cannot be written.
    """
    path, rows = out / CACHE, list[dict[str, Any]]()
    if path.exists():
        rows = [row for row in parse_json(read_text(path)) if row["version"] == version]
    known = {(row["support"], row["dim"], row["budget"]) for row in rows}
    for place in product(board.supports, board.dims, board.budgets):
        if place not in known:
            same = dict(zip(("support", "dim", "budget"), place, strict=True))
            rows += [
                same | {"method": name, "milliseconds": 1e3 * seconds, "version": version}
                for name, seconds in timed(board, *place).items()
            ]
            with explained(out):
                write_json(path, rows)
    return pl.DataFrame(rows)
