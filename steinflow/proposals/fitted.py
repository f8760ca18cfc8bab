"""The proposal of `auto`: the likelihood, then a normal fitted to the gradients seen there."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.nn import softmax
from jaxtyping import Array, Float

from steinflow.checks import as_leaf, require_at_least, require_positive, require_share
from steinflow.draws.base import Draws
from steinflow.points import Point, center_and_width
from steinflow.proposals.normal import NormalProposal


class FittedProposal(eqx.Module):
    """Half of the draws are from the likelihood on the support, the others from a normal fitted
    to these.

    A fit is a weighted regression of grad log pi on the action, one dimension at a time,
    ∂_j log pi ≈ b_j - P_j a_j with P_j >= 0. With the likelihood it makes a normal of precision
    P_j + alpha²/sigma². The regression weighs the draws by the posterior at the lowest
    temperature, tau or above, at which they keep a share of their effective sample size for
    flat Q. All draws are weighed by the mixture of all proposals, so that a bad
    fit costs no more than its own draws.

    Args:
        ess_share: share of the effective sample size for flat Q that a fit rests on, in (0, 1).
        reach: standard deviations that a fitted mean may lie beyond the bounds of a box, or away
            from the mean of the likelihood.
        temperatures: that are tried, >= 2, from tau to where Q is flat.

    Reference: deterministic mixture, Veach & Guibas (1995), Owen & Zhou (2000); tempered weights
        in adaptive importance sampling, Koblents & Míguez (2015),
        https://doi.org/10.1007/s11222-013-9440-2.
    """

    ess_share: float = eqx.field(default=0.3, static=True)
    reach: float = eqx.field(default=6.0, static=True)
    temperatures: int = eqx.field(default=16, static=True)

    def __check_init__(self) -> None:
        require_share("ess_share", self.ess_share, "A fit rests on more than one draw.")
        require_positive("reach", as_leaf(self.reach), "It is a distance.")
        require_at_least("temperatures", self.temperatures, 2, "Their ends are tau and flat Q.")

    def sizes(self, num_draws: int) -> tuple[int, ...]:
        """Draws a point of each stage, the likelihood's first."""
        fitted = num_draws // 2
        return (num_draws - fitted, fitted) if fitted else (num_draws,)

    def first(self, point: Point) -> NormalProposal:
        """The likelihood of x on the support."""
        center, width = center_and_width(point)
        return NormalProposal(center, jnp.full_like(center, width))

    def fit(self, draws: Draws, point: Point) -> NormalProposal:
        """The normal of one point, from the draws of all points of its state."""
        v = tempered(draws.value, draws.log_prior, self.ess_share, self.temperatures)[:, None]
        gradient = jnp.nan_to_num(draws.gradient)
        center, mean_gradient = jnp.sum(v * draws.action, axis=0), jnp.sum(v * gradient, axis=0)
        offset = draws.action - center
        spread = jnp.sum(v * offset**2, axis=0)
        fall = -jnp.sum(v * offset * (gradient - mean_gradient), axis=0)
        x_in_a, width = center_and_width(point)
        likelihood = 1.0 / width**2
        precision = jnp.where(spread > 0, fall / jnp.where(spread > 0, spread, 1.0), 0.0)
        precision = jnp.clip(precision, 0.0, likelihood / np.finfo(point.x.dtype).eps)
        total = precision + likelihood
        pull = likelihood * (x_in_a - center)
        mean = center + (mean_gradient + pull) / total
        return within_reach(mean, 1.0 / jnp.sqrt(total), self.reach, point)


def within_reach(
    mean: Float[Array, " d"], scale: Float[Array, " d"], reach: float, point: Point
) -> NormalProposal:
    """The normal, its mean at most `reach` standard deviations outside a box.

    A mean farther out becomes one at that distance, and the scale the one that keeps the
    gradient of the log density at the bound. On R^d the mean is at most `reach` standard
    deviations of the likelihood away from that one's mean.
    """
    if point.support.has_bounds:
        low, high = point.support.bounds(mean.size)
        bound = jnp.clip(mean, low, high)
        distance = jnp.abs(mean - bound)
        gradient = distance / scale**2
        far = distance > reach * scale
        scale = jnp.where(far, reach / jnp.where(far, gradient, 1.0), scale)
        mean = jnp.where(far, bound + jnp.sign(mean - bound) * reach * scale, mean)
    else:
        center, width = center_and_width(point)
        mean = jnp.clip(mean, center - reach * width, center + reach * width)
    return NormalProposal(mean.astype(point.x.dtype), scale.astype(point.x.dtype))


def tempered(
    value: Float[Array, " k"], log_prior: Float[Array, " k"], share: float, temperatures: int
) -> Float[Array, " k"]:
    """Self-normalised weights, [k], for the posterior at the lowest of some temperatures, from tau
    to where Q is flat, at which the draws keep this share of their effective sample size there.

    Args:
        value: Q/tau; -inf where a draw is impossible.
        log_prior: log weights for flat Q.
        share: in (0, 1).
        temperatures: how many.
    """
    possible = value > -jnp.inf
    log_prior = jnp.where(possible | ~jnp.any(possible), log_prior, -jnp.inf)
    below = jnp.where(possible, value - jnp.max(value), 0.0)
    hottest = 100.0 * (1.0 - jnp.min(below))
    inverse = hottest ** -jnp.linspace(0.0, 1.0, temperatures, dtype=value.dtype)
    weight = softmax(log_prior + inverse[:, None] * below, axis=1)
    ess = 1.0 / jnp.sum(weight**2, axis=1)
    last = np.arange(temperatures) == temperatures - 1
    enough = (ess >= 1.0 + share * (ess[-1] - 1.0)) | last
    weight = weight[jnp.argmax(enough)]
    return jnp.where(jnp.isfinite(weight), weight, 1.0 / weight.size)
