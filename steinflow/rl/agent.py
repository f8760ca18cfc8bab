"""The agent: its state, one compiled call for many updates, and how it acts."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, Key

from steinflow.checks import lookup
from steinflow.executors.devices import sharded
from steinflow.rl.actor import ActorInfo
from steinflow.rl.config import TrainConfig
from steinflow.rl.critic import Batch, critic_loss, least_of, td_target
from steinflow.rl.heads import HEADS
from steinflow.rl.networks import Critics
from steinflow.rl.policies import ACTORS, AbstractActor
from steinflow.rl.temperature import TemperatureState, initial_temperature, with_spread

T = TypeVar("T")
SPREAD_STATES, SPREAD_ACTIONS = 64, 4  # where the spread of Q is measured in an update


class Sizes(NamedTuple):
    """Widths of an environment."""

    obs: int
    action: int


class AgentState(NamedTuple):
    """Everything that learning changes, for one seed."""

    policy: Any
    critics: Critics
    target: Critics
    policy_optimiser: optax.OptState
    critic_optimiser: optax.OptState
    temperature: TemperatureState
    seed: Int[Array, ""]
    updates: Int[Array, ""]  # of the critics
    scale: Float[Array, ""]  # return that is 1 in the critics' units


class UpdateInfo(NamedTuple):
    """Means over a call."""

    critic_loss: Float[Array, ""]  # in the critics' units, or nats
    q: Float[Array, ""]  # of return
    tau: Float[Array, ""]  # of return
    scale: Float[Array, ""]
    actor: ActorInfo


class Learner(NamedTuple):
    """What does not change while an agent learns; hashable, so that it is static under jit."""

    config: TrainConfig
    sizes: Sizes

    @property
    def actor(self) -> AbstractActor:
        """The kind of policy."""
        return lookup("policy", self.config.policy, ACTORS)(self.config)

    def optimiser(
        self, rate: float, updates: Int[Array, ""] | int = 0
    ) -> optax.GradientTransformation:
        """Adam (Kingma & Ba, 2015), behind a clip of the gradient's norm if asked for; its rate
        after so many updates of the critics."""
        clip = [optax.clip_by_global_norm(self.config.clip_norm)] if self.config.clip_norm else []
        return optax.chain(*clip, optax.adam(rate * self.rate_factor(updates)))

    def rate_factor(self, updates: Int[Array, ""] | int) -> Float[Array, ""] | float:
        """The share of the learning rates that is left."""
        anneal, steps = self.config.anneal, self.config.all_steps - self.config.warmup_steps
        if not anneal:
            return 1.0
        decisions = steps / self.config.action_repeat
        share = updates / max(1.0, decisions * self.config.updates_per_step)
        return jnp.clip((1.0 - share) / anneal, 0.0, 1.0)


def initial(learner: Learner, seed: Int[Array, ""]) -> AgentState:
    """A new agent."""
    config, sizes = learner.config, learner.sizes
    for_policy, for_critics = jax.random.split(jax.random.key(seed))
    critics = Critics(
        for_critics, sizes.obs, sizes.action, config.hidden, config.critics, config.critic_norm,
        lookup("critic", config.critic, HEADS)(),
    )  # fmt: skip
    policy = learner.actor.network(for_policy, sizes.obs, sizes.action)
    return AgentState(
        policy,
        critics,
        jax.tree.map(jnp.copy, critics),
        learner.optimiser(config.actor_lr).init(policy),
        learner.optimiser(config.critic_lr).init(critics),
        initial_temperature(),
        jnp.asarray(seed),
        jnp.zeros((), jnp.int32),
        jnp.asarray(1.0 / config.reward_scale, jnp.float32),
    )


def key_of(state: AgentState, purpose: int) -> Key[Array, ""]:
    """A key of its own for every update and purpose, from the seed and the count alone."""
    key = jax.random.fold_in(jax.random.key(state.seed), 1_000_003 + purpose)
    return jax.random.fold_in(key, state.updates)


def critic_step(
    learner: Learner, state: AgentState, batch: Batch
) -> tuple[AgentState, Float[Array, "b m d"], tuple[Array, ...]]:
    """One update of the critics; the actions that the policy took at s' come back for the actor."""
    config, actor = learner.config, learner.actor
    tau = actor.temperature.tau(state.temperature, state.scale)
    points, actions, log_prob = actor.sample(
        key_of(state, 0), state.policy, batch.next_obs, learner.sizes.action, config.particles
    )
    goal = td_target(state.target, batch, actions, tau, config.backup, -tau * log_prob)
    (loss, q), grads = jax.value_and_grad(critic_loss, has_aux=True)(state.critics, batch, goal)
    updates, optimiser = learner.optimiser(config.critic_lr, state.updates).update(
        grads, state.critic_optimiser
    )
    critics = optax.apply_updates(state.critics, updates)
    target = optax.incremental_update(critics, state.target, config.polyak)
    state = state._replace(
        critics=critics, target=target, critic_optimiser=optimiser, updates=state.updates + 1
    )
    return state, points, (loss, q, tau)


