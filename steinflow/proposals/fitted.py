"""A normal proposal fitted to the gradients of Q that a first half of the draws has met."""

import abc

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from steinflow.checks import Numbers
from steinflow.levels import Level
from steinflow.proposals.base import AbstractProposal, log_likelihood
from steinflow.proposals.truncated_gaussian import (
    TruncatedGaussianProposal,
    log_normal,
    normal_actions,
)
from steinflow.supports import AbstractSupport


class AbstractAdaptiveProposal(AbstractProposal):
    """A proposal for the first half of the draws, and what it learns from them."""

    @abc.abstractmethod
    def fit(
        self,
        action: Float[Array, "k d"],
        slope: Float[Array, "k d"],
        weight: Float[Array, " k"],
        own: Float[Array, " k"],
        x: Float[Array, " d"],
        level: Level,
        support: AbstractSupport,
    ) -> AbstractProposal:
        """The proposal of the second half, from the first: actions, gradients of Q/tau,
        self-normalised weights, and the uniform weights of the level's own draws."""

    @abc.abstractmethod
    def num_uniform(self, num_draws: int, support: AbstractSupport) -> int:
        """How many of the draws are uniform on the support."""


class NormalProposal(AbstractProposal):
    """N(mean, diag(scale²)), cut to the support; it does not depend on x."""

    mean: Numbers
    scale: Numbers

    def actions(
        self,
        uniform: Float[Array, "k d"],
        x: Float[Array, " d"],
        level: Level,
        support: AbstractSupport,
    ) -> Float[Array, "k d"]:
        return normal_actions(uniform, self.mean, self.scale, support)

    def log_ratio(
        self,
        action: Float[Array, "k d"],
        x: Float[Array, " d"],
        level: Level,
        support: AbstractSupport,
    ) -> Float[Array, " k"]:
        return log_likelihood(action, x, level) - self.log_prob(action, x, level, support)

    def log_prob(
        self,
        action: Float[Array, "k d"],
        x: Float[Array, " d"],
        level: Level,
        support: AbstractSupport,
    ) -> Float[Array, " k"]:
        return log_normal(action, self.mean, self.scale, support)


class UniformProposal(AbstractProposal):
    """Uniform on a box."""

    def actions(
        self,
        uniform: Float[Array, "k d"],
        x: Float[Array, " d"],
        level: Level,
        support: AbstractSupport,
    ) -> Float[Array, "k d"]:
        low, high = support.bounds(x.size)
        return low + (high - low) * uniform

    def log_ratio(
        self,
        action: Float[Array, "k d"],
        x: Float[Array, " d"],
        level: Level,
        support: AbstractSupport,
    ) -> Float[Array, " k"]:
        return log_likelihood(action, x, level)

    def log_prob(
        self,
        action: Float[Array, "k d"],
        x: Float[Array, " d"],
        level: Level,
        support: AbstractSupport,
    ) -> Float[Array, " k"]:
        low, high = support.bounds(x.size)
        return jnp.full(action.shape[0], -jnp.sum(jnp.log(high - low))).astype(action.dtype)


MANY, SHARE = 512, 8  # from so many draws on a box, one in so many is uniform
REACH = 6.0, 20.0  # standard deviations of the likelihood that a fitted mean may lie away,
OUTSIDE = 1.5, 5.0  # and half widths of a box, from its middle: as a rule, and for a sure fit
DOUBT = 2.0  # variances of a mean gradient that chance is charged with
SURE = 1e-4  # squared standard error over squared mean gradient of a half sure fit


class FittedProposal(AbstractAdaptiveProposal, TruncatedGaussianProposal):
    """Half of the draws from the likelihood on the support, half from a normal fitted to them.

    The gradient of log pi is regressed on the action, one dimension at a time:
    ∂_j log pi ≈ b_j - P_j a_j with P_j >= 0. With the likelihood of x that is the normal of
    precision P_j + alpha²/sigma². The regression weighs the draws of all levels by their
    weights for this one, and as far as those are worth less than `prior` draws, the level's
    own draws evenly. A fit is believed by the share of the mean squared gradient that it
    explains; with none of it, it is the likelihood again. All draws are then weighed by the
    deterministic mixture of all proposals, so that a bad fit costs no more than its half of
    the draws.

    Args:
        prior: number of evenly weighed draws that the fit mixes in, > 0.
    """

    prior: float = 5.0

    def num_uniform(self, num_draws: int, support: AbstractSupport) -> int:
        return num_draws // SHARE if support.has_walls and num_draws >= MANY else 0

    def fit(
        self,
        action: Float[Array, "k d"],
        slope: Float[Array, "k d"],
        weight: Float[Array, " k"],
        own: Float[Array, " k"],
        x: Float[Array, " d"],
        level: Level,
        support: AbstractSupport,
    ) -> AbstractProposal:
        ess = 1.0 / jnp.sum(weight**2)
        v = ((ess * weight + self.prior * own) / (ess + self.prior))[:, None]
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
