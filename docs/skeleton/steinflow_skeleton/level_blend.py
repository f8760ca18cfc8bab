"""A blend of noise and gradient expectation whose coefficient follows the noise level."""

import jax.numpy as jnp
from jaxtyping import Array, Float

import steinflow as sf
from steinflow.draws import Draws
from steinflow.estimators import AbstractEstimator
from steinflow.estimators.base import Needs
from steinflow.points import Point
from steinflow.supports import AbstractSupport


class LevelBlend(AbstractEstimator):
    """Σ_i w_i [u_i + c h_i/alpha] with c = alpha^2/(alpha^2 + sigma^2 kappa).

    Approximates: s*(x), on R^d and on a box.
    With: self-normalised weights w ∝ exp(Q/tau); h vanishes at the bounds of a box.
    Requires: gradients of Q; Q absolutely continuous.
    Cost: N values and N gradients.
    Variance: none where pi is normal with precision kappa I, on R^d.
    Reference: docs/formulas.md of steinflow.
    """

    kappa: float = 1.0  # the curvature of -Q/tau that c is best for

    def terms(self, draws: Draws, point: Point) -> Float[Array, "k d"]:
        """The formula: one vector a draw. Their weighted mean is the estimate."""
        x, level = point.x, point.level
        # phi and its derivative, [k, d]
        boundary_weight, weight_gradient = point.support.boundary_weight(draws.action)
        noise = (level.alpha * draws.action - x) / level.sigma**2  # u, [k, d]
        posterior_score = draws.gradient - level.alpha * noise  # g, [k, d]
        stein = boundary_weight * posterior_score + weight_gradient  # h, [k, d]: E[h|x] = 0
        return noise + self.coefficient(draws, point) * stein / level.alpha

    def independent_terms(self, draws: Draws, point: Point) -> Float[Array, "k d"]:
        """For the standard error: nothing is fitted to the draws here, so the same."""
        return self.terms(draws, point)

    def coefficient(self, draws: Draws, point: Point) -> Float[Array, "*c"]:
        """c. It is reported as info.coefficient."""
        level = point.level
        c = level.alpha**2 / (level.alpha**2 + level.sigma**2 * self.kappa)
        return jnp.asarray(c, draws.action.dtype)

    def needs(self, dim: int) -> Needs:
        """Gradients of Q are needed. No number is fitted to the draws."""
        return Needs(gradient=True, fitted=0)

    def is_consistent(self, support: AbstractSupport) -> bool:
        """With more draws it tends to the score, on any support."""
        return True

    def check(self, support: AbstractSupport, dim: int, num_draws: int) -> None:
        """What a user can get wrong, as one sentence with the remedy."""
        if not self.kappa >= 0.0:
            raise ValueError(f"kappa must not be negative, got {self.kappa}. Zero is the gradient.")


# proposal None: the likelihood of x, cut to the box where there is one.
METHOD = sf.Method(proposal=None, estimator=LevelBlend())
