"""The critics' temporal-difference step."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from steinflow.checks import lookup
from steinflow.rl.networks import Critics


class Batch(NamedTuple):
    """b transitions; discount is gamma^n, and 0 where the episode terminated.

    Rewards are in the critics' units, over `AgentState.scale`.
    A truncated episode has its discount: its value goes on (Pardo et al., 2018).
    """

    obs: Float[Array, "b o"]
    action: Float[Array, "b d"]
    reward: Float[Array, " b"]
    next_obs: Float[Array, "b o"]
    discount: Float[Array, " b"]


def hard(values: Float[Array, " m"], tau: Float[Array, ""]) -> Float[Array, " m"]:
    """All on the best of m actions of the policy."""
    return jax.nn.one_hot(jnp.argmax(values), values.size)


def mean(values: Float[Array, " m"], tau: Float[Array, ""]) -> Float[Array, " m"]:
    """The policy's own value."""
    return jnp.full_like(values, 1.0 / values.size)


def soft(values: Float[Array, " m"], tau: Float[Array, ""]) -> Float[Array, " m"]:
    """In proportion to exp(Q/tau)."""
    return jax.nn.softmax(values / tau)


BACKUPS = {"hard": hard, "mean": mean, "soft": soft}  # weights of m actions of a state


def least_of(
    critics: Critics, obs: Float[Array, "b o"], actions: Float[Array, "b m d"]
) -> Float[Array, "b m"]:
    """The least of the critics at each of m actions a state (Fujimoto et al., 2018)."""

    def state(obs: Array, actions: Array) -> Array:
        return jnp.min(jax.vmap(critics, in_axes=(None, 0))(obs, actions), axis=-1)

    return jax.vmap(state)(obs, actions)


def td_target(
    target: Critics,
    batch: Batch,
    actions: Float[Array, "b m d"],
    tau: Float[Array, ""],
    backup: str,
    bonus: Float[Array, "..."] | float = 0.0,
) -> Float[Array, "b k"]:
    """r + discount Q(s', a'), a' mixed by the backup from m actions at s', Q what the critic with
    the least mean there gives (Fujimoto et al., 2018), plus, for SAC, an entropy bonus.

    k is the width of the head: a number, or a distribution.
    """
    head = target.head
    weigh = lookup("backup", backup, BACKUPS)

    def state(
        obs: Array, actions: Array, bonus: Array, reward: Array, discount: Array
    ) -> Float[Array, " k"]:
        outputs = jax.vmap(target.outputs, in_axes=(None, 0))(obs, actions)
        means = jax.vmap(jax.vmap(head.mean))(outputs)
        lowest = jnp.argmin(means, axis=1)
        outputs = jnp.take_along_axis(outputs, lowest[:, None, None], axis=1)[:, 0]
        weights = weigh(jnp.min(means, axis=1) + bonus, tau)
        shifted = jax.vmap(head.shifted, in_axes=(0, 0, None))
        return weights @ shifted(outputs, reward + discount * bonus, discount)

    each = jnp.broadcast_to(jnp.asarray(bonus), actions.shape[:2])
    goal = jax.vmap(state)(batch.next_obs, actions, each, batch.reward, batch.discount)
    return jax.lax.stop_gradient(goal)


def critic_loss(
    critics: Critics, batch: Batch, goal: Float[Array, "b k"]
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Sum over critics of the mean TD loss; and the mean of Q."""
    head = critics.head
    outputs = critics.outputs_over_batch(batch.obs, batch.action)
    losses = jax.vmap(jax.vmap(head.loss), in_axes=(0, None))(outputs, goal)
    q = jax.vmap(jax.vmap(head.mean))(outputs)
    return jnp.sum(jnp.mean(losses, axis=1)), jnp.mean(q)
