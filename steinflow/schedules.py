"""Schedules: a time t in [0, 1] becomes a noise level. Only this file knows t.

t = 0 is noise and t = 1 is data, for every schedule.
"""

import abc

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float
from jaxtyping import ArrayLike as Number

from steinflow.conversions import noise, posterior_mean
from steinflow.levels import Level, limit_level


class AbstractSchedule(eqx.Module):
    """A path of noise levels alpha(t), sigma(t)."""

    @abc.abstractmethod
    def coefficients(self, t: Number) -> tuple[Array, Array]:
        """(alpha, sigma) at time t, shapes of t."""

    def __call__(self, t: Number) -> Level:
        """The level at time t; at an end point alpha or sigma may be 0."""
        return limit_level(*self.coefficients(t))

    def rates(self, t: Number) -> tuple[Array, Array]:
        """(d alpha/dt, d sigma/dt) at a scalar time t, by forward differentiation."""
        t = jnp.asarray(t, float)
        return jax.jvp(self.coefficients, (t,), (jnp.ones_like(t),))[1]

    def velocity(self, score: Float[Array, " d"], x: Float[Array, " d"], t: Number) -> Array:
        """The probability-flow velocity dx/dt = alpha' E[a|x] + sigma' E[eps|x], shape [d]."""
        level = self(t)
        alpha_rate, sigma_rate = self.rates(t)
        mean = posterior_mean(score, x, level)
        return alpha_rate * mean + sigma_rate * noise(score, x, level)


class LinearFlow(AbstractSchedule):
    """alpha = t, sigma = 1 - t: the straight path of flow matching (Lipman et al., 2023)."""

    def coefficients(self, t: Number) -> tuple[Array, Array]:
        t = jnp.asarray(t, float)
        return t, 1.0 - t


class VariancePreserving(AbstractSchedule):
    """alpha = sin(pi t/2), sigma = cos(pi t/2): alpha^2 + sigma^2 = 1 (Song et al., 2021)."""

    def coefficients(self, t: Number) -> tuple[Array, Array]:
        angle = 0.5 * jnp.pi * jnp.asarray(t, float)
        return jnp.sin(angle), jnp.cos(angle)


class VarianceExploding(AbstractSchedule):
    """alpha = 1, sigma falls geometrically from sigma_max to sigma_min (Song et al., 2021)."""

    sigma_min: float = 0.01
    sigma_max: float = 10.0

    def coefficients(self, t: Number) -> tuple[Array, Array]:
        t = jnp.asarray(t, float)
        return jnp.ones_like(t), self.sigma_max * (self.sigma_min / self.sigma_max) ** t
