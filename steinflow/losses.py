"""The paper's training objectives: regress a network on the score target."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from steinflow.checks import lookup
from steinflow.conversions import noise, posterior_mean, velocity
from steinflow.estimators import Estimate
from steinflow.levels import Level
from steinflow.proposals import AbstractProposal
from steinflow.score import Named, over, score_targets
from steinflow.targets.boltzmann import AbstractTarget

UNITS: dict[str, Callable[[Array, Array, Level], Array]] = {
    "score": lambda score, x, level: score,
    "noise": noise,
    "posterior_mean": posterior_mean,
    "velocity": velocity,
}


def score_matching_loss(
    predict: Callable[[Float[Array, " d"], Level], Float[Array, " d"]],
    key: Key[Array, ""],
    targets: AbstractTarget,
    xs: Float[Array, "b *l d"],
    levels: Level,
    estimator: Named | None = None,
    proposal: AbstractProposal | None = None,
    num_draws: int = 64,
    units: str = "score",
    weight: Callable[[Level], Any] | None = None,
) -> tuple[Float[Array, ""], Estimate]:
    """Mean of weight |predict(x, level) - target|^2, the target's gradient stopped.

    `estimator="noise"` is the paper's L_NE, "gradient" L_GE, and `Blend(c)` has the same
    parameter gradient as L_alpha = (1 - c) L_NE + c L_GE: the losses differ by a constant
    (seed paper section 2.3; its alpha is our c).

    Args:
        predict: the network, (x [d], level) -> [d] in the units given; vmapped here.
        key, targets, xs, levels, estimator, proposal, num_draws: as in `score_targets`.
        units: "score", "noise", "posterior_mean" or "velocity" of prediction and target.
        weight: level -> a scalar, sigma^2 say; None is 1.

    Returns:
        (loss, estimates): a scalar, and the Estimate with its evidence.

    Raises:
        ValueError: as `score_targets`, or unknown units.
    """
    convert = lookup("units", units, UNITS)
    result = score_targets(key, targets, xs, levels, estimator, proposal, num_draws)
    xs = jnp.asarray(xs)
    shape, dim = xs.shape[:-1], xs.shape[-1]
    points = xs.reshape(-1, dim)
    levels = jax.tree.map(lambda leaf: over(leaf, shape).reshape(-1).astype(xs.dtype), levels)

    def one(x: Array, score: Array, level: Level) -> Array:
        goal = jax.lax.stop_gradient(convert(score, x, level))
        scale = 1.0 if weight is None else weight(level)
        return scale * jnp.sum((predict(x, level) - goal) ** 2)

    losses = jax.vmap(one)(points, result.score.reshape(-1, dim), levels)
    return jnp.mean(losses), result
