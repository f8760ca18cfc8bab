"""Means of intervals, smoothed one dimension at a time by Gaussian processes of several lengths.

A process of squared exponential covariance is approximated by sines on a wider range (Solin &
Särkkä, 2020): what it costs does not depend on the number of draws, and little on that of the
intervals.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax.nn import softmax
from jaxtyping import Array, Float

from steinflow.linear_algebra import inverse_root

LENGTHS = 3.0, 6.0, 12.0  # of a process, in intervals
NOISES = 1e-5, 1e-1  # variance of an interval of mean weight, over that of the process
ROUNDING = 1e4  # rounding errors that a noise is at least
SINES, WIDER = 16, 1.5  # their number, and their range over that of the intervals
LEAST = 1e-6  # of a residual that a mean's own part in the fit leaves


def sines(place: Float[Array, "*m"], intervals: int) -> Float[Array, "*m r"]:
    """Sines that vanish at both ends of the wider range, of square mean 1 over half of it."""
    half, frequency = 0.5 * WIDER * intervals, jnp.asarray(frequencies(intervals), place.dtype)
    return jnp.sin(frequency * (place[..., None] - 0.5 * intervals + half)) / math.sqrt(half)


def frequencies(intervals: int) -> Float[np.ndarray, " r"]:
    """Angles an interval."""
    return np.pi * np.arange(1, SINES + 1) / (WIDER * intervals)


def amplitudes(intervals: int, dtype: np.dtype) -> Float[np.ndarray, "c r"]:
    """Standard deviations of the sines of a process of variance 1, over the noise's, for every
    length and noise in numbers of this kind."""
    noises = [max(noise, ROUNDING * float(np.finfo(dtype).eps)) for noise in NOISES]
    length = np.asarray(LENGTHS)[:, None]
    density = np.sqrt(2.0 * np.pi) * length * np.exp(-0.5 * (length * frequencies(intervals)) ** 2)
    return np.concatenate([np.sqrt(density / noise) for noise in noises])


def smoothed(
    place: Float[Array, "m d"], mean: Float[Array, "m d"], weight: Float[Array, "m d"]
) -> Float[Array, "m d"]:
    """What is believed of a function at the middles of m intervals of width 1, from 0 to m.

    The means are of a Gaussian process of unknown variance, length and noise, those of less
    weight noisier. Every pair of `LENGTHS` and `NOISES` counts by its evidence. The mean process
    is believed by the share of the weighted square of the means that is explained without the
    interval itself, the average taken as one linear fit: nothing, if that is none.

    Args:
        place: where the means were taken.
        mean: of the function.
        weight: of each mean, >= 0; only their ratios count.
    """
    intervals, tiny = mean.shape[0], np.finfo(mean.dtype).tiny
    middle = sines(jnp.arange(intervals, dtype=mean.dtype) + 0.5, intervals)
    each = jnp.asarray(amplitudes(intervals, mean.dtype), mean.dtype)
    weight = weight / jnp.maximum(jnp.mean(weight, axis=0), tiny)

    def one(place: Array, mean: Array, weight: Array) -> Array:
        basis, square = sines(place, intervals), jnp.sum(weight * mean**2)
        gram, product = basis.T @ (weight[:, None] * basis), basis.T @ (weight * mean)

        def at(amplitude: Array) -> tuple[Array, Array]:
            matrix = jnp.eye(SINES, dtype=mean.dtype) + amplitude[:, None] * gram * amplitude
            root = inverse_root(matrix)
            left = square - jnp.sum((root @ (amplitude * product)) ** 2)
            left = jnp.maximum(left, np.finfo(mean.dtype).eps * square)
            count = jnp.sum(weight > 0.0)
            evidence = jnp.sum(jnp.log(jnp.diag(root))) - 0.5 * count * jnp.log(left + tiny)
            sound = jnp.isfinite(evidence)  # or float32 has lost the matrix
            roots = jnp.where(sound, root * amplitude, 0.0)
            return jnp.where(sound, evidence, -jnp.inf), roots

        evidence, roots = jax.vmap(at)(each)
        roots = jnp.sqrt(softmax(evidence))[:, None, None] * roots
        roots = roots.reshape(-1, SINES)
        inverse = roots.T @ roots
        found = inverse @ product
        leverage = weight * jnp.sum((basis @ inverse) * basis, axis=1)
        missed = (mean - basis @ found) / jnp.maximum(1.0 - leverage, LEAST)
        share = 1.0 - jnp.sum(weight * missed**2) / jnp.maximum(square, tiny)
        return jnp.where(share > 0.0, share * (middle @ found), 0.0)

    with jax.default_matmul_precision("highest"):
        return jax.vmap(one, in_axes=1, out_axes=1)(place, mean, weight)
