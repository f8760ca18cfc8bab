"""Targets on a box, posed on R^d: through tanh, or with Q continued beyond the bounds."""

import math
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jax.nn import softplus
from jaxtyping import Array, Float

from steinflow.checks import Numbers, as_leaf, require_kind
from steinflow.levels import Level
from steinflow.supports import AbstractSupport, RealSpace
from steinflow.targets.boltzmann import AbstractTarget


class Latent(AbstractTarget):
    """The distribution of y = atanh of the rescaled action, on R^d: Q at the action that y stands
    for, plus tau times the logarithm of the Jacobian, Σ_j log sech² y_j."""

    inner: AbstractTarget  # type: ignore[misc]
    tau: Numbers = eqx.field(converter=as_leaf)
    support: AbstractSupport = RealSpace()

    def value(self, action: Float[Array, " d"]) -> Float[Array, ""]:
        y = action
        inner = at_tau(self.inner, self.tau)
        return inner.value(squashed(inner, y)) + self.tau * jnp.sum(log_slope(y))

    def exact_score(self, x: Float[Array, " d"], level: Level) -> Float[Array, " d"]:
        """s*(x) of the latent distribution, [d], where the inner target is exact on a box."""
        mean, _ = self.inner.latent_moments(x, level)  # type: ignore[attr-defined]
        return (level.alpha * mean - x) / level.sigma**2

    def exact_trace(self, x: Float[Array, " d"], level: Level) -> Float[Array, ""]:
        """tr Cov[(alpha y - x)/sigma^2 | x] of the latent distribution."""
        _, variance = self.inner.latent_moments(x, level)  # type: ignore[attr-defined]
        return jnp.sum(variance) * (level.alpha / level.sigma**2) ** 2


class Clipped(AbstractTarget):
    """Q continued beyond the bounds by its value at the nearest action inside: another distribution
    than the box's, the one that SDAC's noise expectation is consistent for."""

    inner: AbstractTarget  # type: ignore[misc]
    tau: Numbers = eqx.field(converter=as_leaf)
    support: AbstractSupport = RealSpace()

    def value(self, action: Float[Array, " d"]) -> Float[Array, ""]:
        low, high = self.inner.support.bounds(action.shape[-1])
        inside = jnp.clip(action, low, high).astype(action.dtype)
        return at_tau(self.inner, self.tau).value(inside)


def at_tau(target: AbstractTarget, tau: Numbers) -> AbstractTarget:
    """The target at the temperature of one state: a prior is weighed by it."""
    return eqx.tree_at(lambda tree: tree.tau, target, tau)


def log_slope(y: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """log sech² y: what a = tanh y takes from a log-density, elementwise."""
    return 2.0 * (math.log(2.0) - y - softplus(-2.0 * y))


LATENT_NODES, LATENT_REACH = 4096, 20.0


def latent_nodes(x: Float[Array, ""], level: Level) -> Float[Array, " m"]:
    """Equally spaced y over all that the likelihood of one coordinate, and sech², leave.

    Densities of y are smooth on the whole line, where the trapezoidal rule is exact to
    rounding once the spacing is below half of their width.
    """
    center, width = x / level.alpha, level.sigma / level.alpha
    low = jnp.clip(center - 9.0 * width, -LATENT_REACH, LATENT_REACH - 1.0)
    high = jnp.clip(center + 9.0 * width, 1.0 - LATENT_REACH, LATENT_REACH)
    return low + (high - low) * jnp.linspace(0.0, 1.0, LATENT_NODES)


def squashed(target: AbstractTarget, y: Float[Array, "*n d"]) -> Float[Array, "*n d"]:
    """The actions inside the target's box that latent points stand for."""
    if not target.support.has_bounds:
        return y
    low, high = target.support.bounds(y.shape[-1])
    return (0.5 * (low + high) + 0.5 * (high - low) * jnp.tanh(y)).astype(y.dtype)


def latent(target: AbstractTarget) -> AbstractTarget:
    """The target's distribution in y = atanh of the rescaled action: R^d, with the Jacobian.

    On R^d it is the target itself. A noisy point, its level and its score are then those
    of y, not of the action (Li, Tang & Azizan, arXiv 2601.08136).
    """
    return posed(Latent, target)


def clipped(target: AbstractTarget) -> AbstractTarget:
    """The target with Q continued beyond the bounds; on R^d the target itself."""
    return posed(Clipped, target)


def posed(wrapper: Any, target: AbstractTarget) -> AbstractTarget:
    """The target in a wrapper, where it has bounds."""
    require_kind("target", target, AbstractTarget, "Wrap Q: Boltzmann(q, tau).")
    return wrapper(target, target.tau) if target.support.has_bounds else target
