"""The likelihood as a Gaussian in a: the proposal of noise expectation on R^d."""

import math

import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtri
from jaxtyping import Array, Float

from steinflow.points import Point, center_and_width, log_likelihood
from steinflow.proposals.base import AbstractProposal


class GaussianProposal(AbstractProposal):
    """q(a|x) = N(a; x/alpha, (sigma/alpha)^2 I): a = (x + sigma z)/alpha, any support.

    On a box its draws can leave the support, where pi is 0: they get weight zero.
    """

    def actions(self, uniform: Float[Array, "k d"], point: Point) -> Float[Array, "k d"]:
        return (point.x + point.level.sigma * ndtri(uniform)) / point.level.alpha

    def log_prob(self, action: Float[Array, "k d"], point: Point) -> Float[Array, " k"]:
        _, width = center_and_width(point)
        log_total = jnp.log(width) + 0.5 * math.log(2 * np.pi)
        return log_likelihood(action, point) - point.x.size * log_total

    def log_ratio(self, action: Float[Array, "k d"], point: Point) -> Float[Array, " k"]:
        return jnp.zeros(action.shape[0], action.dtype)
