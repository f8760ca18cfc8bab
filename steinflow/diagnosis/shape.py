"""How a critic looks over actions: its modes, and slices through the best action."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from steinflow.supports import AbstractSupport

STARTS, CLIMBS = 32, 100
BETWEEN, DIP = 9, 0.3  # points between two ends, and how far below them, in tau, Q may fall
SLICE = 41  # points along an axis of a picture
Climber = tuple[Array, Array, Array]  # where it is, the best action it saw, and Q there


class Shape(NamedTuple):
    """Q over the actions of one state."""

    best: Float[Array, "*b d"]  # the highest action found
    modes: Int[Array, "*b"]  # local maxima found, with valleys between them
    near: Int[Array, "*b"]  # of these, those within 3 tau of the best
    axes: Int[Array, "*b 2"]  # the coordinates of the slice: those along which Q varies most
    grid: Float[Array, "*b 2 n"]  # their values
    slice: Float[Array, "*b n n"]  # (Q - max Q)/tau; rows are the first axis


def look(
    key: Key[Array, ""],
    q: Callable[[Array], Array],
    tau: Float[Array, ""],
    support: AbstractSupport,
    around: Float[Array, " d"],
) -> Shape:
    """Climb from many starts, count where they end, and cut through the best action.

    Args:
        key: of the starts.
        q: [d] -> [].
        tau: the temperature that tells modes that matter from those that do not.
        support: on R^d the search is within three units around `around`.
        around: an action, [d].
    """
    dim = around.size
    low, high = (b.astype(around.dtype) for b in support.bounds(dim))
    low = jnp.where(jnp.isfinite(low), low, around - 3.0)
    high = jnp.where(jnp.isfinite(high), high, around + 3.0)
    width = high - low
    starts = low + width * jax.random.uniform(key, (STARTS, dim), around.dtype)
    ends = jax.vmap(lambda a: climb(q, a, low, high))(starts.at[0].set(around))
    values = jax.vmap(q)(ends)
    order = jnp.argsort(-values)
    ends, values = ends[order], values[order]
    joined = jnp.tril(connected(q, ends, values, tau), -1).any(axis=-1)
    near = ~joined & (values > values[0] - 3.0 * tau)
    best = ends[0]
    axes, grid, cut = sliced(q, best, low, high)
    top = jnp.maximum(jnp.max(cut), values[0])
    return Shape(best, jnp.sum(~joined), jnp.sum(near), axes, grid, (cut - top) / tau)


def connected(
    q: Callable[[Array], Array], ends: Float[Array, "n d"], values: Float[Array, " n"], tau: Array
) -> Bool[Array, "n n"]:
    """Whether two ends are one mode: Q does not fall on the straight way between them."""
    way = jnp.linspace(0.0, 1.0, BETWEEN + 2, dtype=ends.dtype)[1:-1]

    def lowest(first: Array, second: Array) -> Array:
        return jnp.min(jax.vmap(lambda t: q(first + t * (second - first)))(way))

    minimum = jax.lax.map(lambda a: jax.vmap(lambda b: lowest(a, b))(ends), ends)
    return minimum > jnp.minimum(values[:, None], values) - DIP * tau


def climb(q: Callable[[Array], Array], start: Array, low: Array, high: Array) -> Array:
    """Ascent by shrinking steps along the gradient, kept within bounds; the best point seen."""
    width = high - low

    def step(state: Climber, size: Array) -> tuple[Climber, None]:
        a, best, top = state
        value, slope = jax.value_and_grad(q)(a)
        better = value > top
        best, top = jnp.where(better, a, best), jnp.maximum(value, top)
        length = jnp.maximum(jnp.max(jnp.abs(slope) * width), np.finfo(a.dtype).tiny)
        return (jnp.clip(a + size * width**2 * slope / length, low, high), best, top), None

    sizes = 0.1 * 0.93 ** jnp.arange(CLIMBS, dtype=start.dtype)
    state = (start, start, jnp.asarray(-jnp.inf, q(start).dtype))
    (last, best, top), _ = jax.lax.scan(step, state, sizes)
    return jnp.where(q(last) > top, last, best)


def sliced(
    q: Callable[[Array], Array], best: Array, low: Array, high: Array
) -> tuple[Array, Array, Array]:
    """Q on the plane through an action, along the two coordinates that it varies most over."""
    dim = best.size
    lines = low + (high - low) * jnp.linspace(0.0, 1.0, SLICE, dtype=best.dtype)[:, None]

    def along(j: Array) -> Array:
        return jnp.std(jax.vmap(lambda v: q(best.at[j].set(v)))(lines[:, j]))

    axes = jnp.argsort(-jax.vmap(along)(jnp.arange(dim)))[:2]
    axes = jnp.resize(axes, (2,))
    grid = lines[:, axes].T

    def at(v: Array, w: Array) -> Array:
        return q(best.at[axes[1]].set(w).at[axes[0]].set(v))

    cut = jax.vmap(lambda v: jax.vmap(lambda w: at(v, w))(grid[1]))(grid[0])
    return axes, grid, cut
