"""Draws that the levels of a state share, and adaptive proposals, which learn from them."""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.nn import logsumexp, softmax
from jaxtyping import Array, Float, Int, Key

from steinflow.draws.base import (
    Draws,
    curvature_of,
    evaluate,
    from_uniforms,
    half_width,
    materialised,
    uniforms,
)
from steinflow.draws.surrogate import with_surrogate
from steinflow.levels import Level
from steinflow.proposals import AbstractAdaptiveProposal, AbstractProposal, UniformProposal
from steinflow.proposals.base import log_likelihood
from steinflow.proposals.paired import PairedProposal
from steinflow.sobol import sobol
from steinflow.targets.boltzmann import AbstractTarget


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


TWICE = 40  # draws of all levels together from which a second fit pays, and to reshape on a box
SECOND = 2, 4  # one in so many draws of a fit is from another: on a box, on R^d
LEAST = 1e-3  # of the weights of a first fit on a box, in those of the second beside it
TRUSTED = 0.9  # how far the last reshaping goes by the draws' weights, and not by those for flat Q


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
    half of them, and what it fits to those the other half. From TWICE in all on it draws a third
    (where a level is alone, half), what it fits to those as many as what it then fits to all of
    them; half of both fits' draws on a box, on R^d a fourth of the first one's, is from another
    beside it, which looks `ahead`. A share is uniform where there are many, so that no mode of a
    box is missed for good. The last fit on a box is the draws' surrogate.

    Returns:
        A function from the index of a level to its Draws (vmap it over the levels).
    """
    count, dim = xs.shape
    wide, fits = 0, list[int]()  # draws a level: uniform ones; of each fit
    if isinstance(proposal, AbstractAdaptiveProposal) and num_draws > 1:
        wide = proposal.num_uniform(num_draws, target.support)
        near = num_draws - wide
        each = near // (3 if count > 1 else 4)
        fits = [each, each] if each and count * num_draws >= TWICE else [near // 2]
    first = num_draws - wide - sum(fits)

    def propose(
        key: Array,
        proposals: AbstractProposal,
        each: int,
        axis: int | None,
        numbers: tuple[int, int] = (0, 0),
    ) -> Batch:
        """each actions a level, from one proposal (axis None) or one a level (axis 0); from the
        first of two numbers on, of as many uniform ones as the second says."""
        skipped, in_all = numbers

        def one(key: Array, proposal: AbstractProposal, x: Array, level: Level) -> Array:
            uniform = uniforms(key, in_all or each, dim, xs.dtype, quasi)
            return proposal.actions(uniform[skipped:][:each], x, level, target.support)

        def log_mixture(action: Array) -> Array:
            def log_prob(proposal: AbstractProposal, x: Array, level: Level) -> Array:
                return proposal.log_prob(action, x, level, target.support)

            each_level = jax.vmap(log_prob, in_axes=(axis, 0, 0))(proposals, xs, levels)
            return logsumexp(each_level, axis=0) + math.log(each)

        keys = jax.random.split(key, count)
        action = jax.vmap(one, in_axes=(0, axis, 0, 0))(keys, proposals, xs, levels)
        action = materialised(action.reshape(count * each, dim).astype(xs.dtype))
        value, slope, invalid = evaluate(target, action, with_slope or bool(fits))
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

            draws = Draws(
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
            if fitted is None:
                return draws
            return with_surrogate(draws, level, target.support, own[1], log_mixture)

        return at

    batches, fitted = [propose(key, proposal, first, None)], None
    if not isinstance(proposal, AbstractAdaptiveProposal) or not fits:
        return joined(*batches)

    def learned(turn: tuple[int, int]) -> AbstractProposal:
        at, whose = joined(*batches), jnp.eye(count, dtype=xs.dtype) / first
        others = sum(batch.value.size for batch in batches[1:])
        whose = jnp.pad(jnp.repeat(whose, first, axis=1), ((0, 0), (0, others)))

        def fit(index: Array) -> AbstractProposal:
            draws, level = at(index), Level(levels.alpha[index], levels.sigma[index])
            known = jnp.isfinite(draws.log_weight)  # what is bad is counted where it is drawn
            value, slope = jnp.where(known, draws.value, -jnp.inf), jnp.nan_to_num(draws.slope)
            given = draws.x, level, target.support

            def weighed(value: Array, turn: tuple[int, int] = turn) -> Array:
                w = proposal.weigh(value, draws.log_prior, whose[index], turn)
                return jnp.where(jnp.isfinite(w), w, 1.0 / w.size)

            w = weighed(value)
            fitted = proposal.fit(draws.action, slope, w, *given)
            walls = target.support.has_walls
            if len(fits) == 1 or (not walls and turn[0] == turn[1]):
                return fitted
            flat = softmax(jnp.where(known | ~jnp.any(known), draws.log_prior, -jnp.inf))
            flat = jnp.where(jnp.isfinite(flat), flat, 1.0 / flat.size)
            trusted = flat if turn[0] < turn[1] else TRUSTED * w + (1.0 - TRUSTED) * flat

            def shaped(fitted: AbstractProposal, w: Array) -> AbstractProposal:
                return proposal.reshape(fitted, draws.action, slope, w, *given) if walls else fitted

            first = shaped(fitted, trusted)
            found = proposal.ahead(fitted, value, draws.action, slope, *given, turn)
            part = SECOND[0 if walls else 1]
            if found is None or fits[0] < part:
                return first
            value, left = found
            w = weighed(value, (1, 2))
            if walls:
                w = w * left + LEAST * trusted
                w = w / jnp.sum(w)
            second = shaped(proposal.fit(draws.action, slope, w, *given), w)
            return PairedProposal(first, second, fits[0], fits[0] // part)

        return jax.vmap(fit)(jnp.arange(count))

    for stage, size in enumerate(fits):
        fitted = learned((stage + 1, len(fits)))
        numbers = sum(fits[:stage]), sum(fits)
        batches.append(propose(jax.random.fold_in(key, 1), fitted, size, 0, numbers))
    if wide:
        batches.append(propose(jax.random.fold_in(key, 2), UniformProposal(), wide, None))
    return joined(*batches, fitted=fitted)
