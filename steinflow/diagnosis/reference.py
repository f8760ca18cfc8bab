"""The truth about a critic's score targets, as well as it can be known: with its own error."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.nn import logsumexp, softmax
from jaxtyping import Array, Bool, Float, Key

from steinflow.diagnostics import RELIABLE_ESS
from steinflow.draws import Draws, weights
from steinflow.estimators.stein import noise_terms
from steinflow.levels import Level
from steinflow.methods import auto
from steinflow.points import Point
from steinflow.score import shared_draws
from steinflow.stages import AT_POINTS, over_points
from steinflow.targets.boltzmann import AbstractTarget

SURELY = 9.0  # a squared difference over its variance that is no chance
AT_BOUND = 0.01  # of the width of the box: actions this near to a bound are at it


class Moments(NamedTuple):
    """Posterior means at one point, by the draws of one chunk or of all."""

    score: Float[Array, "*c d"]  # s*(x)
    mean: Float[Array, "*c d"]  # E[u | x] by the weights alone
    trace: Float[Array, "*c"]  # tr Cov[u | x]: what a perfect draw of u errs
    gradient: Float[Array, "*c d"]  # E[grad log pi | x]/alpha: the gradient as published
    boundary: Float[Array, "*c"]  # mass within a hundredth of the width of a bound, a dimension


class Reference(NamedTuple):
    """What is known at the l points of a state."""

    score: Float[Array, "*b l d"]
    mse: Float[Array, "*b l"]  # its squared standard error
    trace: Float[Array, "*b l"]
    bias: Float[Array, "*b l d"]  # of the gradient as published
    bias_mse: Float[Array, "*b l"]
    boundary: Float[Array, "*b l"]
    ess: Float[Array, "*b l"]  # of all draws together


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
    are pooled in proportion to their estimates of the normaliser; the error is the jackknife's
    over chunks (Owen, 2013, section 2.7). A chunk that alone has found a mode makes it large.
    What is common to all chunks it cannot see, so two things are asked besides: where the same
    draws by their weights alone significantly say something else, the difference is the error; and
    where fewer than 30 draws carry the weight, nothing is known.
    """
    method = auto()

    def one(draws: Draws, point: Point) -> tuple[Array, Array, Moments]:
        terms, log_w = method.estimator.terms(draws, point), draws.log_weight
        return logsumexp(log_w), logsumexp(2 * log_w), moments(draws, point, terms, target)

    def chunk(key: Array) -> tuple[Array, Array, Moments]:
        draws, points = shared_draws(key, target, xs, levels, method, num_draws)
        return jax.vmap(one, (AT_POINTS, over_points(points)))(draws, points)

    log_z, log_square, parts = jax.lax.map(chunk, jax.random.split(key, chunks))
    return jax.vmap(pooled, in_axes=1)(log_z, log_square, parts)


def moments(
    draws: Draws, point: Point, terms: Float[Array, "k d"], target: AbstractTarget
) -> Moments:
    """Weighted means of one chunk."""
    w, u = weights(draws), noise_terms(draws, point)
    return Moments(
        w @ terms,
        w @ u,
        w @ jnp.sum((u - w @ u) ** 2, axis=-1),
        w @ draws.gradient / point.level.alpha,
        w @ jnp.mean(near_bound(draws.action, target), axis=-1),
    )


def near_bound(action: Float[Array, "k d"], target: AbstractTarget) -> Bool[Array, "k d"]:
    """Whether a coordinate lies at a bound; never on R^d."""
    low, high = target.support.bounds(action.shape[-1])
    width = jnp.where(jnp.isfinite(high - low), high - low, 0.0)
    return (action < low + AT_BOUND * width) | (action > high - AT_BOUND * width)


def pooled(
    log_z: Float[Array, " c"], log_square: Float[Array, " c"], moments: Moments
) -> Reference:
    """One point's chunks as one estimate, with its error."""
    share, ess = softmax(log_z), jnp.exp(2.0 * logsumexp(log_z) - logsumexp(log_square))
    score, mse = jackknife(log_z, moments.score)
    gap, unsure = jackknife(log_z, moments.score - moments.mean)
    square = jnp.sum(gap**2)
    mse = jnp.where(square > SURELY * unsure, jnp.maximum(mse, square), mse)
    bias, bias_mse = jackknife(log_z, moments.gradient - moments.score)
    apart = jnp.sum((moments.mean - share @ moments.mean) ** 2, axis=-1)
    trace = share @ (moments.trace + apart)
    mse = jnp.where(ess < RELIABLE_ESS, jnp.maximum(mse, trace), mse)
    return Reference(score, mse, trace, bias, bias_mse, share @ moments.boundary, ess)


def jackknife(
    log_z: Float[Array, " c"], values: Float[Array, "c d"]
) -> tuple[Float[Array, " d"], Float[Array, ""]]:
    """Σ z values/Σ z, and its squared standard error summed over dimensions."""
    count = log_z.size
    others = jnp.where(jnp.eye(count, dtype=bool), -jnp.inf, log_z)
    without = softmax(others, axis=1) @ values  # each chunk left out
    spread = jnp.sum((without - jnp.mean(without, axis=0)) ** 2)
    return softmax(log_z) @ values, (count - 1) / count * spread
