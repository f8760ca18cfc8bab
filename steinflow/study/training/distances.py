"""Distances between two sets of samples, each zero only between equal distributions."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

PROJECTIONS = 64
WIDTHS = 0.1, 0.3, 1.0  # of the kernels of MMD


def lengths(a: Float[Array, "n d"], b: Float[Array, "m d"]) -> Float[Array, "n m"]:
    """|a_i - b_j|."""
    return jnp.linalg.norm(a[:, None] - b[None], axis=-1)


def apart(values: Float[Array, "n n"]) -> Float[Array, ""]:
    """Mean over pairs of different samples."""
    n = values.shape[0]
    return (jnp.sum(values) - jnp.trace(values)) / (n * (n - 1))


def energy(x: Float[Array, "n d"], y: Float[Array, "m d"]) -> Float[Array, ""]:
    """2 E|X - Y| - E|X - X'| - E|Y - Y'|, unbiased (Székely & Rizzo, 2013)."""
    return 2.0 * jnp.mean(lengths(x, y)) - apart(lengths(x, x)) - apart(lengths(y, y))


def squared_mmd(x: Float[Array, "n d"], y: Float[Array, "m d"]) -> Float[Array, ""]:
    """Squared maximum mean discrepancy, unbiased, over a sum of Gaussian kernels (Gretton et al.,
    2012)."""

    def kernel(length: Array) -> Array:
        return sum((jnp.exp(-0.5 * (length / w) ** 2) for w in WIDTHS), jnp.zeros_like(length))

    across = jnp.mean(kernel(lengths(x, y)))
    return apart(kernel(lengths(x, x))) + apart(kernel(lengths(y, y))) - 2.0 * across


def sliced_wasserstein(
    key: Key[Array, ""], x: Float[Array, "n d"], y: Float[Array, "n d"]
) -> Float[Array, ""]:
    """Mean over random directions of the one-dimensional Wasserstein-1 distance (Rabin et al.,
    2012)."""
    direction = jax.random.normal(key, (PROJECTIONS, x.shape[-1]))
    direction = direction / jnp.linalg.norm(direction, axis=-1, keepdims=True)
    a, b = (jnp.sort(points @ direction.T, axis=0) for points in (x, y))
    return jnp.mean(jnp.abs(a - b))
