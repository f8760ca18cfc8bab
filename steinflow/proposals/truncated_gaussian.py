"""The likelihood as a Gaussian in a, cut to the box: every draw has support."""

import math

import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtri
from jaxtyping import Array, Float

from steinflow.checks import Numbers
from steinflow.levels import Level
from steinflow.proposals.base import AbstractProposal, log_likelihood
from steinflow.proposals.truncated_normal import log_mass, quantile
from steinflow.supports import AbstractSupport


class TruncatedGaussianProposal(AbstractProposal):
    """q(a|x) ∝ N(a; x/alpha, (sigma/alpha)^2 I) on the box (MaxEntDP, arXiv 2502.11612).

    A flat Q then has ESS = N at every noise level.
    """

    def actions(
        self,
        uniform: Float[Array, "k d"],
        x: Float[Array, " d"],
        level: Level,
        support: AbstractSupport,
    ) -> Float[Array, "k d"]:
        return normal_actions(uniform, x / level.alpha, level.sigma / level.alpha, support)

    def log_ratio(
        self,
        action: Float[Array, "k d"],
        x: Float[Array, " d"],
        level: Level,
        support: AbstractSupport,
    ) -> Float[Array, " k"]:
        return jnp.zeros(action.shape[0], action.dtype)

    def log_prob(
        self,
        action: Float[Array, "k d"],
        x: Float[Array, " d"],
        level: Level,
        support: AbstractSupport,
    ) -> Float[Array, " k"]:
        mean, scale = x / level.alpha, level.sigma / level.alpha
        return log_likelihood(action, x, level) - log_norm(mean, scale, support)


def normal_actions(
    uniform: Float[Array, "k d"],
    mean: Float[Array, " d"],
    scale: Numbers,
    support: AbstractSupport,
) -> Float[Array, "k d"]:
    """Draws from N(mean, diag(scale²)), cut to the support, by the inverse CDF."""
    if not support.has_walls:
        return mean + scale * ndtri(uniform)
    low, high = support.bounds(mean.size)
    a, b = (low - mean) / scale, (high - mean) / scale
    z = quantile(uniform, a, b)
    # from the nearer wall, so that a draw far out in the tail keeps its digits
    inside = jnp.where(a + b > 0, low + scale * (z - a), high - scale * (b - z))
    return jnp.clip(inside, low, high)


def log_normal(
    action: Float[Array, "k d"],
    mean: Float[Array, " d"],
    scale: Numbers,
    support: AbstractSupport,
) -> Float[Array, " k"]:
    """log density of N(mean, diag(scale²)), cut to the support, [k]."""
    away = jnp.sum(((action - mean) / scale) ** 2, axis=-1)
    return -0.5 * away - log_norm(mean, scale, support)


def log_norm(mean: Float[Array, " d"], scale: Numbers, support: AbstractSupport) -> Array:
    """log of the integral of exp(-|(a - mean)/scale|²/2) over the support, []."""
    total = jnp.log(scale) + 0.5 * math.log(2.0 * np.pi)
    if support.has_walls:
        low, high = support.bounds(mean.size)
        total = total + log_mass((low - mean) / scale, (high - mean) / scale)
    return jnp.sum(jnp.broadcast_to(total, mean.shape))
