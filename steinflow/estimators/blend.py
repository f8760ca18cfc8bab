"""The paper's blend: one scalar between noise and gradient expectation."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from steinflow.checks import Numbers, as_leaf
from steinflow.draws import Draws
from steinflow.estimators.base import AbstractEstimator, Needs, check_boundary, without_boundary
from steinflow.estimators.stein import unified_terms
from steinflow.points import Point
from steinflow.supports import AbstractSupport


class Blend(AbstractEstimator):
    """(1 - c) noise + c gradient, as one weighted mean: Σ_i w_i [u_i + c h_i/alpha].

    Approximates: s*(x) for every c, on R^d; on a box with `boundary="vanishing"`.
    With: self-normalised weights w ∝ exp(Q/tau).
    Requires: gradients of Q.
    Cost: N values and N gradients.
    Variance: quadratic in c; least at alpha^2/(alpha^2 + sigma^2 kappa) for curvature
        kappa = -Q''/tau, which lies outside [0, 1] where Q is convex.
    Reference: seed paper eq. (3) (its alpha is our c), in calibrated units. As printed the
        blend converges to ((1-c) sigma + c alpha) s*.
    """

    c: Numbers = eqx.field(converter=as_leaf)
    boundary: str | None = None

    def terms(self, draws: Draws, point: Point) -> Float[Array, "k d"]:
        if self.boundary == "ignored":
            point = without_boundary(point)
        return unified_terms(draws, point, self.coefficient(draws, point))

    def independent_terms(self, draws: Draws, point: Point) -> Float[Array, "k d"]:
        return self.terms(draws, point)

    def coefficient(self, draws: Draws, point: Point) -> Float[Array, "*c"]:
        return jnp.asarray(self.c, draws.action.dtype)

    def needs(self, dim: int) -> Needs:
        return Needs(gradient=True)

    def is_consistent(self, support: AbstractSupport) -> bool:
        return not (support.has_bounds and self.boundary == "ignored")

    def check(self, support: AbstractSupport, dim: int, num_draws: int) -> None:
        check_boundary("Blend", self.boundary, support)
        if jnp.ndim(self.c) != 0:
            raise ValueError(
                "Blend takes one scalar c; use ControlVariate(Constant(c)) for [d] or [d, d]."
            )
