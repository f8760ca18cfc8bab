"""The second trial of the tanh latent: actions drawn by each estimator's own flow, on boxes."""

from collections.abc import Iterator
from functools import partial
from itertools import product
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from steinflow.sampling import sample
from steinflow.schedules import LinearFlow
from steinflow.study.leaderboard.grid import GRADIENT, Board, Group, Unit
from steinflow.study.leaderboard.problems import (
    KINDS,
    Members,
    at_temperature,
    boltzmann_of,
    is_exact,
    kind_of,
    members,
    resampled,
    spread,
)
from steinflow.supports import Box

SAMPLES, STEPS, EVERY = 1024, 20, 4
DRIVERS = {"published": "rfm", "ours": "auto"}


def problems(board: Board, unit: Unit, groups: Iterator[Group]) -> list[tuple[Group, int]]:
    """Every fourth problem of a dimension: a Q, a temperature and a budget."""
    return list(product(groups, board.budgets))[unit.dim % EVERY :: EVERY]


@partial(jax.jit, static_argnames=("method", "budget", "dim"))
def flow(
    key: Key[Array, ""],
    kind: Array,
    member: Members,
    tau: Array,
    method: str,
    budget: int,
    dim: int,
) -> Float[Array, "n d"]:
    """Actions from the probability-flow ODE driven by a method."""
    target = boltzmann_of(kind, tau, member, Box(-1.0, 1.0))
    return sample(
        key, target, LinearFlow(), dim, SAMPLES, STEPS, method, num_draws=budget // GRADIENT
    )


def energy_distance(x: Float[Array, "n d"], y: Float[Array, "m d"]) -> tuple[float, float]:
    """2 E|X - Y| - E|X - X'| - E|Y - Y'|, without bias, and its standard error over X."""

    def mean_distance(a: Array, b: Array, same: bool) -> Array:
        square = jnp.sum(a**2, 1)[:, None] + jnp.sum(b**2, 1) - 2.0 * a @ b.T
        length = jnp.sqrt(jnp.maximum(square, 0.0))
        return jnp.sum(length, axis=1) / (b.shape[0] - same)

    across, within = mean_distance(x, y, False), mean_distance(x, x, True)
    distance = jnp.mean(2.0 * across - within) - jnp.mean(mean_distance(y, y, True))
    influence = np.asarray(2.0 * (across - within))
    return float(distance), float(np.std(influence) / np.sqrt(influence.size))


def compared(
    board: Board, unit: Unit, group: Group, budget: int, key: Key[Array, ""], method: str
) -> dict[str, object]:
    """The energy distance of the actions that a method drives to exact ones."""
    every, kind = members(board, unit, group.family), kind_of(group.family)
    tau = group.tau * spread(every[kind])[0]
    one = {name: jax.tree.map(lambda leaf: leaf[0], member) for name, member in every.items()}
    one = {name: at_temperature(member, tau) for name, member in one.items()}
    number = jnp.asarray(KINDS.index(kind))
    draw, drive = jax.random.split(key)
    exact = exact_actions(draw, one[kind])
    actions = flow(drive, number, one, tau, method, budget, unit.dim)
    energy, error = energy_distance(actions, exact)
    return {
        "dim": unit.dim, "q": group.family, "tau": group.tau, "budget": budget,
        "method": method, "energy": energy, "energy_se": error,
    }  # fmt: skip


@eqx.filter_jit
def exact_actions(key: Key[Array, ""], target: Any) -> Float[Array, "n d"]:
    """Exact samples of one state's policy."""
    if is_exact(target):
        return target.sample(key, SAMPLES)
    return resampled(key, jax.tree.map(lambda leaf: leaf[None], target), "pi", SAMPLES)[0]
