"""Draws: the only door for randomness in the core.

A draw is an action from a proposal with its importance weight for the posterior p(a|x),
and what Q said there. Estimators see draws, never a key, and all estimators of a
comparison are given the same ones.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.nn import softmax
from jaxtyping import Array, Float, Int, Key

from steinflow.levels import Level
from steinflow.proposals import AbstractProposal
from steinflow.sobol import sobol
from steinflow.targets.boltzmann import AbstractTarget


class Draws(NamedTuple):
    """k weighted actions for one noisy point x."""

    x: Float[Array, " d"]
    action: Float[Array, "k d"]
    value: Float[Array, " k"]  # Q/tau
    log_weight: Float[Array, " k"]  # log of p(a|x)/q(a|x), up to a constant; -inf: weight 0
    log_prior: Float[Array, " k"]  # the same without Q: log of N(x; alpha a, sigma^2 I)/q(a|x)
    slope: Float[Array, "k d"]  # grad log pi = grad Q/tau; zeros where it was not asked for
    taper: Float[Array, "k d"]  # phi_j(a_j) of the support
    taper_slope: Float[Array, "k d"]  # d phi_j/d a_j
    half_width: Float[Array, " d"]  # of the support; infinite on R^d
    curvature: Callable[[Float[Array, " d"]], Float[Array, "d d"]]  # a -> -hessian of Q/tau
    dense: Callable[[int], tuple[Float[Array, "m d"], Float[Array, " m"]]]  # m more actions from
    # the proposals of this point, with their log_prior; Q is not asked there
    num_invalid: Int[Array, ""]  # NaN or +inf among Q, anything not finite among its gradients
    surrogate: "Surrogate | None" = None  # a law near the posterior, where one is known


class Surrogate(NamedTuple):
    """A law of independent coordinates, which stands for the posterior where that is not known."""

    log_weight: Float[Array, " k"]  # of the draws for it, up to a constant
    slope: Float[Array, "k d"]  # grad log pi at the draws, if it were the posterior of a normal pi
    nodes: Draws  # where expectations of functions of one coordinate under it are sums: n actions
    share: Float[Array, "n d"]  # of each node, dimension by dimension


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


def evaluate(
    target: AbstractTarget, action: Float[Array, "k d"], with_slope: bool
) -> tuple[Float[Array, " k"], Float[Array, "k d"], Int[Array, ""]]:
    """Q/tau [k], its gradient [k, d] (zeros if not asked for) and the number of bad draws.

    Outside the support the value is -inf and Q is asked at the nearest point inside.
    """
    low, high = target.support.bounds(action.shape[-1])
    inside = jnp.all((action >= low) & (action <= high), axis=-1)
    action = jnp.clip(action, low, high).astype(action.dtype)
    if with_slope:
        value, slope = jax.vmap(jax.value_and_grad(target.value))(action)
    else:
        value, slope = jax.vmap(target.value)(action), jnp.zeros_like(action)
    possible = inside & (value != -jnp.inf)
    bad = jnp.isnan(value) | (value == jnp.inf) | ~jnp.all(jnp.isfinite(slope), axis=-1)
    value = jnp.where(bad, jnp.nan, value) / target.tau
    value = jnp.where(possible | bad & inside, value, -jnp.inf)
    slope = jnp.where(possible[:, None], slope, 0.0) / target.tau
    return value, slope, jnp.sum(bad & possible)


def curvature_of(target: AbstractTarget) -> Callable[[Array], Array]:
    """a -> -hessian of Q/tau at a, [d, d]."""
    return lambda action: -jax.hessian(target.value)(action) / target.tau


def half_width(target: AbstractTarget, x: Float[Array, " d"]) -> Float[Array, " d"]:
    """Half the width of the support in every dimension."""
    low, high = target.support.bounds(x.size)
    return (0.5 * (high - low)).astype(x.dtype)


def from_uniforms(
    uniform: Float[Array, "k d"],
    target: AbstractTarget,
    x: Float[Array, " d"],
    level: Level,
    proposal: AbstractProposal,
    with_slope: bool = True,
) -> Draws:
    """The draws that given uniform numbers turn into.

    log w = Q/tau + log N(x; alpha a, sigma^2 I) - log q(a|x), up to a constant.
    """
    action = materialised(proposal.actions(uniform, x, level, target.support).astype(x.dtype))
    value, slope, num_invalid = evaluate(target, action, with_slope)
    taper, taper_slope = target.support.taper(action)
    log_prior = proposal.log_ratio(action, x, level, target.support)

    def dense(count: int) -> tuple[Array, Array]:
        numbers = sobol(jax.random.key(0), count, x.size, x.dtype)
        more = materialised(proposal.actions(numbers, x, level, target.support).astype(x.dtype))
        return more, proposal.log_ratio(more, x, level, target.support)

    return Draws(
        x,
        action,
        value,
        value + log_prior,
        log_prior,
        slope,
        taper,
        taper_slope,
        half_width(target, x),
        curvature_of(target),
        dense,
        num_invalid,
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
    first = slice(None, num_draws)
    return draws._replace(
        action=draws.action[first],
        value=draws.value[first],
        log_weight=draws.log_weight[first],
        log_prior=draws.log_prior[first],
        slope=draws.slope[first],
        taper=draws.taper[first],
        taper_slope=draws.taper_slope[first],
        surrogate=None,
    )
