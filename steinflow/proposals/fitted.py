"""A normal proposal fitted, once or twice, to the gradients of Q that earlier draws have met."""

import abc
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.nn import softmax
from jaxtyping import Array, Float

from steinflow.levels import Level
from steinflow.proposals.base import AbstractProposal, log_likelihood
from steinflow.proposals.normal import NormalProposal
from steinflow.proposals.reshaped import reshaped
from steinflow.proposals.truncated_gaussian import TruncatedGaussianProposal
from steinflow.supports import AbstractSupport


class AbstractAdaptiveProposal(AbstractProposal):
    """A proposal for the first draws, and what it learns from them."""

    @abc.abstractmethod
    def weigh(
        self,
        value: Float[Array, " k"],
        log_prior: Float[Array, " k"],
        own: Float[Array, " k"],
        turn: tuple[int, int],
    ) -> Float[Array, " k"]:
        """How the draws count in a fit, summing to 1: from Q/tau, or what a second fit takes for it
        (-inf: a draw counts for nothing), the log weights without Q, even weights of the first
        draws of the level itself, and which fit it is of how many."""

    @abc.abstractmethod
    def fit(
        self,
        action: Float[Array, "k d"],
        slope: Float[Array, "k d"],
        weight: Float[Array, " k"],
        x: Float[Array, " d"],
        level: Level,
        support: AbstractSupport,
    ) -> AbstractProposal:
        """The proposal of further draws, from earlier ones: actions, gradients of Q/tau, and
        weights that sum to 1."""

    def reshape(
        self,
        fitted: AbstractProposal,
        action: Float[Array, "k d"],
        slope: Float[Array, "k d"],
        weight: Float[Array, " k"],
        x: Float[Array, " d"],
        level: Level,
        support: AbstractSupport,
    ) -> AbstractProposal:
        """What is made of each of two fits on a box: unless a class says otherwise, the fit
        itself. The weights are those for flat Q, in the last turn mostly those of the fit; of a
        second fit its own."""
        return fitted

    def ahead(
        self,
        fitted: AbstractProposal,
        value: Float[Array, " k"],
        action: Float[Array, "k d"],
        slope: Float[Array, "k d"],
        x: Float[Array, " d"],
        level: Level,
        support: AbstractSupport,
        turn: tuple[int, int],
    ) -> tuple[Float[Array, " k"], Float[Array, " k"]] | None:
        """What a second fit (on a box beside each of two, on R^d beside the first) weighs the draws
        by: Q/tau as it takes it, and the share of each draw that the other fit leaves to it. None:
        there is none."""
        return None

    @abc.abstractmethod
    def num_uniform(self, num_draws: int, support: AbstractSupport) -> int:
        """How many of the draws are uniform on the support."""


MANY, SHARE = 512, 8  # from so many draws on a box, one in so many is uniform
REACH = 6.0, 20.0  # standard deviations of the likelihood that a fitted mean may lie away,
OUTSIDE = 1.5, 5.0  # and half widths of a box, from its middle: as a rule, and for a sure fit
DOUBT = 2.0  # variances of a mean gradient that chance is charged with
SURE = 1e-4  # squared standard error over squared mean gradient of a half sure fit
AGAIN = 0.2  # of the evenly weighed draws that a fit mixes in, after an earlier fit
STRIDE = 5.0, 1.0  # standard deviations a dimension that a draw looks ahead, in both turns on a box
NEAR = 5.0  # variances within which where it looks is near the fitted mean on a box
STEPS = 12  # of the bisection for a temperature: a thousandth of the range of its logarithm


