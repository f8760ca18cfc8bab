"""The likelihood as a Gaussian in a, cut to the box: every draw has support."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from steinflow.points import Point, center_and_width, log_likelihood
from steinflow.proposals.base import AbstractProposal
from steinflow.proposals.normal import log_mass_of, normal_actions


class TruncatedGaussianProposal(AbstractProposal):
    """q(a|x) ∝ N(a; x/alpha, (sigma/alpha)^2 I) on the box.

    A flat Q then has ESS = N at every noise level.

    Reference: MaxEntDP, Dong et al. (2025), https://arxiv.org/abs/2502.11612.
    """

    def actions(self, uniform: Float[Array, "k d"], point: Point) -> Float[Array, "k d"]:
        return normal_actions(uniform, *center_and_width(point), point.support)

    def log_prob(self, action: Float[Array, "k d"], point: Point) -> Float[Array, " k"]:
        log_mass = log_mass_of(*center_and_width(point), point.support)
        return log_likelihood(action, point) - log_mass

    def log_ratio(self, action: Float[Array, "k d"], point: Point) -> Float[Array, " k"]:
        return jnp.zeros(action.shape[0], action.dtype)
