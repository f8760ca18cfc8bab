"""Diagnostics: how much a set of weights, and an estimate, is worth."""

import jax.numpy as jnp
from jaxtyping import Array, Float

RELIABLE_ESS = 30.0  # below, a delta-method standard error is a lower bound
EED_CAP = 1e4


def effective_sample_size(weight: Float[Array, " k"]) -> Float[Array, ""]:
    """1/Σ w^2 of normalised weights: between 1 and k draws (Kong, 1992)."""
    return 1.0 / jnp.sum(weight**2)


def equivalent_exact_draws(
    trace: Float[Array, "*n"], mse: Float[Array, "*n"]
) -> Float[Array, "*n"]:
    """EED = tr Cov[u|x]/MSE: the number of perfect posterior samples an estimate is worth.

    Both in the same units (of the score squared, or any other); capped at 10^4.
    """
    return jnp.minimum(trace / jnp.maximum(mse, trace / EED_CAP), EED_CAP)
