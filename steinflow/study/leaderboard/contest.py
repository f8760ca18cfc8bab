"""One contest: all methods at one budget on the states of a problem, compiled once."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from steinflow.draws import Draws, from_uniforms, uniforms
from steinflow.estimators.reduce import weighted_mean
from steinflow.levels import Level
from steinflow.methods import ESTIMATORS, Method, auto, default_proposal
from steinflow.score import score_targets
from steinflow.study.leaderboard.grid import GRADIENT, VALUE
from steinflow.study.leaderboard.problems import Members, Problem, boltzmann, boltzmann_of
from steinflow.supports import AbstractSupport
from steinflow.targets.boltzmann import AbstractTarget

# noise is qne; on R^d sdac is qne too, and idem is gradient
PUBLISHED = {"box": ("qne", "gradient", "sdac", "idem", "rfm", "cvsi"),
             "real": ("qne", "gradient", "rfm", "cvsi")}  # fmt: skip
OURS = ("auto", "auto, one level")


def methods(support: str) -> tuple[str, ...]:
    """The methods of a contest, in the order of its results."""
    return (*PUBLISHED[support], *OURS)


def score_of(method: Method, draws: Draws, level: Level) -> Float[Array, " d"]:
    """What a method makes of given draws."""
    return weighted_mean(draws, method.estimator.terms(draws, level))[0]


def joined(first: Draws, second: Draws) -> Draws:
    """Two sets of draws for one point as one."""
    parts = ("action", "log_weight", "slope", "taper", "taper_slope")
    both: dict[str, Any] = {
        n: jnp.concatenate([getattr(first, n), getattr(second, n)]) for n in parts
    }
    return first._replace(**both)


def published(
    key: Key[Array, ""],
    target: AbstractTarget,
    x: Float[Array, " d"],
    y: Float[Array, " d"],
    level: Level,
    budget: int,
) -> list[Float[Array, " d"]]:
    """Scores of the published methods at one point, those that can on the same draws.

    A value costs 1 and a value with its gradient 2: methods that take values only get twice
    the draws.
    """
    support = target.support
    numbers, fewer = uniforms(key, budget // VALUE, x.size, x.dtype), budget // GRADIENT
    likelihood = default_proposal(support)
    first = from_uniforms(numbers[:fewer], target, x, level, likelihood, True)
    rest = from_uniforms(numbers[fewer:], target, x, level, likelihood, False)
    own = {"qne": joined(first, rest)}
    if support.has_walls:
        posed = ESTIMATORS["sdac"].pose(target)
        proposal = ESTIMATORS["sdac"].proposal or likelihood
        own["sdac"] = from_uniforms(numbers, posed, x, level, proposal, False)
        posed = ESTIMATORS["rfm"].pose(target)
        proposal = ESTIMATORS["rfm"].proposal or likelihood
        own["rfm"] = from_uniforms(numbers[:fewer], posed, y, level, proposal, True)
    names = PUBLISHED["box" if support.has_walls else "real"]
    return [score_of(ESTIMATORS[name], own.get(name, first), level) for name in names]


@partial(jax.jit, static_argnames=("budget", "trials", "shared"))
def contest(
    key: Key[Array, ""],
    problem: Problem,
    levels: Level,
    support: AbstractSupport,
    budget: int,
    trials: int,
    shared: tuple[Method, ...] = (auto(),),
) -> Float[Array, "t m b l"]:
    """Squared errors of every method, of each state and level, in every trial."""
    targets, (states, count) = boltzmann(problem, support), problem.x.shape[:2]
    levels = jax.tree.map(jnp.asarray, levels)
    num_draws = budget // GRADIENT

    def theirs(key: Array) -> Array:
        def one(key: Array, tau: Array, member: Members, x: Array, y: Array, at: Level) -> Array:
            target = boltzmann_of(problem.kind, tau, member, support)
            return jnp.stack(published(key, target, x, y, at, budget))

        over_levels = jax.vmap(one, in_axes=(0, None, None, 0, 0, 0))
        over_states = jax.vmap(over_levels, in_axes=(0, 0, 0, 0, 0, None))
        keys = jax.random.split(key, (states, count))
        args = problem.tau, problem.members, problem.x, problem.y
        return jnp.moveaxis(over_states(keys, *args, levels), 2, 0)  # [m, b, l, d]

    def alone(key: Array, x: Array, level: Level) -> Array:
        return score_targets(key, targets, x, level, shared[0], num_draws=num_draws).score

    def trial(key: Array) -> Array:
        keys = jax.random.split(key, 2 + count)
        ours = [
            score_targets(keys[0], targets, problem.x, levels, m, num_draws=num_draws).score
            for m in shared
        ]
        single = jax.vmap(alone)(keys[2:], jnp.moveaxis(problem.x, 1, 0), levels)
        ours.append(jnp.moveaxis(single, 0, 1))
        scores = jnp.concatenate([theirs(keys[1]), jnp.stack(ours)])
        error = jnp.sum((scores - problem.score) ** 2, axis=-1)
        names = PUBLISHED["box" if support.has_walls else "real"]
        if support.has_walls and "rfm" in names:  # in its own space
            here = names.index("rfm")
            hidden = jnp.sum((scores[here] - problem.latent_score) ** 2, axis=-1)
            error = error.at[here].set(hidden)
        return error

    return jax.lax.map(trial, jax.random.split(key, trials))
