"""Train a small policy toward a density, with score targets at its own noised samples."""

from dataclasses import replace
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Key

from steinflow.methods import as_method
from steinflow.rl.actor import regression
from steinflow.rl.networks import Denoiser
from steinflow.rl.sampling import policy_sample, times_of
from steinflow.samplers import steps_of
from steinflow.schedules import AbstractSchedule
from steinflow.study.training.distances import energy, sliced_wasserstein, squared_mmd
from steinflow.study.training.evidence import Evidence, Evidenced, weighed
from steinflow.targets.boltzmann import AbstractTarget

HIDDEN, OPTIMISER = (128, 128), optax.adam(1e-3)
STATES, LEVELS = 32, 4  # particles a step, and noise levels of each
FLOW_STEPS, FINAL_STEPS = 10, 50  # of the flow while training, and where it is judged
BROAD = 0.1  # share of particles that are far out, so that no mode is missed for good
AVERAGE = 0.99  # of the averaged weights, an update
OBS = 1  # a policy's observation says nothing here


class How(NamedTuple):
    """How a policy is trained; hashable, so that it is static under jit."""

    method: str  # of the score targets, a key of ESTIMATORS
    weighed: bool  # whether targets are weighed by their evidence
    schedule: AbstractSchedule
    num_draws: int  # of Q a particle and level
    checkpoints: int  # how often it is judged
    every: int  # steps between


class Learned(NamedTuple):
    """Distances to exact samples at checkpoints, and the last samples."""

    energy: Float[Array, "*c"]
    squared_mmd: Float[Array, "*c"]
    sliced_wasserstein: Float[Array, "*c"]
    samples: Float[Array, "n d"]  # actions, at the end


class State(NamedTuple):
    """What training changes."""

    policy: Denoiser
    evidence: Evidence
    average: Denoiser
    optimiser: optax.OptState
    step: Array


def samples(
    key: Key[Array, ""], policy: Denoiser, schedule: AbstractSchedule, steps: int, count: int
) -> Float[Array, "n d"]:
    """Points of the policy's space."""
    table, obs = steps_of(schedule, times_of(steps)), jnp.zeros(OBS)
    keys = jax.random.split(key, count)
    return jax.vmap(lambda k: policy_sample(k, policy, obs, 2, table))(keys)


def learn(
    key: Key[Array, ""], target: AbstractTarget, exact: Float[Array, "n d"], how: How
) -> Learned:
    """One policy from start to end.

    Args:
        key: consumed once.
        target: the density.
        exact: its samples.
        how: to train.
    """
    first, keys = jax.random.split(key)
    bounded = as_method(how.method, None).pose(target).support.has_bounds
    policy, evidence = Denoiser(first, OBS, 2, HIDDEN, bounded=bounded), Evidence(first, 2)
    moments = OPTIMISER.init((policy, evidence))
    start = State(policy, evidence, policy, moments, jnp.zeros((), jnp.int32))

    def step(state: State, key: Array) -> tuple[State, None]:
        return trained(state, key, target, how), None

    def stretch(state: State, key: Array) -> tuple[State, Learned]:
        steps, judge = jax.random.split(key)
        state, _ = jax.lax.scan(step, state, jax.random.split(steps, how.every))
        return state, judged(judge, state.average, target, exact, how)

    _, history = jax.lax.scan(stretch, start, jax.random.split(keys, how.checkpoints))
    return history._replace(samples=history.samples[-1])


def trained(state: State, key: Key[Array, ""], target: AbstractTarget, how: How) -> State:
    """The state after one more step."""
    sample_key, far, where, loss_key = jax.random.split(key, 4)
    points = samples(sample_key, state.policy, how.schedule, FLOW_STEPS, STATES)
    broad = jax.random.uniform(far, points.shape, minval=-2.5, maxval=2.5)
    broad = jnp.clip(broad, -1.0, 1.0) if state.policy.bounded else broad
    away = jax.random.uniform(where, (STATES, 1)) < BROAD
    points = jax.lax.stop_gradient(jnp.where(away, broad, points))
    both = state.policy, state.evidence
    gradient = jax.grad(loss)(both, loss_key, target, points, how)
    updates, moments = OPTIMISER.update(gradient, state.optimiser)
    policy, evidence = optax.apply_updates(both, updates)
    pace = jnp.maximum(1.0 - AVERAGE, 1.0 / (state.step + 1.0))
    average = optax.incremental_update(policy, state.average, pace)
    return State(policy, evidence, average, moments, state.step + 1)


def loss(
    both: tuple[Denoiser, Evidence],
    key: Key[Array, ""],
    target: AbstractTarget,
    points: Float[Array, "b d"],
    how: How,
) -> Float[Array, ""]:
    """The mean squared error of a policy beside score targets, weighed by their evidence or not."""
    (policy, evidence), method = both, as_method(how.method, None)
    if how.weighed:
        method = replace(method, estimator=Evidenced(method.estimator))
    obs = jnp.zeros((STATES, OBS))
    result = regression(
        policy, key, target, obs, points, how.schedule, method, LEVELS, how.num_draws
    )
    if not how.weighed:
        return jnp.mean(result.errors)
    return weighed(
        evidence, result.errors, result.x, result.levels, result.estimate.info.coefficient
    )


def judged(
    key: Key[Array, ""],
    policy: Denoiser,
    target: AbstractTarget,
    exact: Float[Array, "n d"],
    how: How,
) -> Learned:
    """Distances of a policy at one checkpoint, and its samples."""
    draw, directions = jax.random.split(key)
    points = samples(draw, policy, how.schedule, FINAL_STEPS, exact.shape[0])
    actions = as_method(how.method, None).action(target, points)
    actions = jnp.clip(actions, -1.0, 1.0) if target.support.has_bounds else actions
    return Learned(
        energy(actions, exact),
        squared_mmd(actions, exact),
        sliced_wasserstein(directions, actions, exact),
        actions,
    )


@partial(jax.jit, static_argnames="how")
def learn_all(
    keys: Key[Array, " s"], target: AbstractTarget, exact: Float[Array, "n d"], how: How
) -> Learned:
    """`learn` for several seeds side by side."""
    return jax.vmap(lambda key: learn(key, target, exact, how))(keys)
