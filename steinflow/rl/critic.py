"""The critics' temporal-difference step."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from steinflow.checks import lookup
from steinflow.rl.networks import Critics


class Batch(NamedTuple):
    """b transitions; discount is gamma^n, and 0 where the episode terminated.

    A truncated episode has its discount: its value goes on (Pardo et al., 2018).
    """

    obs: Float[Array, "b o"]
    action: Float[Array, "b d"]
    reward: Float[Array, " b"]
    next_obs: Float[Array, "b o"]
    discount: Float[Array, " b"]


def hard(values: Float[Array, "b m"], tau: Float[Array, ""]) -> Float[Array, " b"]:
    """The best of m actions of the policy."""
    return jnp.max(values, axis=1)


def mean(values: Float[Array, "b m"], tau: Float[Array, ""]) -> Float[Array, " b"]:
    """The policy's own value."""
    return jnp.mean(values, axis=1)


def soft(values: Float[Array, "b m"], tau: Float[Array, ""]) -> Float[Array, " b"]:
    """The mean of m actions, weighed by exp(Q/tau)."""
    return jnp.sum(jax.nn.softmax(values / tau, axis=1) * values, axis=1)


BACKUPS = {"hard": hard, "mean": mean, "soft": soft}


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
) -> Float[Array, " b"]:
    """r + discount V(s'), V the backup of m actions at s' and, for SAC, their entropy bonus."""
    values = least_of(target, batch.next_obs, actions) + bonus
    value = lookup("backup", backup, BACKUPS)(values, tau)
    return jax.lax.stop_gradient(batch.reward + batch.discount * value)


def critic_loss(
    critics: Critics, batch: Batch, goal: Float[Array, " b"]
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Sum over critics of the mean squared TD error; and the mean of Q."""
    q = jax.vmap(critics)(batch.obs, batch.action)
    return jnp.sum(jnp.mean((q - goal[:, None]) ** 2, axis=0)), jnp.mean(q)
