"""What Q says at actions: evaluated as a JAX function, or reported by anything else."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from steinflow.supports import AbstractSupport
from steinflow.targets.boltzmann import AbstractTarget


class Reply(NamedTuple):
    """Q in its own units at k actions; the derivatives are None where they were not asked for."""

    value: Float[Array, " k"]
    gradient: Float[Array, "k d"] | None
    hessian: Float[Array, "k d d"] | None


class Evaluations(NamedTuple):
    """Q/tau at k actions, with what is impossible and what is invalid apart."""

    value: Float[Array, " k"]
    gradient: Float[Array, "k d"]
    hessian: Float[Array, "k d d"] | None
    invalid: Bool[Array, " k"]


def evaluate(
    target: AbstractTarget, action: Float[Array, "k d"], gradient: bool, hessian: bool
) -> Reply:
    """Q, and its derivatives where they are needed, at the nearest actions on the support."""
    low, high = (b.astype(action.dtype) for b in target.support.bounds(action.shape[-1]))
    action = jnp.clip(action, low, high)
    if not gradient:
        return Reply(jax.vmap(target.value)(action), None, None)
    value, slope = jax.vmap(jax.value_and_grad(target.value))(action)
    return Reply(value, slope, jax.vmap(jax.hessian(target.value))(action) if hessian else None)


def record(
    action: Float[Array, "k d"], reply: Reply, tau: Float[Array, ""], support: AbstractSupport
) -> Evaluations:
    """What was said of Q, in units of tau.

    A value of -inf, or an action outside the support, is impossible: weight zero. NaN or +inf
    in Q, and anything not finite in its derivatives, is invalid.
    """
    dtype, (low, high) = action.dtype, support.bounds(action.shape[-1])
    value = reply.value.astype(dtype)
    gradient = jnp.zeros_like(action) if reply.gradient is None else reply.gradient.astype(dtype)
    inside = jnp.all((action >= low) & (action <= high), axis=-1)
    possible = inside & (value != -jnp.inf)
    bad = jnp.isnan(value) | (value == jnp.inf) | ~jnp.all(jnp.isfinite(gradient), axis=-1)
    value = jnp.where(bad, jnp.nan, value) / tau
    value = jnp.where(possible | bad & inside, value, -jnp.inf)
    gradient = jnp.where(possible[:, None], gradient, 0.0) / tau
    hessian = reply.hessian
    if hessian is not None:
        hessian = jnp.where(possible[:, None, None], hessian.astype(dtype), 0.0) / tau
    return Evaluations(value, gradient, hessian, bad & possible)
