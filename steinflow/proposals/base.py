"""What a proposal is: a map from uniform numbers to actions, with a known density."""

import abc

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from steinflow.levels import Level
from steinflow.supports import AbstractSupport


class AbstractProposal(eqx.Module):
    """Draws actions for one noisy point x: q(a | x).

    Deterministic given uniform numbers, so that Sobol or antithetic numbers are a matter
    of `draws` alone, and every method of a comparison can share them.
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
    def log_ratio(
        self,
        action: Float[Array, "k d"],
        x: Float[Array, " d"],
        level: Level,
        support: AbstractSupport,
    ) -> Float[Array, " k"]:
        """log N(x; alpha a, sigma^2 I) - log q(a | x) up to a constant, [k]; zeros where the
        proposal is the likelihood itself. `log_likelihood` helps with any other."""

    @abc.abstractmethod
    def log_prob(
        self,
        action: Float[Array, "k d"],
        x: Float[Array, " d"],
        level: Level,
        support: AbstractSupport,
    ) -> Float[Array, " k"]:
        """log q(a | x), normalised, [k]."""


def log_likelihood(
    action: Float[Array, "k d"], x: Float[Array, " d"], level: Level
) -> Float[Array, " k"]:
    """log N(x; alpha a, sigma^2 I) up to a constant, [k]."""
    return -0.5 * jnp.sum(((x - level.alpha * action) / level.sigma) ** 2, axis=-1)