def actor_step(
    learner: Learner, state: AgentState, obs: Float[Array, "b o"], point: Float[Array, "b d"]
) -> tuple[AgentState, ActorInfo]:
    """One update of the policy, at states and one point of its space for each."""
    temperature = with_spread(
        state.temperature, spread_of_q(key_of(state, 1), state.critics, obs, point.shape[-1])
    )
    tau = learner.actor.temperature.tau(temperature, state.scale)

    def loss(policy: Any) -> tuple[Array, ActorInfo]:
        key = key_of(state, 2)
        return learner.actor.loss(policy, key, state.critics, tau, obs, point)

    grads, info = jax.grad(loss, has_aux=True)(state.policy)
    updates, optimiser = learner.optimiser(learner.config.actor_lr, state.updates).update(
        grads, state.policy_optimiser
    )
    temperature = learner.actor.temperature.steer(
        temperature, info.ess / learner.actor.draws_a_state, info.entropy
    )
    policy = optax.apply_updates(state.policy, updates)
    return state._replace(policy=policy, policy_optimiser=optimiser, temperature=temperature), info


def spread_of_q(
    key: Key[Array, ""], critics: Critics, obs: Float[Array, "b o"], dim: int
) -> Float[Array, ""]:
    """Root mean square over states of the standard deviation of Q under uniform actions."""
    obs = obs[:SPREAD_STATES]
    actions = jax.random.uniform(key, (obs.shape[0], SPREAD_ACTIONS, dim), minval=-1.0)

    def state(obs: Array, actions: Array) -> Array:
        values = jnp.min(jax.vmap(critics, in_axes=(None, 0))(obs, actions), axis=-1)
        return jnp.var(values, ddof=1)

    return jnp.sqrt(jnp.mean(jax.vmap(state)(obs, actions)))


def at_next(
    learner: Learner, state: AgentState, batch: Batch, points: Float[Array, "b m d"]
) -> tuple[Float[Array, "b o"], Float[Array, "b d"]]:
    """At s', on a sample that the TD target has drawn already."""
    return batch.next_obs, points[:, 0]


def at_policy(
    learner: Learner, state: AgentState, batch: Batch, points: Float[Array, "b m d"]
) -> tuple[Float[Array, "b o"], Float[Array, "b d"]]:
    """At s, on one of M new samples, with probability ∝ exp(Q/tau)."""
    actions, _ = one_of(learner, state, key_of(state, 3), batch.obs, learner.config.particles)
    return batch.obs, actions


def at_replay(
    learner: Learner, state: AgentState, batch: Batch, points: Float[Array, "b m d"]
) -> tuple[Float[Array, "b o"], Float[Array, "b d"]]:
    """At s, on the action that was taken there."""
    return batch.obs, batch.action


POINTS = {"next": at_next, "policy": at_policy, "replay": at_replay}


