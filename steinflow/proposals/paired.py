"""Two proposals that share the draws of a level."""

import math

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from steinflow.levels import Level
from steinflow.proposals.base import AbstractProposal, log_likelihood
from steinflow.supports import AbstractSupport

SECOND = 4  # of so many draws one is from the second proposal


class PairedProposal(AbstractProposal):
    """The last fourth of `size` draws from a second proposal, those before from the first.

    Not every fourth one: a quarter of Sobol numbers that lie together is as even as fewer of them.
    """

    first: AbstractProposal
    second: AbstractProposal
    size: int = eqx.field(static=True)

    def actions(
        self,
        uniform: Float[Array, "k d"],
        x: Float[Array, " d"],
        level: Level,
        support: AbstractSupport,
    ) -> Float[Array, "k d"]:
        first, second = (q.actions(uniform, x, level, support) for q in (self.first, self.second))
        other = np.arange(self.size) >= self.size - self.size // SECOND
        return jnp.where(other[:, None], second, first)

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
        share = self.size // SECOND / self.size
        first, second = (q.log_prob(action, x, level, support) for q in (self.first, self.second))
        return jnp.logaddexp(math.log(1.0 - share) + first, math.log(share) + second)
