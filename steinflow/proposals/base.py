"""What a proposal is: a map from uniform numbers to actions, with a known density."""

import abc

import equinox as eqx
from jaxtyping import Array, Float

from steinflow.points import Point


class AbstractProposal(eqx.Module):
    """Draws actions for one noisy point: q(a | x).

    Deterministic given uniform numbers, so that Sobol or independent numbers are a matter
    of `draws` alone, and every method of a comparison can share them.
    """

    @abc.abstractmethod
    def actions(self, uniform: Float[Array, "k d"], point: Point) -> Float[Array, "k d"]:
        """Actions [k, d], from uniform numbers in (0, 1)."""

    @abc.abstractmethod
    def log_prob(self, action: Float[Array, "k d"], point: Point) -> Float[Array, " k"]:
        """log q(a | x), normalised, [k]."""

    @abc.abstractmethod
    def log_ratio(self, action: Float[Array, "k d"], point: Point) -> Float[Array, " k"]:
        """log N(x; alpha a, sigma^2 I) - log q(a | x) up to a constant, [k]; zeros where the
        proposal is the likelihood itself."""
