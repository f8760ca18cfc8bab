"""A noisy point with all that is known of it before Q is asked."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from steinflow.levels import Level
from steinflow.supports import AbstractSupport


class Point(NamedTuple):
    """x = alpha a + sigma eps, its noise level, and the support of a."""

    x: Float[Array, " d"]
    level: Level
    support: AbstractSupport


def log_likelihood(action: Float[Array, "k d"], point: Point) -> Float[Array, " k"]:
    """log N(x; alpha a, sigma^2 I) up to a constant, [k]."""
    x, level = point.x, point.level
    return -0.5 * squared_length((x - level.alpha * action) / level.sigma)


def squared_length(rows: Float[Array, "k d"]) -> Float[Array, " k"]:
    """Σ_j rows_ij², [k]. The short axis goes first: XLA sums over a short last axis slowly."""
    return jnp.sum(rows.T**2, axis=0)
