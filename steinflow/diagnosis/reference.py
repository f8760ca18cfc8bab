"""The truth about a critic's score targets, as well as it can be known: with its own error."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.nn import logsumexp, softmax
from jaxtyping import Array, Bool, Float, Key

from steinflow.draws import Draws, draw_shared, weights
from steinflow.estimators.stein import noise_terms
from steinflow.levels import Level
from steinflow.methods import auto, default_proposal
from steinflow.targets.boltzmann import AbstractTarget

AT_WALL = 0.01  # of the width of the box: actions this near to a wall are at it


class Moments(NamedTuple):
    """Posterior means at one point, by the draws of one chunk or of all."""

    score: Float[Array, "*c d"]  # s*(x)
    mean: Float[Array, "*c d"]  # E[u | x] by the weights alone
    trace: Float[Array, "*c"]  # tr Cov[u | x]: what a perfect draw of u errs
    gradient: Float[Array, "*c d"]  # E[grad log pi | x]/alpha: the gradient as published
    walls: Float[Array, "*c"]  # mass within a hundredth of the width of a wall


class Reference(NamedTuple):
    """What is known at the l points of a state."""

    score: Float[Array, "*b l d"]
    mse: Float[Array, "*b l"]  # its squared standard error
    trace: Float[Array, "*b l"]
    bias: Float[Array, "*b l d"]  # of the gradient as published
    bias_mse: Float[Array, "*b l"]
    walls: Float[Array, "*b l"]


def refer(
    key: Key[Array, ""],
    target: AbstractTarget,
    xs: Float[Array, "l d"],
    levels: Level,
    num_draws: int,
    chunks: int,
) -> Reference:
    """s* at the l points of a state by l num_draws chunks evaluations of Q with gradients.

    Independent chunks, each by the proposals and terms of `auto` with scrambled Sobol draws,
    are pooled in proportion to their estimates of the normaliser, so that the bias is that of
    all draws together; the error is the jackknife's over chunks (Owen, 2013, section 2.7). A
    chunk that alone has found a mode makes it large.
    """
    method = auto(quadrature=False)
    proposal = method.proposal or default_proposal(target.support)

    def chunk(key: Array) -> tuple[Array, Moments]:
        at = draw_shared(key, target, xs, levels, proposal, num_draws, True, True)

        def one(index: Array) -> tuple[Array, Moments]:
            draws, level = at(index), jax.tree.map(lambda leaf: leaf[index], levels)
            terms = method.estimator.terms(draws, level)
            return logsumexp(draws.log_weight), moments(draws, level, terms, target)

        return jax.vmap(one)(jnp.arange(xs.shape[0]))

    log_z, found = jax.lax.map(chunk, jax.random.split(key, chunks))
    return jax.vmap(pooled, in_axes=1)(log_z, found)


def moments(
    draws: Draws, level: Level, terms: Float[Array, "k d"], target: AbstractTarget
) -> Moments:
    """Weighted means of one chunk."""
    w, u = weights(draws), noise_terms(draws, level)
    return Moments(
        w @ terms,
        w @ u,
        w @ jnp.sum((u - w @ u) ** 2, axis=-1),
        w @ draws.slope / level.alpha,
        w @ jnp.any(near_wall(draws.action, target), axis=-1),
    )


def near_wall(action: Float[Array, "k d"], target: AbstractTarget) -> Bool[Array, "k d"]:
    """Whether a coordinate lies at a wall; never on R^d."""
    low, high = target.support.bounds(action.shape[-1])
    width = jnp.where(jnp.isfinite(high - low), high - low, 0.0)
    return (action < low + AT_WALL * width) | (action > high - AT_WALL * width)


def pooled(log_z: Float[Array, " c"], found: Moments) -> Reference:
    """One point's chunks as one estimate, with jackknife errors."""
    share = softmax(log_z)
    score, mse = jackknife(log_z, found.score)
    bias, bias_mse = jackknife(log_z, found.gradient - found.score)
    apart = jnp.sum((found.mean - share @ found.mean) ** 2, axis=-1)
    trace = share @ (found.trace + apart)
    return Reference(score, mse, trace, bias, bias_mse, share @ found.walls)


def jackknife(
    log_z: Float[Array, " c"], values: Float[Array, "c d"]
) -> tuple[Float[Array, " d"], Float[Array, ""]]:
    """Σ z values/Σ z, and its squared standard error summed over dimensions."""
    count = log_z.size
    others = jnp.where(jnp.eye(count, dtype=bool), -jnp.inf, log_z)
    without = softmax(others, axis=1) @ values  # each chunk left out
    spread = jnp.sum((without - jnp.mean(without, axis=0)) ** 2)
    return softmax(log_z) @ values, (count - 1) / count * spread
