"""The temperature of the Boltzmann policy: fixed, relative to Q's spread, or steered by ESS."""

import abc

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

SLOW = 0.99  # weight of the past in a running mean, one update


class TemperatureState(eqx.Module):
    """What a temperature has learned: the running spread of Q, in the critics' units, and log tau
    where it is steered."""

    spread: Float[Array, ""]  # mean over states of the standard deviation of Q, actions uniform
    log_tau: Float[Array, ""]


class AbstractTemperature(eqx.Module):
    """A rule for tau."""

    @abc.abstractmethod
    def tau(self, state: TemperatureState, scale: Float[Array, ""]) -> Float[Array, ""]:
        """The temperature now, in the critics' units of Q, which are `scale` of return."""

    @abc.abstractmethod
    def steer(
        self, state: TemperatureState, ess: Float[Array, ""], entropy: Float[Array, ""]
    ) -> TemperatureState:
        """After an update whose estimates had this mean ESS per draw, and whose policy this
        entropy per dimension (where it is known)."""


class Fixed(AbstractTemperature):
    """tau = value, in units of return."""

    value: float

    def tau(self, state: TemperatureState, scale: Float[Array, ""]) -> Float[Array, ""]:
        return self.value / scale

    def steer(
        self, state: TemperatureState, ess: Float[Array, ""], entropy: Float[Array, ""]
    ) -> TemperatureState:
        return state


class Relative(AbstractTemperature):
    """tau = value times the running spread of Q."""

    value: float

    def tau(self, state: TemperatureState, scale: Float[Array, ""]) -> Float[Array, ""]:
        return self.value * jnp.maximum(state.spread, 1e-6)

    def steer(
        self, state: TemperatureState, ess: Float[Array, ""], entropy: Float[Array, ""]
    ) -> TemperatureState:
        return state


class ByEss(AbstractTemperature):
    """log tau moves by rate (log value - log ess), until a share `value` of the draws counts."""

    value: float
    rate: float = 0.01

    def tau(self, state: TemperatureState, scale: Float[Array, ""]) -> Float[Array, ""]:
        return jnp.exp(state.log_tau) * jnp.maximum(state.spread, 1e-6)

    def steer(
        self, state: TemperatureState, ess: Float[Array, ""], entropy: Float[Array, ""]
    ) -> TemperatureState:
        step = self.rate * (jnp.log(self.value) - jnp.log(ess))
        return eqx.tree_at(lambda h: h.log_tau, state, jnp.clip(state.log_tau + step, -7.0, 3.0))


class ByEntropy(AbstractTemperature):
    """log tau moves by rate (-1 - entropy per dimension): SAC's target entropy is -d."""

    rate: float = 1e-3

    def tau(self, state: TemperatureState, scale: Float[Array, ""]) -> Float[Array, ""]:
        return jnp.exp(state.log_tau)

    def steer(
        self, state: TemperatureState, ess: Float[Array, ""], entropy: Float[Array, ""]
    ) -> TemperatureState:
        step = self.rate * jnp.clip(-1.0 - entropy, -1.0, 1.0)
        return eqx.tree_at(lambda h: h.log_tau, state, state.log_tau + step)


TEMPERATURES: dict[str, type] = {"fixed": Fixed, "relative": Relative, "ess": ByEss}


def initial_temperature() -> TemperatureState:
    """Before anything is known of Q."""
    return TemperatureState(spread=jnp.zeros(()), log_tau=jnp.log(jnp.asarray(0.1)))


def with_spread(state: TemperatureState, spread: Float[Array, ""]) -> TemperatureState:
    """The running spread with one more measurement; the first is taken as it is."""
    mean = jnp.where(state.spread > 0, SLOW * state.spread + (1.0 - SLOW) * spread, spread)
    return eqx.tree_at(lambda h: h.spread, state, mean)
