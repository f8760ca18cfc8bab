"""Two proposals that share the draws of a level."""

import math

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from steinflow.levels import Level
from steinflow.proposals.base import AbstractProposal, log_likelihood
from steinflow.supports import AbstractSupport


class PairedProposal(AbstractProposal):
    """The last ones of `size` draws from a second proposal, those before from the first.

    Not one in so many: Sobol numbers that lie together are as even as fewer of them.
    """

    first: AbstractProposal
    second: AbstractProposal
    size: int = eqx.field(static=True)
    count: int = eqx.field(static=True)  # of those from the second

    def actions(
        self,
        uniform: Float[Array, "k d"],
        x: Float[Array, " d"],
        level: Level,
        support: AbstractSupport,
    ) -> Float[Array, "k d"]:
        before = -(-(self.size - self.count) * uniform.shape[0] // self.size)
        parts = (self.first, uniform[:before]), (self.second, uniform[before:])
        return jnp.concatenate([q.actions(part, x, level, support) for q, part in parts])

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
        share = self.count / self.size
        first, second = (q.log_prob(action, x, level, support) for q in (self.first, self.second))
        return jnp.logaddexp(math.log(1.0 - share) + first, math.log(share) + second)
