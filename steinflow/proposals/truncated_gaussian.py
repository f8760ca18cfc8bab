"""The likelihood as a Gaussian in a, cut to the box: every draw has support."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from steinflow.points import Point, log_likelihood
from steinflow.proposals.base import AbstractProposal
from steinflow.proposals.normal import log_mass_of, normal_actions


class TruncatedGaussianProposal(AbstractProposal):
    """q(a|x) ∝ N(a; x/alpha, (sigma/alpha)^2 I) on the box.

    A flat Q then has ESS = N at every noise level.

    Reference: MaxEntDP, Dong et al. (2025), https://arxiv.org/abs/2502.11612.
    """

    def actions(self, uniform: Float[Array, "k d"], point: Point) -> Float[Array, "k d"]:
        level = point.level
        return normal_actions(
            uniform, point.x / level.alpha, level.sigma / level.alpha, point.support
        )

    def log_prob(self, action: Float[Array, "k d"], point: Point) -> Float[Array, " k"]:
        mean, scale = point.x / point.level.alpha, point.level.sigma / point.level.alpha
        return log_likelihood(action, point) - log_mass_of(mean, scale, point.support)

    def log_ratio(self, action: Float[Array, "k d"], point: Point) -> Float[Array, " k"]:
        return jnp.zeros(action.shape[0], action.dtype)
