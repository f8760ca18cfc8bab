"""What an estimator is: one vector a draw, whose weighted mean estimates the score."""

import abc
from typing import NamedTuple

import equinox as eqx
from jaxtyping import Array, Float

from steinflow.draws import Draws
from steinflow.levels import Level
from steinflow.supports import AbstractSupport


class Needs(NamedTuple):
    """What an estimator asks of Q and of the draws."""

    slope: bool  # the gradient of Q at every draw
    fitted: int = 0  # numbers an output takes from the draws themselves (for standard errors)
    extra_gradients: int = 0  # gradient evaluations beyond one a draw


class AbstractEstimator(eqx.Module):
    """A score-target estimator: Σ_i w_i terms_i, with self-normalised weights w."""

    @abc.abstractmethod
    def terms(self, draws: Draws, level: Level) -> Float[Array, "k d"]:
        """One vector a draw, [k, d]."""

    @abc.abstractmethod
    def coefficient(self, draws: Draws, level: Level) -> Float[Array, "*c"]:
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
    """Raise unless the boundary option is known, and given where there are walls."""
    if boundary not in BOUNDARIES:
        raise ValueError(f"boundary must be None, 'vanishing' or 'ignored', got {boundary!r}.")
    if support.has_walls and boundary is None:
        raise ValueError(
            f"{name} is biased on a box unless its boundary term vanishes: pass "
            "boundary='vanishing' (correct) or boundary='ignored' (as published, biased)."
        )


def drop_taper(draws: Draws) -> Draws:
    """The same draws with phi = 1: right on R^d, biased on a box."""
    return draws._replace(taper=draws.taper * 0 + 1, taper_slope=draws.taper_slope * 0)
