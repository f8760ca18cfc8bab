"""A Gaussian process through values and gradients: what Q is where it was not asked.

    f ~ GP(mean of the values, s² k),   k(a, b) = exp(-|a - b|²/2) + TREND (1 + a b)²

in coordinates with the points' mean and standard deviation taken out, over a length of
LENGTHS. Length and s² are those of the greatest likelihood. Each point gives 1 + d
equations (Rasmussen & Williams, 2006, section 9.4), so that fitting costs (n (1 + d))³.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from steinflow.linear_algebra import inverse_root

LENGTHS = 0.35, 1.0, 3.0  # candidates, in standard deviations of the points times sqrt(d/2)
TREND = 0.1  # prior variance of a polynomial of second degree, beside that of the rest
NUGGET = {"float64": 1e-8, "float32": 1e-5}  # share of the prior variance taken for noise


class Process(NamedTuple):
    """f given its values and gradients at n points."""

    center: Float[Array, " d"]
    scale: Float[Array, " d"]
    points: Float[Array, "n d"]  # scaled
    offset: Float[Array, ""]
    share: Float[Array, " m"]  # K^-1 y
    root: Float[Array, "m m"]  # W^T W = K^-1
    variance: Float[Array, ""]  # s²
    doubt: Float[Array, ""]  # mean squared error of f at each point from all others, over s² k

    def scaled(self, action: Float[Array, "k d"]) -> Float[Array, "k d"]:
        """Actions in the coordinates of the kernel."""
        return (action - self.center) / self.scale

    def predict(self, action: Float[Array, "k d"]) -> Float[Array, " k"]:
        """E[f] at actions: `cross` times the share, its sum over points within XLA's loops."""
        z, share = self.scaled(action), self.share.reshape(self.points.shape[0], -1)
        apart, values, slopes = z.T[..., None] - self.points.T[:, None], share[:, 0], share[:, 1:]
        bump = jnp.exp(-0.5 * jnp.sum(apart**2, axis=0))
        near = bump * (values + jnp.sum(apart * slopes.T[:, None], axis=0))
        tilt = values @ self.points + jnp.sum(slopes, axis=0)
        bend = (values[:, None] * self.points + 2.0 * slopes).T @ self.points
        trend = jnp.sum(values) + 2.0 * z @ tilt + jnp.sum((z @ bend) * z, axis=-1)
        return self.offset + jnp.sum(near, axis=-1) + TREND * trend

    def uncertainty(self, action: Float[Array, "k d"]) -> Float[Array, " k"]:
        """Var[f] at actions."""
        z = self.scaled(action)
        known = cross(z, self.points).reshape(z.shape[0], -1) @ self.root.T
        prior = 1.0 + TREND * (1.0 + jnp.sum(z**2, axis=-1)) ** 2
        return self.variance * jnp.maximum(prior - jnp.sum(known**2, axis=-1), 0.0)


def cross(a: Float[Array, "k d"], b: Float[Array, "n d"]) -> Float[Array, "k n e"]:
    """Cov(f(a), (f, ∂_1 f, ..., ∂_d f)(b)), e = 1 + d."""
    apart = a[:, None] - b
    bump, plane = jnp.exp(-0.5 * jnp.sum(apart**2, axis=-1)), 1.0 + a @ b.T
    slope = bump[..., None] * apart + 2.0 * TREND * plane[..., None] * a[:, None]
    return jnp.concatenate([(bump + TREND * plane**2)[..., None], slope], axis=-1)


def gram(a: Float[Array, "n d"]) -> Float[Array, "m m"]:
    """Cov of all values and gradients, m = n (1 + d), a point's own side by side."""
    count, dim = a.shape
    eye, apart, values = jnp.eye(dim, dtype=a.dtype), a[:, None] - a, cross(a, a)
    bump, plane = jnp.exp(-0.5 * jnp.sum(apart**2, axis=-1)), 1.0 + a @ a.T
    bent = bump[..., None, None] * (eye - apart[..., :, None] * apart[..., None, :])
    tilted = plane[..., None, None] * eye + a[None, :, :, None] * a[:, None, None, :]
    slopes = bent + 2.0 * TREND * tilted
    rows = jnp.concatenate([values[..., 1:].swapaxes(0, 1)[..., None], slopes], axis=-1)
    blocks = jnp.concatenate([values[..., None, :], rows], axis=-2)
    return blocks.swapaxes(1, 2).reshape(count * (1 + dim), count * (1 + dim))


@jax.jit
def fit(
    action: Float[Array, "n d"], value: Float[Array, " n"], slope: Float[Array, "n d"]
) -> Process:
    """The process through values and gradients at n >= 2 points."""
    count, dim = action.shape
    center, spread = jnp.mean(action, axis=0), jnp.std(action, axis=0)
    spread = jnp.where(spread > np.finfo(spread.dtype).tiny, spread, 1.0)
    offset, tiny = jnp.mean(value), np.finfo(value.dtype).tiny

    def at(length: Array) -> tuple[Array, Process]:
        scale = spread * length
        points = (action - center) / scale
        y = jnp.concatenate([(value - offset)[:, None], slope * scale], axis=1)
        matrix = gram(points)
        nugget = NUGGET[str(matrix.dtype)] * jnp.diag(matrix)
        root = inverse_root(matrix + jnp.diag(nugget))
        rest = root @ y.ravel()
        variance = jnp.maximum(jnp.mean(rest**2), tiny)
        evidence = jnp.sum(jnp.log(jnp.diag(root))) - 0.5 * y.size * jnp.log(variance)
        share = rest @ root
        blocks = root.reshape(y.size, count, 1 + dim)
        blocks = jax.vmap(lambda block: inverse(block.T @ block), in_axes=1)(blocks)
        missed = jnp.sum(blocks[:, 0] * share.reshape(count, 1 + dim), axis=1)
        doubt = jnp.mean(missed**2 / jnp.maximum(blocks[:, 0, 0], tiny)) / variance
        sound = jnp.isfinite(evidence) & jnp.isfinite(doubt)
        process = Process(center, scale, points, offset, share, root, variance, doubt)
        return jnp.where(sound, evidence, -jnp.inf), process

    lengths = jnp.asarray(LENGTHS, value.dtype) * math.sqrt(dim / 2.0)
    evidence, processes = jax.vmap(at)(lengths)
    best = jnp.argmax(evidence)
    return jax.tree.map(lambda leaf: leaf[best], processes)


def inverse(matrix: Float[Array, "e e"]) -> Float[Array, "e e"]:
    """The inverse of a positive definite matrix."""
    root = inverse_root(matrix)
    return root.T @ root
