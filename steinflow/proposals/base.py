"""What a proposal is: a map from uniform numbers to actions, with a known density."""

import abc

import equinox as eqx
from jaxtyping import Array, Float

from steinflow.levels import Level
from steinflow.supports import AbstractSupport


class AbstractProposal(eqx.Module):
    """Draws actions for one noisy point x: q(a | x).

    Deterministic given uniform numbers, so that Sobol or antithetic numbers are a matter
    of `draws.py` alone, and every method of a comparison can share them.
    """

    @abc.abstractmethod
    def actions(
        self,
        uniform: Float[Array, "k d"],
        x: Float[Array, " d"],
        level: Level,
        support: AbstractSupport,
    ) -> Float[Array, "k d"]:
        """Actions [k, d] inside the support, from uniform numbers in (0, 1)."""

    @abc.abstractmethod
    def log_prob(
        self,
        action: Float[Array, "k d"],
        x: Float[Array, " d"],
        level: Level,
        support: AbstractSupport,
    ) -> Float[Array, " k"]:
        """log q(a | x), normalised, [k]."""
