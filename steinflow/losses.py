"""The paper's training objectives: regress a network on the score target."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from steinflow.ask_tell import over
from steinflow.checks import broadcasting, lookup, require_shape
from steinflow.conversions import noise, posterior_mean, velocity
from steinflow.estimators import Estimate
from steinflow.levels import Level
from steinflow.methods import Named
from steinflow.score import Proposal, context_axes, context_of, score_targets
from steinflow.targets.boltzmann import AbstractTarget

UNITS: dict[str, Callable[[Array, Array, Level], Array]] = {
    "score": lambda score, x, level: score,
    "noise": noise,
    "posterior_mean": posterior_mean,
    "velocity": velocity,
}


@broadcasting
def score_matching_loss(
    predict: Callable[..., Float[Array, " d"]],
    key: Key[Array, ""],
    targets: AbstractTarget,
    xs: Float[Array, "b *l d"],
    levels: Level,
    estimator: Named | None = None,
    proposal: Proposal = None,
    num_draws: int = 64,
    units: str = "score",
    weight: Callable[[Level], Any] | None = None,
) -> tuple[Float[Array, ""], Estimate]:
    """Mean of weight |predict(x, level) - target|^2, the target's gradient stopped.

    `estimator="noise"` is the paper's L_NE, "gradient" L_GE, and `Blend(c)` has the same
    parameter gradient as L_alpha = (1 - c) L_NE + c L_GE: the losses differ by a constant
    (seed paper section 2.3; its alpha is our c).

    Args:
        predict: the network, (x [d], level) -> [d] in the units given; where the targets have
            a context, (x, level, context of the state), which makes a conditional policy.
            Vmapped here.
        key, targets, xs, levels, estimator, proposal, num_draws: as in `score_targets`.
        units: "score", "noise", "posterior_mean" or "velocity" of prediction and target.
        weight: level -> a scalar, sigma^2 say; None is 1.

    Returns:
        (loss, estimates): a scalar, and the Estimate with its evidence.

    Raises:
        ValueError: as `score_targets`, unknown units, or predict does not return [d].
    """
    if not callable(predict) or not (weight is None or callable(weight)):
        raise ValueError("predict and weight must be functions: (x, level) -> [d], level -> [].")
    convert = lookup("units", units, UNITS)
    result = score_targets(key, targets, xs, levels, estimator, proposal, num_draws)
    xs = jnp.asarray(xs)
    levels = jax.tree.map(lambda leaf: over(leaf, xs.shape[:-1]).astype(xs.dtype), levels)
    context = context_of(targets)
    axes = None if context is None else context_axes(context)

    def one(x: Array, score: Array, level: Level, context: Any) -> Array:
        goal = jax.lax.stop_gradient(convert(score, x, level))
        given = (x, level) if context is None else (x, level, context)
        try:
            predicted = predict(*given)
        except TypeError as error:
            raise ValueError(
                f"predict could not be called ({error}). It takes x [d], a level and, where the "
                "targets have a context, that of the state."
            ) from error
        require_shape("The result of predict", predicted, [goal.shape], "It is compared with [d].")
        scale = 1.0 if weight is None else weight(level)
        return scale * jnp.sum((predicted - goal) ** 2)

    if xs.ndim == 3:
        one = jax.vmap(one, (0, 0, 0, None))
    losses = eqx.filter_vmap(one, in_axes=(0, 0, 0, axes))(xs, result.score, levels, context)
    return jnp.mean(losses), result
