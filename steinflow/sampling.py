"""Sampling from a Boltzmann target by estimated scores alone: no network."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from steinflow.checks import broadcasting, require_at_least, require_key, require_kind
from steinflow.conversions import posterior_mean
from steinflow.levels import Level
from steinflow.methods import Named, as_method
from steinflow.samplers import denoise, steps_of
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
    sampler: str = "ode",
    corrector: float = 0.0,
) -> Float[Array, "n d"]:
    """Draw from pi(a) ∝ exp(Q(a)/tau) by estimated scores.

    On R^d the first steps draw from a far wider distribution than pi; where Q is not quadratic they
    need many draws (with 64 a double well in two dimensions is missed), on a box they do not.

    The last step ends at E[a|x], inside a box.

    Args:
        key: consumed once.
        target: the Boltzmann target; R^d or a box.
        schedule: from noise (t = 0) to data (t = 1).
        dim: d; None takes it from the target or its box.
        num_samples, num_steps: n samples, by so many steps each.
        estimator, proposal, num_draws: as in `score_target`, afresh at every step.
        sampler: ode (the probability flow, DDIM), ddpm (ancestral), or sde (Euler-Maruyama).
        corrector: signal-to-noise ratio of a Langevin step after each step; 0 is none. It doubles
            the number of targets.

    Returns:
        Actions, [n, d].

    Raises:
        ValueError: as `score_target`, num_samples or num_steps < 1, dim is not known, or no
            sampler has that name.
    """
    require_key(key)
    require_target(target)
    require_kind("schedule", schedule, AbstractSchedule, "Write LinearFlow(), for example.")
    dim = width_of(target) if dim is None else dim
    for name, count in (("num_samples", num_samples), ("num_steps", num_steps), ("dim", dim)):
        require_at_least(name, count, 1, "It is a count.")
    method = as_method("auto" if estimator is None else estimator, proposal)
    times = jnp.asarray((np.arange(num_steps + 1) + 0.5) / (num_steps + 1))
    steps = steps_of(schedule, times, sampler, corrector)

    def mean(key: Array, x: Array, level: Level) -> Array:
        estimate = score_target(key, target, x, level, method, num_draws=num_draws)
        return posterior_mean(estimate.score, x, level)

    def one(key: Array) -> Array:
        return method.action(target, denoise(key, steps, mean, dim))

    return jax.lax.map(one, jax.random.split(key, num_samples), batch_size=256)


def width_of(target: AbstractTarget) -> int:
    """d, where the target or its box knows it."""
    if hasattr(target, "dim"):
        return int(target.dim)
    shapes = [leaf.shape for leaf in jax.tree.leaves(target.support) if leaf.ndim]
    if not shapes:
        raise ValueError("The dimension of an action is not known from the target: pass dim=.")
    return int(shapes[0][0])
