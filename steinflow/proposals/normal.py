"""A normal distribution of independent coordinates, cut to the support."""

import math

import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtri
from jaxtyping import Array, Float

from steinflow.checks import Numbers
from steinflow.points import Point, log_likelihood, squared_distance
from steinflow.proposals.base import AbstractProposal
from steinflow.supports import AbstractSupport
from steinflow.truncated_normal import log_mass, quantile


class NormalProposal(AbstractProposal):
    """N(mean, diag(scale²)), cut to the support; it does not depend on x.

    Args:
        mean, scale: [d], in units of actions; scale > 0.
    """

    mean: Numbers
    scale: Numbers

    def actions(self, uniform: Float[Array, "k d"], point: Point) -> Float[Array, "k d"]:
        return normal_actions(uniform, self.mean, self.scale, point.support)

    def log_prob(self, action: Float[Array, "k d"], point: Point) -> Float[Array, " k"]:
        distance = squared_distance(action, self.mean, self.scale)
        return -0.5 * distance - log_mass_of(self.mean, self.scale, point.support)

    def log_ratio(self, action: Float[Array, "k d"], point: Point) -> Float[Array, " k"]:
        return log_likelihood(action, point) - self.log_prob(action, point)


def normal_actions(
    uniform: Float[Array, "k d"],
    mean: Float[Array, " d"],
    scale: Numbers,
    support: AbstractSupport,
) -> Float[Array, "k d"]:
    """Draws from N(mean, diag(scale²)), cut to the support, by the inverse CDF."""
    if not support.has_bounds:
        return mean + scale * ndtri(uniform)
    low, high = support.bounds(mean.size)
    a, b = (low - mean) / scale, (high - mean) / scale
    z = quantile(uniform, a, b)
    # from the nearer bound, so that a draw far out in the tail keeps its digits
    inside = jnp.where(a + b > 0, low + scale * (z - a), high - scale * (b - z))
    return jnp.clip(inside, low, high)


def log_mass_of(mean: Float[Array, " d"], scale: Numbers, support: AbstractSupport) -> Array:
    """log of the integral of exp(-|(a - mean)/scale|²/2) over the support, []."""
    total = jnp.log(scale) + 0.5 * math.log(2.0 * np.pi)
    if support.has_bounds:
        low, high = support.bounds(mean.size)
        total = total + log_mass((low - mean) / scale, (high - mean) / scale)
    return jnp.sum(jnp.broadcast_to(total, mean.shape))
