"""A normal on a box, reshaped one dimension at a time by the gradients that it does not explain."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.nn import softmax
from jaxtyping import Array, Float, Int

from steinflow.checks import Numbers
from steinflow.levels import Level
from steinflow.proposals.normal import NormalProposal
from steinflow.proposals.smoothing import smoothed
from steinflow.proposals.truncated_gaussian import normal_actions
from steinflow.proposals.truncated_normal import log_mass
from steinflow.supports import AbstractSupport

INTERVALS = 32  # of a dimension
OUTER = 1e-3  # share of the normal that the outer two hold besides their width, each
KEPT = 0.05  # share of the draws of an interval that it would have had


class ReshapedProposal(NormalProposal):
    """A normal, cut to a box; the density over each interval of a dimension is multiplied by a
    factor. Its tables hold for the box that it was made for."""

    low: Numbers  # [d], where intervals of equal width begin; the outer two reach to the walls
    width: Numbers  # [d]
    before: Numbers  # [m + 1, d], share of the normal below the ends of the m intervals
    below: Numbers  # [m + 1, d], share of the draws there
    log_factor: Numbers  # [m, d]

    def actions(
        self,
        uniform: Float[Array, "k d"],
        x: Float[Array, " d"],
        level: Level,
        support: AbstractSupport,
    ) -> Float[Array, "k d"]:
        by_dimension = jax.vmap(jnp.interp, in_axes=1, out_axes=1)
        least = 0.5 * np.finfo(uniform.dtype).eps
        uniform = by_dimension(uniform, self.below, self.before)
        uniform = jnp.clip(uniform, least, 1.0 - least)
        return normal_actions(uniform, self.mean, self.scale, support)

    def nodes(
        self, x: Float[Array, " d"], level: Level, support: AbstractSupport
    ) -> tuple[Float[Array, "n d"], Float[Array, "n d"]]:
        """Places and shares, n = 2 m, with which expectations of one dimension are sums, by
        dimension: Gauss and Legendre's two of every interval."""
        share = jnp.diff(self.below, axis=0)[:, None]
        inside = self.below[:-1, None] + share * (0.5 + np.array([[-0.5], [0.5]]) / np.sqrt(3.0))
        uniform = inside.reshape(-1, x.size).astype(x.dtype)
        each = jnp.broadcast_to(0.5 * share, inside.shape).reshape(uniform.shape)
        return self.actions(uniform, x, level, support), each

    def log_prob(
        self,
        action: Float[Array, "k d"],
        x: Float[Array, " d"],
        level: Level,
        support: AbstractSupport,
    ) -> Float[Array, " k"]:
        factor = self.log_factor[interval(action, self.low, self.width), np.arange(x.size)]
        return super().log_prob(action, x, level, support) + jnp.sum(factor, axis=-1)


def interval(
    action: Float[Array, "k d"], low: Float[Array, " d"], width: Float[Array, " d"]
) -> Int[Array, "k d"]:
    """Numbers of the intervals that actions lie in."""
    return jnp.clip((action - low) / width, 0, INTERVALS - 1).astype(jnp.int32)


def once(table: Float[Array, "n d"]) -> Float[Array, "n d"]:
    """The same numbers, computed once and not again for every draw that looks one up (as
    `draws.base.materialised`, whose module needs this one)."""
    identity = jnp.eye(table.shape[0], dtype=table.dtype)
    return jnp.matmul(identity, table, precision=jax.lax.Precision.HIGHEST)


def reshaped(
    normal: NormalProposal,
    action: Float[Array, "k d"],
    left: Float[Array, "k d"],
    weight: Float[Array, " k"],
    support: AbstractSupport,
) -> ReshapedProposal:
    """The normal times exp Σ_j r_j(a_j), on a box.

    Each r_j' is a function of one coordinate that explains what is left of the gradient of log pi
    in that dimension: its means over the draws of an interval, `smoothed`; draws in the outer
    thousandths of the normal count for nothing. It is integrated from interval to interval; no
    interval has less than `KEPT` of the share that the normal gives it.

    Args:
        normal: the proposal to reshape.
        action: draws, shape [k, d].
        left: gradients of Q/tau and of the log likelihood less those of the log normal, [k, d].
        weight: weights of the draws, summing to 1.
        support: a box.
    """
    mean, scale, dtype = normal.mean, normal.scale, action.dtype
    tiny, dims = np.finfo(dtype).tiny, np.arange(mean.size)
    ends = jnp.broadcast_to(jnp.asarray([[OUTER], [1.0 - OUTER]], dtype), (2, mean.size))
    low, high = once(normal_actions(ends, mean, scale, support).astype(dtype))
    width = jnp.maximum((high - low) / INTERVALS, tiny)
    weight, left = weight.astype(dtype), left.astype(dtype)
    v = weight[:, None] * ((action >= low) & (action <= high))
    place = interval(action, low, width), dims
    nothing = jnp.zeros((INTERVALS, mean.size), dtype)
    weights, slopes = nothing.at[place].add(v), nothing.at[place].add(v * left)
    within = weights > 0.0
    per = jnp.where(within, weights, 1.0)
    middle = jnp.arange(INTERVALS, dtype=dtype)[:, None] + 0.5
    means = jnp.where(within, slopes / per, 0.0) * width
    places = jnp.where(within, nothing.at[place].add(v * (action - low) / width) / per, middle)
    rise = smoothed(places, means, weights)
    log_rise = jnp.cumsum(rise, axis=0) - 0.5 * rise
    inner = low + width * jnp.arange(1, INTERVALS, dtype=dtype)[:, None]
    first, last = (jnp.broadcast_to(wall, (1, mean.size)) for wall in support.bounds(mean.size))
    edges = (jnp.concatenate([first, inner, last]) - mean) / scale
    plain = softmax(log_mass(edges[:-1], edges[1:]), axis=0)
    drawn = (1.0 - KEPT) * softmax(jnp.log(plain) + log_rise, axis=0) + KEPT * plain
    log_factor = jnp.where(plain > tiny, jnp.log(drawn / jnp.maximum(plain, tiny)), 0.0)

    def cumulative(shares: Float[Array, "m d"]) -> Float[Array, "m+1 d"]:
        total = jnp.cumsum(shares, axis=0)
        return jnp.concatenate([jnp.zeros((1, mean.size), dtype), total / total[-1]])

    below = cumulative(plain), cumulative(drawn)
    return ReshapedProposal(mean, scale, low, width, *below, once(log_factor))
