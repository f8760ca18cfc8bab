"""Kinds of policy: how actions are sampled from them, and what they are trained on."""

import abc
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from steinflow.checks import lookup
from steinflow.methods import Method, as_method
from steinflow.rl.actor import (
    ACTIONS,
    ActorInfo,
    advantage_weights,
    boltzmann,
    cloning_errors,
    info_without_targets,
    score_loss,
)
from steinflow.rl.config import TrainConfig
from steinflow.rl.networks import Critics, Denoiser, Gaussian, least
from steinflow.rl.sampling import policy_sample, times_of
from steinflow.rl.temperature import TEMPERATURES, AbstractTemperature, ByEntropy
from steinflow.samplers import steps_of
from steinflow.schedules import (
    AbstractSchedule,
    LinearFlow,
    VarianceExploding,
    VariancePreserving,
)
from steinflow.targets.boltzmann import Boltzmann
from steinflow.targets.latent import log_slope

# any target on the box of actions: methods ask what space they pose it in
BOX = Boltzmann(q=jnp.sum, tau=1.0, support=ACTIONS)


class Sampled(NamedTuple):
    """m samples a state."""

    points: Float[Array, "b m d"]  # in the policy's space
    actions: Float[Array, "b m d"]  # that they stand for
    log_prob: Float[Array, "b m"] | float  # 0 where it is not part of the return


class AbstractActor(eqx.Module):
    """A kind of policy: its network, its samples, its loss."""

    config: eqx.AbstractVar[TrainConfig]

    @property
    @abc.abstractmethod
    def draws_a_state(self) -> int:
        """Evaluations of Q behind one target."""

    @abc.abstractmethod
    def network(self, key: Key[Array, ""], obs_dim: int, dim: int) -> Any:
        """A new policy network."""

    @abc.abstractmethod
    def sample(
        self, key: Key[Array, ""], policy: Any, obs: Float[Array, "b o"], dim: int, count: int
    ) -> Sampled:
        """count samples a state, gradients stopped."""

    @property
    @abc.abstractmethod
    def temperature(self) -> AbstractTemperature:
        """The rule for tau."""

    @abc.abstractmethod
    def loss(
        self,
        policy: Any,
        key: Key[Array, ""],
        critics: Critics,
        tau: Float[Array, ""],
        obs: Float[Array, "b o"],
        point: Float[Array, "b d"],
    ) -> tuple[Float[Array, ""], ActorInfo]:
        """What the policy is trained to lessen, at states and one sample of its own each."""


class AbstractFlow(AbstractActor):
    """A policy that denoises along a schedule, in the space of its method."""

    @property
    @abc.abstractmethod
    def schedule(self) -> AbstractSchedule:
        """From noise to data."""

    @property
    def method(self) -> Method:
        """The score target's method."""
        return as_method(self.config.estimator, None)

    @property
    def draws_a_state(self) -> int:
        scored = self.config.objective == "score"
        return self.config.num_draws * self.config.num_levels if scored else 1

    @property
    def temperature(self) -> AbstractTemperature:
        kind = lookup("temperature mode", self.config.temperature_mode, TEMPERATURES)
        return kind(self.config.temperature)

    def network(self, key: Key[Array, ""], obs_dim: int, dim: int) -> Denoiser:
        bounded = self.method.pose(BOX).support.has_bounds
        return Denoiser(key, obs_dim, dim, self.config.policy_hidden, bounded=bounded)

    def sample(
        self, key: Key[Array, ""], policy: Denoiser, obs: Float[Array, "b o"], dim: int, count: int
    ) -> Sampled:
        points = self.generate(key, policy, obs, dim, count)
        actions = jnp.clip(self.method.action(BOX, points), -1.0, 1.0)
        return Sampled(jax.lax.stop_gradient(points), jax.lax.stop_gradient(actions), 0.0)

    def generate(
        self, key: Key[Array, ""], policy: Denoiser, obs: Float[Array, "b o"], dim: int, count: int
    ) -> Float[Array, "b m d"]:
        """count samples a state in the policy's space, which gradients pass through."""
        config = self.config
        times = times_of(config.flow_steps)
        steps = steps_of(self.schedule, times, config.sampler, config.corrector)

        def state(keys: Array, obs: Array) -> Array:
            return jax.vmap(lambda key: policy_sample(key, policy, obs, dim, steps))(keys)

        return jax.vmap(state)(jax.random.split(key, (obs.shape[0], count)), obs)

    def loss(
        self,
        policy: Denoiser,
        key: Key[Array, ""],
        critics: Critics,
        tau: Float[Array, ""],
        obs: Float[Array, "b o"],
        point: Float[Array, "b d"],
    ) -> tuple[Float[Array, ""], ActorInfo]:
        config = self.config
        if config.objective == "score":
            return score_loss(
                policy, key, boltzmann(critics, tau, obs), obs, point, self.schedule, self.method,
                config.num_levels, config.num_draws,
            )  # fmt: skip
        for_noise, for_samples = jax.random.split(key)
        errors = cloning_errors(policy, for_noise, obs, point, self.schedule, config.num_levels)
        if config.objective == "cloning":
            return info_without_targets(jnp.mean(errors), 1.0)
        many = config.particles if config.objective == "weighted" else 1
        actions = self.generate(for_samples, policy, obs, point.shape[-1], many)
        if config.objective == "weighted":
            weights = advantage_weights(critics, tau, obs, point, jax.lax.stop_gradient(actions))
            share = jnp.mean(weights) ** 2 / jnp.mean(weights**2)
            return info_without_targets(jnp.mean(weights * errors), share)
        q = jax.vmap(least, in_axes=(None, 0, 0))(critics, obs, actions[:, 0])
        size = jax.lax.stop_gradient(jnp.mean(jnp.abs(q)))
        return info_without_targets(jnp.mean(errors) - config.q_weight * jnp.mean(q) / size, 1.0)


