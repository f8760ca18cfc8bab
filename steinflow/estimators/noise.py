"""Noise expectation: the score as the weighted mean of the noise."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from steinflow.draws import Draws
from steinflow.estimators.base import AbstractEstimator, Needs
from steinflow.estimators.stein import noise_terms
from steinflow.points import Point
from steinflow.supports import AbstractSupport


class NoiseExpectation(AbstractEstimator):
    """Σ_i w_i (alpha a_i - x)/sigma^2, the paper's eq. (1) in units of the score.

    Approximates: s*(x) = -E[eps|x]/sigma, on any support.
    With: self-normalised weights w ∝ exp(Q/tau).
    Requires: values of Q.
    Cost: N values.
    Variance: (alpha/sigma^2)^2 tr Cov[a|x]/ESS for exact posterior draws: large at low
        noise, whatever Q is.
    Reference: seed paper eq. (1), which as printed converges to sigma s*.
    """

    def terms(self, draws: Draws, point: Point) -> Float[Array, "k d"]:
        return noise_terms(draws, point)

    def independent_terms(self, draws: Draws, point: Point) -> Float[Array, "k d"]:
        return self.terms(draws, point)

    def coefficient(self, draws: Draws, point: Point) -> Float[Array, "*c"]:
        return jnp.zeros((), draws.action.dtype)

    def needs(self, dim: int) -> Needs:
        return Needs(gradient=False)

    def is_consistent(self, support: AbstractSupport) -> bool:
        return True

    def check(self, support: AbstractSupport, dim: int, num_draws: int) -> None:
        pass
