"""What an estimator is: one vector a draw, whose weighted mean estimates the score."""

import abc
from typing import NamedTuple

import equinox as eqx
from jaxtyping import Array, Float

from steinflow.draws import Draws
from steinflow.points import Point
from steinflow.supports import AbstractSupport, RealSpace


class Needs(NamedTuple):
    """What an estimator asks of Q and of the draws."""

    gradient: bool  # of Q at every draw
    hessian: bool = False  # of Q at every draw: as dear as d gradients
    fitted: int = 0  # numbers an output takes from the draws themselves (for standard errors)


class AbstractEstimator(eqx.Module):
    """A score-target estimator: Σ_i w_i terms_i, with self-normalised weights w."""

    @abc.abstractmethod
    def terms(self, draws: Draws, point: Point) -> Float[Array, "k d"]:
        """One vector a draw, [k, d]."""

    @abc.abstractmethod
    def independent_terms(self, draws: Draws, point: Point) -> Float[Array, "k d"]:
        """The same, [k, d], by coefficients that do not rest on the draw itself: the standard
        error is from their spread. Where nothing is fitted, or as published, `terms`."""

    @abc.abstractmethod
    def coefficient(self, draws: Draws, point: Point) -> Float[Array, "*c"]:
        """The C of the unified estimator that this one amounts to: [], [d] or [d, d]."""

    @abc.abstractmethod
    def needs(self, dim: int) -> Needs:
        """What it asks of the draws."""

    @abc.abstractmethod
    def is_consistent(self, support: AbstractSupport) -> bool:
        """Whether the estimate converges to the score on this support."""

    @abc.abstractmethod
    def check(self, support: AbstractSupport, dim: int, num_draws: int) -> None:
        """Raise ValueError, with the remedy, where the estimator does not apply."""


BOUNDARIES = (None, "vanishing", "ignored")


def check_boundary(name: str, boundary: str | None, support: AbstractSupport) -> None:
    """Raise unless the boundary option is known, and given where there are bounds."""
    if boundary not in BOUNDARIES:
        raise ValueError(f"boundary must be None, 'vanishing' or 'ignored', got {boundary!r}.")
    if support.has_bounds and boundary is None:
        raise ValueError(
            f"{name} is biased on a box unless its boundary term vanishes: pass "
            "boundary='vanishing' (correct) or boundary='ignored' (as published, biased)."
        )


def without_boundary(point: Point) -> Point:
    """The point as if actions were unbounded, phi = 1: biased on a box."""
    return point._replace(support=RealSpace())
