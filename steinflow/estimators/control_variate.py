"""The unified estimator: noise expectation with a Stein control variate."""

from jaxtyping import Array, Float

from steinflow.checks import require_kind
from steinflow.draws import Draws
from steinflow.estimators.base import AbstractEstimator, Needs
from steinflow.estimators.coefficients import AbstractCoefficient
from steinflow.estimators.stein import unified_terms
from steinflow.points import Point
from steinflow.supports import AbstractSupport


class ControlVariate(AbstractEstimator):
    """Σ_i w_i [u_i + C h_i/alpha] with a scalar, diagonal or matrix coefficient C.

    Approximates: s*(x), on R^d and on a box, for every C that does not depend on the draws.
    With: self-normalised weights w ∝ exp(Q/tau); h vanishes at the bounds of a box.
    Requires: gradients of Q; Q absolutely continuous.
    Cost: N values and N gradients, and what the coefficient takes.
    Variance: least at C* = (alpha^2/sigma^2) diag(E phi) E[h h^T]^-1 under exact draws.
        For a Gaussian target with precision P, C* = alpha^2 (alpha^2 I + sigma^2 P)^-1
        leaves none: one draw gives the exact score.
    Reference: docs/formulas.md; control functionals, Oates, Girolami & Chopin (2017);
        Li, Tang & Azizan (arXiv 2601.08136).

    Args:
        by: where C comes from.
    """

    by: AbstractCoefficient

    def __check_init__(self) -> None:
        require_kind("by", self.by, AbstractCoefficient, "Write InSample(), for example.")

    def terms(self, draws: Draws, point: Point) -> Float[Array, "k d"]:
        return unified_terms(draws, point, self.by.fit(draws, point))

    def independent_terms(self, draws: Draws, point: Point) -> Float[Array, "k d"]:
        return self.terms(draws, point)

    def coefficient(self, draws: Draws, point: Point) -> Float[Array, "*c"]:
        return self.by.fit(draws, point)

    def needs(self, dim: int) -> Needs:
        return self.by.needs(dim)

    def is_consistent(self, support: AbstractSupport) -> bool:
        return True

    def check(self, support: AbstractSupport, dim: int, num_draws: int) -> None:
        self.by.check(dim, num_draws)
