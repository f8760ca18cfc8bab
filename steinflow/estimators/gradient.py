"""Gradient expectation: the score as the weighted mean of Q-gradients."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from steinflow.draws import Draws
from steinflow.estimators.base import AbstractEstimator, Needs, check_boundary, without_boundary
from steinflow.estimators.stein import noise_terms
from steinflow.points import Point
from steinflow.supports import AbstractSupport


class GradientExpectation(AbstractEstimator):
    """Σ_i w_i grad log pi(a_i)/alpha, the paper's eq. (2) in units of the score.

    Approximates: s*(x) = E[grad log pi(a)|x]/alpha, where pi vanishes at the boundary.
    With: self-normalised weights w ∝ exp(Q/tau). On a box `boundary="vanishing"` adds
        what is missing: phi ⊙ grad log pi/alpha + (1 - phi) ⊙ u + ∂phi/alpha, gradient
        expectation inside, noise expectation at the bounds (noise + h/alpha).
    Requires: gradients of Q; Q absolutely continuous.
    Cost: N values and N gradients.
    Variance: tr Cov[grad log pi(a)|x]/(alpha^2 ESS): zero for linear Q, large for rough Q.
    Reference: seed paper eq. (2), which as printed converges to alpha s*. Published code
        uses it on boxes with the boundary term dropped, `boundary="ignored"`: biased by
        (p_j(high_j|x) - p_j(low_j|x))/alpha in dimension j.
    """

    boundary: str | None = None

    def terms(self, draws: Draws, point: Point) -> Float[Array, "k d"]:
        if self.boundary == "ignored":
            point = without_boundary(point)
        boundary_weight, weight_gradient = point.support.boundary_weight(draws.action)
        gradient = (boundary_weight * draws.gradient + weight_gradient) / point.level.alpha
        return gradient + (1.0 - boundary_weight) * noise_terms(draws, point)

    def independent_terms(self, draws: Draws, point: Point) -> Float[Array, "k d"]:
        return self.terms(draws, point)

    def coefficient(self, draws: Draws, point: Point) -> Float[Array, "*c"]:
        return jnp.ones((), draws.action.dtype)

    def needs(self, dim: int) -> Needs:
        return Needs(gradient=True)

    def is_consistent(self, support: AbstractSupport) -> bool:
        return not (support.has_bounds and self.boundary == "ignored")

    def check(self, support: AbstractSupport, dim: int, num_draws: int) -> None:
        check_boundary("GradientExpectation", self.boundary, support)
