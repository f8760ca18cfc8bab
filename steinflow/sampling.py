"""Sampling from a Boltzmann target by estimated scores alone: no network."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from steinflow.checks import broadcasting, require_at_least, require_key, require_kind
from steinflow.conversions import noise, posterior_mean
from steinflow.levels import Level
from steinflow.methods import Named, as_method
from steinflow.schedules import AbstractSchedule
from steinflow.score import Proposal, require_target, score_target
from steinflow.targets.boltzmann import AbstractTarget


@broadcasting
def sample(
    key: Key[Array, ""],
    target: AbstractTarget,
    schedule: AbstractSchedule,
    dim: int | None = None,
    num_samples: int = 256,
    num_steps: int = 32,
    estimator: Named | None = None,
    proposal: Proposal = None,
    num_draws: int = 64,
) -> Float[Array, "n d"]:
    """Draw from pi(a) ∝ exp(Q(a)/tau) by the probability-flow ODE of estimated scores.

    On R^d the first steps draw from a far wider law than pi; where Q is not quadratic they
    need many draws (with 64 a double well in two dimensions is missed), on a box they do not.

    Each step moves x = alpha E[a|x] + sigma E[eps|x] to the next level (DDIM, Song, Meng &
    Ermon, 2021), whatever the schedule; the last one ends at E[a|x], inside a box.

    Args:
        key: consumed once.
        target: the Boltzmann target; R^d or a box.
        schedule: from noise (t = 0) to data (t = 1).
        dim: d; None takes it from the target or its box.
        num_samples, num_steps: n samples, by so many steps each.
        estimator, proposal, num_draws: as in `score_target`, afresh at every step.

    Returns:
        Actions, [n, d].

    Raises:
        ValueError: as `score_target`, num_samples or num_steps < 1, or dim is not known.
    """
    require_key(key)
    require_target(target)
    require_kind("schedule", schedule, AbstractSchedule, "Write LinearFlow(), for example.")
    dim = width_of(target) if dim is None else dim
    for name, count in (("num_samples", num_samples), ("num_steps", num_steps), ("dim", dim)):
        require_at_least(name, count, 1, "It is a count.")
    method = as_method("auto" if estimator is None else estimator, proposal)
    times = (np.arange(num_steps + 1) + 0.5) / (num_steps + 1)
    levels = jax.vmap(schedule)(times)
    here, there, last = (part_of(levels, at) for at in (slice(-1), slice(1, None), -1))

    def score(key: Array, x: Array, level: Level) -> Array:
        return score_target(key, target, x, level, method, num_draws=num_draws).score

    def step(x: Array, now: tuple[Array, Level, Level]) -> tuple[Array, None]:
        key, level, following = now
        found = score(key, x, level)
        mean, eps = posterior_mean(found, x, level), noise(found, x, level)
        return following.alpha * mean + following.sigma * eps, None

    def one(key: Array) -> Array:
        first, *keys = jax.random.split(key, num_steps + 2)
        x = levels.sigma[0] * jax.random.normal(first, (dim,))
        x, _ = jax.lax.scan(step, x, (jnp.stack(keys[:-1]), here, there))
        return method.action(target, posterior_mean(score(keys[-1], x, last), x, last))

    return jax.lax.map(one, jax.random.split(key, num_samples), batch_size=256)


def part_of(levels: Level, at: slice | int) -> Level:
    """Some of the levels."""
    return jax.tree.map(lambda leaf: leaf[at], levels)


def width_of(target: AbstractTarget) -> int:
    """d, where the target or its box knows it."""
    if hasattr(target, "dim"):
        return int(target.dim)
    shapes = [leaf.shape for leaf in jax.tree.leaves(target.support) if leaf.ndim]
    if not shapes:
        raise ValueError("The dimension of an action is not known from the target: pass dim=.")
    return int(shapes[0][0])
