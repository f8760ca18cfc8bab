"""Draws: the only door for randomness in the core.

A draw is an action from a proposal with its importance weight for the posterior p(a|x),
and what Q said there. Estimators see draws, never a key, and all estimators of a
comparison are given the same ones.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.nn import logsumexp, softmax
from jaxtyping import Array, Float, Int, Key

from steinflow.levels import Level
from steinflow.proposals import AbstractAdaptiveProposal, AbstractProposal, UniformProposal
from steinflow.proposals.base import log_likelihood
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


def draw(
    key: Key[Array, ""],
    target: AbstractTarget,
    x: Float[Array, " d"],
    level: Level,
    proposal: AbstractProposal,
    num_draws: int,
    with_slope: bool = True,
    quasi: bool = False,
) -> Draws:
    """num_draws weighted actions for one point at one level."""
    if isinstance(proposal, AbstractAdaptiveProposal):
        levels = jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], level)
        shared = draw_shared(key, target, x[None], levels, proposal, num_draws, with_slope, quasi)
        return shared(jnp.asarray(0))
    uniform = uniforms(key, num_draws, x.size, x.dtype, quasi)
    return from_uniforms(uniform, target, x, level, proposal, with_slope)


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


class Batch(NamedTuple):
    """Actions that one proposal a level has drawn, and what Q said there."""

    action: Float[Array, "k d"]
    value: Float[Array, " k"]  # Q/tau
    slope: Float[Array, "k d"]
    log_likelihood: Float[Array, "l k"]  # up to a constant
    log_mixture: Callable[[Float[Array, "n d"]], Float[Array, " n"]]  # log Σ_l k_l q_l(a)
    num_invalid: Int[Array, ""]


def draw_shared(
    key: Key[Array, ""],
    target: AbstractTarget,
    xs: Float[Array, "l d"],
    levels: Level,
    proposal: AbstractProposal,
    num_draws: int,
    with_slope: bool = True,
    quasi: bool = False,
) -> Callable[[Int[Array, ""]], Draws]:
    """num_draws actions a level for the l points of one state, each weighed at every level.

    Q does not know the level: it is evaluated once at all l k actions, and each level
    weighs them by the deterministic mixture of all proposals (Veach & Guibas, 1995),
    log w = Q/tau + log N(x; alpha a, sigma^2) - log Σ_q k_q q(a). An adaptive proposal draws
    half of them, and what it fits to those the other half; but for a share of uniform ones
    where there are many, so that no mode of a box is missed for good.

    Returns:
        A function from the index of a level to its Draws (vmap it over the levels).
    """
    count, dim = xs.shape
    wide, first = 0, num_draws
    if isinstance(proposal, AbstractAdaptiveProposal) and num_draws > 1:
        wide = proposal.num_uniform(num_draws, target.support)
        first = (num_draws - wide + 1) // 2

    def propose(key: Array, proposals: AbstractProposal, each: int, axis: int | None) -> Batch:
        """each actions a level, from one proposal (axis None) or one a level (axis 0)."""

        def one(key: Array, proposal: AbstractProposal, x: Array, level: Level) -> Array:
            uniform = uniforms(key, each, dim, xs.dtype, quasi)
            return proposal.actions(uniform, x, level, target.support)

        def log_mixture(action: Array) -> Array:
            def log_prob(proposal: AbstractProposal, x: Array, level: Level) -> Array:
                return proposal.log_prob(action, x, level, target.support)

            each_level = jax.vmap(log_prob, in_axes=(axis, 0, 0))(proposals, xs, levels)
            return logsumexp(each_level, axis=0) + math.log(each)

        keys = jax.random.split(key, count)
        action = jax.vmap(one, in_axes=(0, axis, 0, 0))(keys, proposals, xs, levels)
        action = materialised(action.reshape(count * each, dim).astype(xs.dtype))
        value, slope, invalid = evaluate(target, action, with_slope or first < num_draws)
        likelihood = jax.vmap(log_likelihood, in_axes=(None, 0, 0))(action, xs, levels)
        return Batch(action, value, slope, likelihood, log_mixture, invalid)

    def joined(
        *batches: Batch, fitted: AbstractProposal | None = None
    ) -> Callable[[Int[Array, ""]], Draws]:
        action, value, slope = (
            jnp.concatenate([getattr(batch, name) for batch in batches])
            for name in ("action", "value", "slope")
        )
        taper, taper_slope = target.support.taper(action)
        half = half_width(target, xs[0])
        mixtures = [[other.log_mixture(batch.action) for other in batches] for batch in batches]
        log_mixture = jnp.concatenate([logsumexp(jnp.stack(each), axis=0) for each in mixtures])
        likelihood = jnp.concatenate([batch.log_likelihood for batch in batches], axis=1)
        log_priors = likelihood - log_mixture
        invalid = jnp.sum(jnp.stack([batch.num_invalid for batch in batches]))

        def at(index: Int[Array, ""]) -> Draws:
            x, level = xs[index], jax.tree.map(lambda leaf: leaf[index], levels)
            own = [proposal]
            if fitted is not None:
                own.append(jax.tree.map(lambda leaf: leaf[index], fitted))

            def dense(size: int) -> tuple[Array, Array]:
                each = size // len(own)
                numbers = sobol(jax.random.key(0), each, dim, xs.dtype)
                parts = [q.actions(numbers, x, level, target.support) for q in own]
                more = materialised(jnp.concatenate(parts).astype(xs.dtype))
                log_q = jnp.stack([q.log_prob(more, x, level, target.support) for q in own])
                return more, log_likelihood(more, x, level) - logsumexp(log_q, axis=0)

            return Draws(
                x,
                action,
                value,
                value + log_priors[index],
                log_priors[index],
                slope,
                taper,
                taper_slope,
                half,
                curvature_of(target),
                dense,
                invalid,
            )

        return at

    pilot = propose(key, proposal, first, None)
    if not isinstance(proposal, AbstractAdaptiveProposal) or first == num_draws:
        return joined(pilot)
    at, whose = joined(pilot), jnp.repeat(jnp.eye(count, dtype=xs.dtype), first, axis=1) / first

    def fit(index: Array) -> AbstractProposal:
        draws, level = at(index), Level(levels.alpha[index], levels.sigma[index])
        w, slope = weights(draws), jnp.nan_to_num(draws.slope)
        w = jnp.where(jnp.isfinite(w), w, 1.0 / w.size)  # bad draws are counted in both halves
        return proposal.fit(draws.action, slope, w, whose[index], draws.x, level, target.support)

    fitted = jax.vmap(fit)(jnp.arange(count))
    batches = [pilot, propose(jax.random.fold_in(key, 1), fitted, num_draws - first - wide, 0)]
    if wide:
        batches += [propose(jax.random.fold_in(key, 2), UniformProposal(), wide, None)]
    return joined(*batches, fitted=fitted)


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
    )