def tempered(
    value: Float[Array, " k"], log_prior: Float[Array, " k"], share: float
) -> Float[Array, " k"]:
    """Self-normalised weights, [k], for the posterior at the least temperature, tau or above, at
    which the draws are worth this share of what they are worth where Q is flat."""
    known = value > -jnp.inf
    log_prior = jnp.where(known | ~jnp.any(known), log_prior, -jnp.inf)
    fall = jnp.where(known, value - jnp.max(value), 0.0)

    def at(log_inverse: Float[Array, ""] | float) -> tuple[Array, Array]:
        weight = softmax(log_prior + jnp.exp(log_inverse) * fall)
        return weight, 1.0 / jnp.sum(weight**2)

    flat, exact = at(-jnp.inf)[1], at(0.0)
    enough = 1.0 + share * (flat - 1.0)

    def halve(_: Any, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        middle = 0.5 * (ends[0] + ends[1])
        warm = at(middle)[1] >= enough
        return jnp.where(warm, middle, ends[0]), jnp.where(warm, ends[1], middle)

    coldest = -jnp.log1p(-jnp.min(fall)) - 5.0
    warm, _ = jax.lax.fori_loop(0, STEPS, halve, (coldest, jnp.zeros_like(coldest)))
    return jnp.where(exact[1] >= enough, exact[0], at(warm)[0])


def shortened(
    step: Float[Array, " d"],
    precision: Float[Array, " d"],
    offset: Float[Array, "k d"],
    left: Float[Array, "k d"],
    weight: Float[Array, " k"],
) -> Float[Array, " d"]:
    """A step to the mean of a fit of one precision a dimension, over 1 + e/p, p the precision along
    it and e what the gradients show beyond p: where Q is rotated, they fall along the step by more
    than any dimension says. e is charged with `DOUBT` variances of chance.

    Args:
        step: from the weighted mean of the draws, [d].
        precision: of the fit, [d].
        offset: draws less their weighted mean, [k, d].
        left: what the fit leaves of their gradients, [k, d].
        weight: weights of the draws, summing to 1.
    """
    tiny = np.finfo(step.dtype).tiny
    along = step / jnp.maximum(jnp.sqrt(jnp.sum(step**2)), tiny)
    far, rest = offset @ along, left @ along
    product = -jnp.sum(weight * far * rest)
    extra = product / jnp.maximum(jnp.sum(weight * far**2), tiny)
    chance = jnp.sum((weight * far * (rest + extra * far)) ** 2)
    doubt = DOUBT * chance / jnp.maximum(product**2, tiny)
    extra = jnp.where((extra > 0.0) & (doubt < 1.0), extra * (1.0 - doubt), 0.0)
    own = jnp.sum(precision * along**2)
    return step * (own / jnp.maximum(own + extra, tiny))


class FittedProposal(AbstractAdaptiveProposal, TruncatedGaussianProposal):
    """Half of the draws from the likelihood on the support, half from a normal fitted to them;
    where there are enough in all, fewer from each, and further ones from one fitted to both.

    The gradient of log pi is regressed on the action, one dimension at a time:
    ∂_j log pi ≈ b_j - P_j a_j with P_j >= 0. With the likelihood of x that is the normal of
    precision P_j + alpha²/sigma². The regression weighs the draws of all levels by their
    weights for this one, and as far as those are worth less than `prior` draws (after an earlier
    fit: a fifth of that), the level's first draws evenly; a first fit of two weighs them at a
    temperature so high that they are worth a share of what they are for flat Q (`tempered`). A
    fit is believed by the share of the mean squared gradient that it explains; with none of it,
    it is the likelihood again. On R^d its step is shortened where the gradients fall faster along
    it than in the dimensions (`shortened`). A share of the draws of two fits (on R^d of the first)
    is from another beside it, whose weights are by where Newton's step leads a draw (`ahead`). All
    draws are then weighed by the deterministic mixture of all proposals, so that a bad fit costs no
    more than its draws.

    Args:
        prior: number of evenly weighed draws that the only fit mixes in, > 0.
        share: of the effective sample size for flat Q, what the first fit of two rests on, in
            (0, 1).
        reshaped: whether on a box each of two fits is reshaped by what it leaves of the gradients,
            one dimension at a time (`ReshapedProposal`), and has another beside it.

    Reference: tempered weights in adaptive importance sampling, Koblents & Míguez (2015).
    """

    prior: float = 5.0
    share: float = 0.3
    reshaped: bool = eqx.field(default=True, static=True)

    def weigh(
        self,
        value: Float[Array, " k"],
        log_prior: Float[Array, " k"],
        own: Float[Array, " k"],
        turn: tuple[int, int],
    ) -> Float[Array, " k"]:
        number, fits = turn
        if number < fits:
            return tempered(value, log_prior, self.share)
        weight, even = softmax(value + log_prior), self.prior * (AGAIN if fits > 1 else 1.0)
        ess = 1.0 / jnp.sum(weight**2)
        return (ess * weight + even * own) / (ess + even)

    def num_uniform(self, num_draws: int, support: AbstractSupport) -> int:
        return num_draws // SHARE if support.has_walls and num_draws >= MANY else 0

    def fit(
        self,
        action: Float[Array, "k d"],
        slope: Float[Array, "k d"],
        weight: Float[Array, " k"],
        x: Float[Array, " d"],
        level: Level,
        support: AbstractSupport,
    ) -> AbstractProposal:
        v = weight[:, None]
        center, tilt = jnp.sum(v * action, axis=0), jnp.sum(v * slope, axis=0)
        offset = action - center
        spread = jnp.sum(v * offset**2, axis=0)
        bend = -jnp.sum(v * offset * (slope - tilt), axis=0)
        precision = jnp.where(spread > 0, bend / jnp.where(spread > 0, spread, 1.0), 0.0)
        likelihood = (level.alpha / level.sigma) ** 2
        width = level.sigma / level.alpha
        precision = jnp.clip(precision, 0.0, 1e6 * likelihood)
        left = slope - tilt + precision * offset
        chance = jnp.sum(v**2 * left**2, axis=0) / jnp.maximum(tilt**2, np.finfo(x.dtype).tiny)
        tilt = tilt * jnp.maximum(0.0, 1.0 - DOUBT * chance)
        missed, met = jnp.sum(v * left**2, axis=0), precision**2 * spread + tilt**2
        share = met / jnp.maximum(met + missed, np.finfo(x.dtype).tiny)  # of the mean squared slope
        tilt, precision = share * tilt, share * precision
        total = precision + likelihood
        mean = (tilt + precision * center + likelihood * (x / level.alpha)) / total
        if not support.has_walls:
            mean = center + shortened(mean - center, total, offset, left, weight)
            reach = REACH[0] * width
            mean = jnp.clip(mean, x / level.alpha - reach, x / level.alpha + reach)
        else:  # a mean far outside is brought nearer, its slope at the wall kept if that is sure
            sure = 1.0 / (1.0 + (chance / SURE) ** 2)
            reach = (REACH[0] + (REACH[1] - REACH[0]) * sure) * width
            mean = jnp.clip(mean, x / level.alpha - reach, x / level.alpha + reach)
            low, high = support.bounds(x.size)
            middle, half = 0.5 * (low + high), 0.5 * (high - low)
            outside = (OUTSIDE[0] + (OUTSIDE[1] - OUTSIDE[0]) * sure) * half
            excess = jnp.maximum(1.0, jnp.abs(mean - middle) / outside)
            mean, total = middle + (mean - middle) / excess, total * (1.0 + (excess - 1.0) * sure)
        return NormalProposal(mean.astype(x.dtype), (1.0 / jnp.sqrt(total)).astype(x.dtype))

    def ahead(
        self,
        fitted: AbstractProposal,
        value: Float[Array, " k"],
        action: Float[Array, "k d"],
        slope: Float[Array, "k d"],
        x: Float[Array, " d"],
        level: Level,
        support: AbstractSupport,
        turn: tuple[int, int],
    ) -> tuple[Float[Array, " k"], Float[Array, " k"]] | None:
        """log pi where Newton's step leads a draw, by its gradient and the variances of the fit.

        It is the same for all draws of one normal; where the draws see several, those that point
        to the highest peak have the greatest. On a box the step ends at a wall, and after a few
        deviations of the fit, fewer of the last one; what log pi gains on it is that of its
        gradient. A draw counts as far as its step leads away from the fitted mean.
        """
        if type(fitted) is not NormalProposal or (support.has_walls and not self.reshaped):
            return None
        steep = slope + (level.alpha / level.sigma) ** 2 * (x / level.alpha - action)
        if support.has_walls:
            low, high = support.bounds(x.size)
            longest = STRIDE[turn[0] == turn[1]] * fitted.scale
            step = jnp.clip(fitted.scale**2 * steep, -longest, longest)
            point = jnp.clip(action + step, low, high)
            gain = jnp.sum((point - action) * steep, axis=-1)
            away = (point - jnp.clip(fitted.mean, low, high)) / fitted.scale
            left = -jnp.expm1(-0.5 * jnp.sum(away**2, axis=-1) / NEAR)
        else:
            gain = 0.5 * jnp.sum((fitted.scale * steep) ** 2, axis=-1)
            left = jnp.ones_like(gain)
        peak = value + log_likelihood(action, x, level) + gain
        return jnp.where(jnp.isfinite(peak), peak, value), left

    def reshape(
        self,
        fitted: AbstractProposal,
        action: Float[Array, "k d"],
        slope: Float[Array, "k d"],
        weight: Float[Array, " k"],
        x: Float[Array, " d"],
        level: Level,
        support: AbstractSupport,
    ) -> AbstractProposal:
        """The normal, reshaped by what it leaves of the gradients (`reshaped`)."""
        if not self.reshaped or type(fitted) is not NormalProposal:
            return fitted
        pull = (level.alpha / level.sigma) ** 2 * (x / level.alpha - action)
        left = slope + pull - (fitted.mean - action) / fitted.scale**2
        return reshaped(fitted, action, left, weight, support)