class Flow(AbstractFlow):
    """The straight path of flow matching."""

    config: TrainConfig = eqx.field(static=True)

    @property
    def schedule(self) -> AbstractSchedule:
        return LinearFlow()


class Diffusion(AbstractFlow):
    """The variance-preserving path."""

    config: TrainConfig = eqx.field(static=True)

    @property
    def schedule(self) -> AbstractSchedule:
        return VariancePreserving()


class Exploding(AbstractFlow):
    """The variance-exploding path (Song et al., 2021)."""

    config: TrainConfig = eqx.field(static=True)

    @property
    def schedule(self) -> AbstractSchedule:
        return VarianceExploding()


class SquashedGaussian(AbstractActor):
    """A tanh-squashed normal trained on tau log pi - min Q, tau steered to an entropy of -d:
    SAC (Haarnoja et al., 2018)."""

    config: TrainConfig = eqx.field(static=True)

    @property
    def draws_a_state(self) -> int:
        return 1

    def network(self, key: Key[Array, ""], obs_dim: int, dim: int) -> Gaussian:
        return Gaussian(key, obs_dim, dim, self.config.policy_hidden)

    @property
    def temperature(self) -> AbstractTemperature:
        return ByEntropy()

    def sample(
        self, key: Key[Array, ""], policy: Gaussian, obs: Float[Array, "b o"], dim: int, count: int
    ) -> Sampled:
        eps = jax.random.normal(key, (obs.shape[0], count, dim))
        actions, log_prob = jax.vmap(squashed, in_axes=(None, 0, 0))(policy, obs, eps)
        actions = jax.lax.stop_gradient(actions)
        return Sampled(actions, actions, jax.lax.stop_gradient(log_prob))

    def loss(
        self,
        policy: Gaussian,
        key: Key[Array, ""],
        critics: Critics,
        tau: Float[Array, ""],
        obs: Float[Array, "b o"],
        point: Float[Array, "b d"],
    ) -> tuple[Float[Array, ""], ActorInfo]:
        eps = jax.random.normal(key, (obs.shape[0], 1, point.shape[-1]))
        actions, log_prob = jax.vmap(squashed, in_axes=(None, 0, 0))(policy, obs, eps)
        q = jax.vmap(least, in_axes=(None, 0, 0))(critics, obs, actions[:, 0])
        zero, entropy = jnp.zeros(()), -jnp.mean(log_prob) / point.shape[-1]
        loss = jnp.mean(tau * log_prob[:, 0] - q)
        return loss, ActorInfo(loss, jnp.ones(()), zero, zero, zero, entropy)


def squashed(
    policy: Gaussian, obs: Float[Array, " o"], eps: Float[Array, "m d"]
) -> tuple[Float[Array, "m d"], Float[Array, " m"]]:
    """tanh of a normal at given noise, and its log-density (Haarnoja et al., 2018, appendix C)."""
    mean, log_std = policy(obs)
    y = mean + jnp.exp(log_std) * eps
    normal = -0.5 * eps**2 - log_std - 0.5 * math.log(2.0 * math.pi)
    return jnp.tanh(y), jnp.sum(normal - log_slope(y), axis=-1)


ACTORS: dict[str, Callable[[TrainConfig], AbstractActor]] = {
    "flow": Flow,
    "diffusion": Diffusion,
    "diffusion-ve": Exploding,
    "gaussian": SquashedGaussian,
}
