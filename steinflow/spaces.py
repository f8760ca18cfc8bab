"""Spaces: how a problem on a box is posed before it is estimated.

A method works at points, levels and scores of its space. Q is asked at actions, and what it says
is pulled back into the space.
"""

import abc

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from steinflow.draws import Reply
from steinflow.supports import AbstractSupport, RealSpace
from steinflow.targets.latent import log_slope


class AbstractSpace(eqx.Module):
    """A change of the variable of a target."""

    @abc.abstractmethod
    def support(self, support: AbstractSupport) -> AbstractSupport:
        """The support in this space of a target on that support."""

    @abc.abstractmethod
    def action(self, y: Float[Array, "*n d"], support: AbstractSupport) -> Float[Array, "*n d"]:
        """The actions, on the target's support, that points of this space stand for."""

    @abc.abstractmethod
    def pull_back(
        self, y: Float[Array, "k d"], reply: Reply, tau: Float[Array, ""], support: AbstractSupport
    ) -> Reply:
        """Q of this space at y, such that pi of y is ∝ exp(Q/tau), from Q at the actions."""

    @abc.abstractmethod
    def is_exact(self, support: AbstractSupport) -> bool:
        """Whether the score in this space is that of the target."""


class ActionSpace(AbstractSpace):
    """Actions themselves."""

    def support(self, support: AbstractSupport) -> AbstractSupport:
        return support

    def action(self, y: Float[Array, "*n d"], support: AbstractSupport) -> Float[Array, "*n d"]:
        low, high = support.bounds(y.shape[-1])
        return jnp.clip(y, low, high).astype(y.dtype)

    def pull_back(
        self, y: Float[Array, "k d"], reply: Reply, tau: Float[Array, ""], support: AbstractSupport
    ) -> Reply:
        return reply

    def is_exact(self, support: AbstractSupport) -> bool:
        return True


class TanhSpace(AbstractSpace):
    """y = atanh of the action rescaled to [-1, 1]: R^d, with tau Σ_j log sech² y_j beside Q.

    Reference: reverse flow matching, Li, Tang & Azizan (2026), https://arxiv.org/abs/2601.08136.
    """

    def support(self, support: AbstractSupport) -> AbstractSupport:
        return RealSpace()

    def action(self, y: Float[Array, "*n d"], support: AbstractSupport) -> Float[Array, "*n d"]:
        if not support.has_bounds:
            return y
        low, high = support.bounds(y.shape[-1])
        return (0.5 * (low + high) + 0.5 * (high - low) * jnp.tanh(y)).astype(y.dtype)

    def pull_back(
        self, y: Float[Array, "k d"], reply: Reply, tau: Float[Array, ""], support: AbstractSupport
    ) -> Reply:
        if not support.has_bounds:
            return reply
        value = reply.value + tau * jnp.sum(log_slope(y), axis=-1)
        if reply.gradient is None:
            return Reply(value, None, None)
        low, high = support.bounds(y.shape[-1])
        rate = 0.5 * (high - low) * jnp.exp(log_slope(y))
        return Reply(value, rate * reply.gradient - 2.0 * tau * jnp.tanh(y), None)

    def is_exact(self, support: AbstractSupport) -> bool:
        return True


class ClippedSpace(AbstractSpace):
    """R^d, with Q continued beyond the bounds by its value at the nearest action: another
    distribution than the box's.

    Reference: SDAC, Ma et al. (2025), https://arxiv.org/abs/2502.00361.
    """

    def support(self, support: AbstractSupport) -> AbstractSupport:
        return RealSpace()

    def action(self, y: Float[Array, "*n d"], support: AbstractSupport) -> Float[Array, "*n d"]:
        low, high = support.bounds(y.shape[-1])
        return jnp.clip(y, low, high).astype(y.dtype)

    def pull_back(
        self, y: Float[Array, "k d"], reply: Reply, tau: Float[Array, ""], support: AbstractSupport
    ) -> Reply:
        if reply.gradient is None:
            return reply
        low, high = support.bounds(y.shape[-1])
        return Reply(reply.value, jnp.where((y > low) & (y < high), reply.gradient, 0.0), None)

    def is_exact(self, support: AbstractSupport) -> bool:
        return not support.has_bounds


SPACES: dict[str, AbstractSpace] = {
    "action": ActionSpace(),
    "tanh": TanhSpace(),
    "clipped": ClippedSpace(),
}
