"""The likelihood as a Gaussian in a, cut to the box: every draw has support."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from steinflow.levels import Level
from steinflow.proposals.base import AbstractProposal
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
        low, high = support.bounds(x.size)
        a, b = standard_bounds(x, level, low, high)
        a, b = jnp.broadcast_to(a, uniform.shape), jnp.broadcast_to(b, uniform.shape)
        z = quantile(uniform, a, b)
        scale = level.sigma / level.alpha
        # from the nearer wall, so that a draw far out in the tail keeps its digits
        inside = jnp.where(a + b > 0, low + scale * (z - a), high - scale * (b - z))
        return jnp.clip(inside, low, high)

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
        low, high = support.bounds(x.size)
        a, b = standard_bounds(x, level, low, high)
        scale = level.sigma / level.alpha
        z = (level.alpha * action - x) / level.sigma
        log_norm = jnp.log(scale) + 0.5 * np.log(2.0 * np.pi) + log_mass(a, b)
        return -0.5 * jnp.sum(z * z, -1) - jnp.sum(log_norm)


def standard_bounds(x: Array, level: Level, low: Array, high: Array) -> tuple[Array, Array]:
    """The walls in units of the proposal's standard deviation, from its mean."""
    return (level.alpha * low - x) / level.sigma, (level.alpha * high - x) / level.sigma