def one_of(
    learner: Learner,
    state: AgentState,
    key: Key[Array, ""],
    obs: Float[Array, "b o"],
    count: int,
    greedy: bool = False,
) -> tuple[Float[Array, "b d"], Float[Array, "b d"]]:
    """One of `count` samples of the policy a state, with probability ∝ exp(Q/tau), or, greedy, the
    best: its point in the policy's space, and the action that it stands for."""
    for_policy, for_choice = jax.random.split(key)
    points, actions, _ = learner.actor.sample(
        for_policy, state.policy, obs, learner.sizes.action, count
    )
    q = least_of(state.critics, obs, actions)
    tau = learner.actor.temperature.tau(state.temperature, state.scale)
    drawn = jax.random.categorical(for_choice, q / tau, axis=-1)
    which = (jnp.argmax(q, axis=-1) if greedy else drawn)[:, None, None]
    point, action = (jnp.take_along_axis(all_, which, axis=1)[:, 0] for all_ in (points, actions))
    return point, action


def learn(learner: Learner, state: AgentState, batches: Batch) -> tuple[AgentState, UpdateInfo]:
    """As many updates as batches has leading entries [r, delay, ...]: r times `policy_delay`
    critic updates and one of the actor."""

    def round(state: AgentState, batches: Batch) -> tuple[AgentState, UpdateInfo]:
        for i in range(learner.config.policy_delay):
            batch = jax.tree.map(lambda leaf: leaf[i], batches)  # noqa: B023 - used at once
            state, points, (loss, q, tau) = critic_step(learner, state, batch)
        some = jax.tree.map(lambda leaf: leaf[: learner.config.policy_states], (batch, points))
        obs, point = POINTS[learner.config.points](learner, state, *some)
        state, info = actor_step(learner, state, obs, point)
        scale = state.scale
        return state, UpdateInfo(loss, scale * q, scale * tau, scale, info)

    state, infos = jax.lax.scan(round, state, batches)
    return state, jax.tree.map(jnp.mean, infos)


@partial(jax.jit, static_argnames="learner", donate_argnames="states")
def learn_all(
    learner: Learner, states: AgentState, batches: Batch
) -> tuple[AgentState, UpdateInfo]:
    """`learn` for all seeds at once: every array has a leading axis of seeds."""
    return side_by_side(partial(learn, learner), states, batches)


def side_by_side(function: Callable[..., T], *arguments: Any) -> T:
    """vmap over seeds, on all devices; a single one is spared the batched products, which cost
    half as much again on a CPU."""

    def share(*arguments: Any) -> T:
        if jax.tree.leaves(arguments)[0].shape[0] > 1:
            return jax.vmap(function)(*arguments)
        result = function(*jax.tree.map(lambda leaf: leaf[0], arguments))
        return jax.tree.map(lambda leaf: leaf[None], result)

    return sharded(share, *arguments)


def choose(
    learner: Learner,
    state: AgentState,
    key: Key[Array, ""],
    obs: Float[Array, "e o"],
    greedy: bool = False,
) -> Float[Array, "e d"]:
    """Actions in [-1, 1]^d: of M proposals of the policy, one with probability ∝ exp(Q/tau), or,
    greedy, the best."""
    return one_of(learner, state, key, obs, learner.config.proposals(greedy), greedy)[1]


@partial(jax.jit, static_argnames=("learner", "greedy"))
def act(
    learner: Learner,
    states: AgentState,
    counter: Int[Array, ""],
    obs: Float[Array, "k e o"],
    greedy: bool = False,
) -> Float[Array, "k e d"]:
    """`choose` for all environments of all seeds; its key follows from the seed and a count."""

    def one(state: AgentState, obs: Array) -> Array:
        key = jax.random.fold_in(jax.random.key(state.seed), 2_000_003)
        return choose(learner, state, jax.random.fold_in(key, counter), obs, greedy)

    return side_by_side(one, states, obs)
