"""A normal and a uniform law of actions, whatever x is."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from steinflow.checks import Numbers
from steinflow.levels import Level
from steinflow.proposals.base import AbstractProposal, log_likelihood
from steinflow.proposals.truncated_gaussian import log_normal, normal_actions
from steinflow.supports import AbstractSupport


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
