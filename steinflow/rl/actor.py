"""Where the agent uses the estimator: E[a|x] is regressed on score targets of the critic."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from steinflow.conversions import posterior_mean
from steinflow.estimators import Estimate
from steinflow.levels import Level
from steinflow.methods import Method
from steinflow.rl.critic import least_of
from steinflow.rl.networks import Critics, Denoiser, least
from steinflow.schedules import AbstractSchedule
from steinflow.score import score_targets
from steinflow.supports import Box
from steinflow.targets.boltzmann import AbstractTarget, Boltzmann

ACTIONS = Box(-1.0, 1.0)  # environments' bounds are rescaled to it
HEAVIEST = 100.0  # weight of an action that was taken
MARGIN = 0.01  # times of noise levels keep this distance from pure noise and from none


class ActorInfo(NamedTuple):
    """What an actor update says about itself."""

    loss: Float[Array, ""]
    ess: Float[Array, ""]  # mean over states and levels
    coefficient: Float[Array, ""]  # mean of C
    std_error: Float[Array, ""]  # root mean square of a score's, times sigma²/alpha: of E[a|x]
    invalid: Float[Array, ""]  # draws that were NaN
    entropy: Float[Array, ""]  # of the policy, per dimension; 0 where it is not known


def boltzmann(critics: Critics, tau: Float[Array, ""], obs: Float[Array, "b o"]) -> Boltzmann:
    """pi(a|s) ∝ exp(min_i Q_i(s, a)/tau) on the box of actions, for b states."""

    def q(action: Array, obs: Array) -> Array:
        return least(critics, obs, action)

    return Boltzmann(q=q, tau=tau, support=ACTIONS, context=obs)


def noise_levels(key: Key[Array, ""], schedule: AbstractSchedule, batch: int, count: int) -> Level:
    """count stratified times a state turned into levels, [b, l]."""
    shift = jax.random.uniform(key, (batch, count))
    t = MARGIN + (1.0 - 2.0 * MARGIN) * (jnp.arange(count) + shift) / count
    return jax.vmap(jax.vmap(schedule))(t)


class Regression(NamedTuple):
    """A policy beside score targets, at l noised copies of one particle for b states."""

    errors: Float[Array, "b l"]  # squared, of E[a|x]
    x: Float[Array, "b l d"]
    levels: Level  # [b, l]
    estimate: Estimate


def regression(
    policy: Denoiser,
    key: Key[Array, ""],
    targets: AbstractTarget,
    obs: Float[Array, "b o"],
    particle: Float[Array, "b d"],
    schedule: AbstractSchedule,
    method: Method,
    num_levels: int,
    num_draws: int,
) -> Regression:
    """Squared errors of E[a|x] at l noised copies of one particle of the policy a state, for the
    targets of b states.

    The levels of a state share their draws. On a box the target is brought back into it: the
    true mean lies there, so that this only lessens its error.
    """
    batch, dim = particle.shape
    for_level, for_noise, for_draws = jax.random.split(key, 3)
    levels = noise_levels(for_level, schedule, batch, num_levels)
    eps = jax.random.normal(for_noise, (batch, num_levels, dim))
    alpha, sigma = levels.alpha[..., None], levels.sigma[..., None]
    x = alpha * particle[:, None] + sigma * eps
    estimates = score_targets(for_draws, targets, x, levels, method, num_draws=num_draws)
    goal = jax.vmap(jax.vmap(posterior_mean))(estimates.score, x, levels)
    if policy.bounded:
        goal = jnp.clip(goal, -1.0, 1.0)
    sound = jnp.all(jnp.isfinite(goal), axis=-1, keepdims=True)

    def predict(obs: Array, x: Array, level: Level) -> Array:
        return jax.vmap(policy, in_axes=(None, 0, 0))(obs, x, level)

    mean = jax.vmap(predict)(obs, x, levels)
    error = jnp.where(sound, mean - jax.lax.stop_gradient(jnp.where(sound, goal, 0.0)), 0.0)
    return Regression(jnp.sum(error**2, axis=-1), x, levels, estimates)


def score_loss(
    policy: Denoiser,
    key: Key[Array, ""],
    targets: AbstractTarget,
    obs: Float[Array, "b o"],
    particle: Float[Array, "b d"],
    schedule: AbstractSchedule,
    method: Method,
    num_levels: int,
    num_draws: int,
) -> tuple[Float[Array, ""], ActorInfo]:
    """Mean of the errors of a `regression`."""
    errors, _, levels, estimates = regression(
        policy, key, targets, obs, particle, schedule, method, num_levels, num_draws
    )
    loss = jnp.mean(errors)
    alpha, sigma = levels.alpha[..., None], levels.sigma[..., None]
    scaled = estimates.info.std_error * sigma**2 / alpha
    info = ActorInfo(
        loss,
        jnp.mean(estimates.info.ess),
        jnp.mean(estimates.info.coefficient),
        jnp.sqrt(jnp.mean(scaled**2)),
        jnp.sum(estimates.info.num_invalid).astype(loss.dtype),
        jnp.zeros(()),
    )
    return loss, info


def cloning_errors(
    policy: Denoiser,
    key: Key[Array, ""],
    obs: Float[Array, "b o"],
    action: Float[Array, "b d"],
    schedule: AbstractSchedule,
    num_levels: int,
) -> Float[Array, " b"]:
    """Squared errors of E[a|x] at noised copies of actions that were taken, their mean over levels:
    denoising, which learns the policy that took them (Ho, Jain & Abbeel, 2020)."""
    for_level, for_noise = jax.random.split(key)
    levels = noise_levels(for_level, schedule, len(action), num_levels)
    eps = jax.random.normal(for_noise, (len(action), num_levels, action.shape[-1]))
    x = levels.alpha[..., None] * action[:, None] + levels.sigma[..., None] * eps

    def predict(obs: Array, x: Array, level: Level) -> Array:
        return jax.vmap(policy, in_axes=(None, 0, 0))(obs, x, level)

    errors = jax.vmap(predict)(obs, x, levels) - action[:, None]
    return jnp.mean(jnp.sum(errors**2, axis=-1), axis=1)


def advantage_weights(
    critics: Critics,
    tau: Float[Array, ""],
    obs: Float[Array, "b o"],
    action: Float[Array, "b d"],
    policy_actions: Float[Array, "b m d"],
) -> Float[Array, " b"]:
    """exp((Q - V)/tau) of actions that were taken, cut at `HEAVIEST` and then of mean 1; V is the
    mean of Q at the policy's own. What they weigh is the posterior of mu(a|s) exp(Q/tau), mu the
    policy that took them (Peng et al., 2019)."""
    q = least_of(critics, obs, action[:, None])[:, 0]
    value = jnp.mean(least_of(critics, obs, policy_actions), axis=1)
    return len(q) * jax.nn.softmax(jnp.minimum((q - value) / tau, jnp.log(HEAVIEST)))


def info_without_targets(
    loss: Float[Array, ""], ess: Float[Array, ""] | float
) -> tuple[Float[Array, ""], ActorInfo]:
    """A loss, and what an update says about itself where no target is estimated."""
    zero = jnp.zeros(())
    return loss, ActorInfo(loss, jnp.asarray(ess, jnp.float32), zero, zero, zero, zero)
