"""Draws: actions with their weights for one noisy point, and what Q said there.

Estimators see draws, never a key, and all estimators of a comparison are given the same ones.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.nn import softmax
from jaxtyping import Array, Bool, Float, Key

from steinflow.sobol import sobol


class Draws(NamedTuple):
    """k weighted actions for one noisy point."""

    action: Float[Array, "k d"]
    value: Float[Array, " k"]  # Q/tau; -inf where the action is impossible, NaN where Q is bad
    gradient: Float[Array, "k d"]  # of Q/tau; zeros where it was not asked for
    hessian: Float[Array, "k d d"] | None  # of Q/tau; None where it was not asked for
    log_prior: Float[Array, " k"]  # log of N(x; alpha a, sigma^2 I)/q(a|x), up to a constant
    invalid: Bool[Array, " k"]  # NaN or +inf in Q, or anything not finite in its gradient

    @property
    def log_weight(self) -> Float[Array, " k"]:
        """log of p(a|x)/q(a|x), up to a constant; -inf: weight 0."""
        return self.value + self.log_prior


def weights(draws: Draws) -> Float[Array, " k"]:
    """Self-normalised importance weights w, [k]; NaN if any value of Q is NaN or +inf."""
    return softmax(draws.log_weight)


def uniforms(
    key: Key[Array, ""], num_draws: int, dim: int, dtype: Any, quasi: bool = False
) -> Array:
    """Uniform numbers in the open interval (0, 1), [k, d]: independent, or scrambled Sobol."""
    if quasi:
        return sobol(key, num_draws, dim, dtype)
    half_step = 0.5 * np.finfo(dtype).eps
    return jnp.clip(
        jax.random.uniform(key, (num_draws, dim), dtype) + half_step, half_step, 1.0 - half_step
    )


def materialised(action: Float[Array, "k d"]) -> Float[Array, "k d"]:
    """The same actions, computed once.

    XLA's CPU compiler repeats an elementwise computation, here the inverse normal
    distribution, within everything that uses it, and drops `optimization_barrier`. It
    does not see through a product with the identity, which is exact.
    """
    identity = jnp.eye(action.shape[-1], dtype=action.dtype)
    return jnp.matmul(action, identity, precision=jax.lax.Precision.HIGHEST)


def prefix(draws: Draws, num_draws: int) -> Draws:
    """The first num_draws of the draws: a smaller experiment nested in a larger one."""
    return jax.tree.map(lambda leaf: leaf[:num_draws], draws)
