"""Scrambled Sobol numbers: uniform in (0, 1) like independent ones, but evenly spread.

Owen's nested uniform scrambling by hashing of reversed bits (Laine & Karras, 2011,
with their constants): each point by itself is uniform, so every estimate keeps its
mean, and the points of one net together fill the cube.
"""

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, UInt32

SHUFFLE = (0x6C50B47C, 0xB82F1E52, 0xC7AFE638, 0x8D22F6E6)
MASKS = ((1, 0x55555555), (2, 0x33333333), (4, 0x0F0F0F0F), (8, 0x00FF00FF))


@cache
def sobol_bits(count: int, dim: int) -> np.ndarray:
    """The first count points of the Sobol sequence as 32-bit integers, [count, dim]."""
    from scipy.stats import qmc  # SciPy's statistics take a second to import

    size = 1 << max(count - 1, 0).bit_length()
    points = qmc.Sobol(dim, scramble=False, bits=32).random(size)[:count]
    return (points * 2.0**32).astype(np.uint64).astype(np.uint32)


def reverse_bits(x: UInt32[Array, "*n"]) -> UInt32[Array, "*n"]:
    """The 32 bits of every number, backwards."""
    for shift, mask in MASKS:
        x = ((x >> shift) & mask) | ((x & mask) << shift)
    return (x >> 16) | (x << 16)


def sobol(key: Key[Array, ""], count: int, dim: int, dtype: Any) -> Float[Array, "n d"]:
    """count scrambled Sobol points in (0, 1)^dim; best where count is a power of two."""
    x = reverse_bits(jnp.asarray(sobol_bits(count, dim)))
    x = x + jax.random.bits(key, (dim,), jnp.uint32)
    for factor in SHUFFLE:
        x = x ^ (x * jnp.uint32(factor))
    step = np.finfo(dtype).eps  # bits that the precision does not hold would round up to 1
    return jnp.clip((reverse_bits(x).astype(dtype) + 0.5) * 2.0**-32, 0.5 * step, 1.0 - 0.5 * step)
