"""Contests: all methods at one budget on the states of a problem, compiled once."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from steinflow.draws import uniforms
from steinflow.estimators.reduce import weighted_mean
from steinflow.levels import Level
from steinflow.methods import ESTIMATORS, Method, auto, default_proposal
from steinflow.points import Point
from steinflow.proposals import AbstractProposal
from steinflow.score import score_target, score_targets
from steinflow.stages import from_uniforms
from steinflow.study.leaderboard.grid import GRADIENT, VALUE
from steinflow.study.leaderboard.problems import Members, Problem, boltzmann_of
from steinflow.supports import AbstractSupport
from steinflow.targets.boltzmann import AbstractTarget

# noise is qne; on R^d sdac is qne too, and idem is gradient
PUBLISHED = {"box": ("qne", "gradient", "sdac", "idem", "rfm", "cvsi", "lfgi"),
             "real": ("qne", "gradient", "rfm", "cvsi", "lfgi")}  # fmt: skip
OURS = ("auto", "auto, one level")
IN_CACHE = 128  # draws a level of the trials that are worked on at once


class State(NamedTuple):
    """What a trial needs of a problem, for one state."""

    tau: Float[Array, ""]
    members: Members
    x: Float[Array, "l d"]
    y: Float[Array, "l d"]
    score: Float[Array, "l d"]
    latent_score: Float[Array, "l d"]


def methods(support: str) -> tuple[str, ...]:
    """All methods of a support."""
    return (*PUBLISHED[support], *OURS)


def kind_of(support: AbstractSupport) -> str:
    """The support by its name in the grid."""
    return "box" if support.has_bounds else "real"


def draws_of(method: Method, budget: int, dim: int) -> int:
    """Draws that a budget buys, at least 1: a value costs 1, a gradient 1 more, a Hessian d."""
    needs = method.estimator.needs(dim)
    return max(1, budget // (VALUE + needs.gradient + dim * needs.hessian))


def published(
    key: Key[Array, ""],
    target: AbstractTarget,
    x: Float[Array, " d"],
    y: Float[Array, " d"],
    level: Level,
    budget: int,
) -> list[Float[Array, " d"]]:
    """Scores of the published methods at one point, on the same uniform numbers."""
    numbers = uniforms(key, budget // VALUE, x.size, x.dtype)
    scores = []
    for name in PUBLISHED[kind_of(target.support)]:
        method = ESTIMATORS[name]
        posed, needs = method.pose(target), method.estimator.needs(x.size)
        point = Point(y if method.space == "tanh" else x, level, posed.support)
        first = numbers[: draws_of(method, budget, x.size)]
        proposal = method.proposal
        if not isinstance(proposal, AbstractProposal):
            proposal = default_proposal(posed.support)
        draws = from_uniforms(first, posed, point, proposal, needs.gradient, needs.hessian)
        scores.append(weighted_mean(draws, method.estimator.terms(draws, point))[0])
    return scores


@partial(jax.jit, static_argnames=("budget", "trials"))
def published_contest(
    key: Key[Array, ""],
    problem: Problem,
    levels: Level,
    support: AbstractSupport,
    budget: int,
    trials: int,
) -> Float[Array, "t m b l"]:
    """Squared errors of every published method, of each state and level, in every trial."""
    levels, names = jax.tree.map(jnp.asarray, levels), PUBLISHED[kind_of(support)]

    def trial(keys: Array, case: State) -> Float[Array, "m l"]:
        target = boltzmann_of(problem.kind, case.tau, case.members, support)

        def one(key: Array, x: Array, y: Array, level: Level) -> Array:
            return jnp.stack(published(key, target, x, y, level, budget))

        scores = jax.vmap(one, out_axes=1)(keys[0], case.x, case.y, levels)
        error = jnp.sum((scores - case.score) ** 2, axis=-1)
        if support.has_bounds:  # in its own space
            index = names.index("rfm")
            hidden = jnp.sum((scores[index] - case.latent_score) ** 2, axis=-1)
            error = error.at[index].set(hidden)
        return error

    return over_trials(key, problem, levels, budget, trials, trial)


@partial(jax.jit, static_argnames=("budget", "trials", "shared"))
def our_contest(
    key: Key[Array, ""],
    problem: Problem,
    levels: Level,
    support: AbstractSupport,
    budget: int,
    trials: int,
    shared: tuple[Method, ...] = (auto(),),
) -> Float[Array, "t m b l"]:
    """The same of methods whose levels share draws, and of the first of them level by level."""
    levels, num_draws = jax.tree.map(jnp.asarray, levels), budget // GRADIENT

    def trial(keys: Array, case: State) -> Float[Array, "m l"]:
        target = boltzmann_of(problem.kind, case.tau, case.members, support)
        tau, members = jax.tree.map(lambda leaf: leaf[None], (case.tau, case.members))
        alike = boltzmann_of(problem.kind, tau, members, support)

        def single(key: Array, x: Array, level: Level) -> Array:
            return score_target(key, target, x, level, shared[0], num_draws=num_draws).score

        batched = [
            score_targets(keys[1, 0], alike, case.x[None], levels, m, num_draws=num_draws).score[0]
            for m in shared
        ]
        scores = jnp.stack([*batched, jax.vmap(single)(keys[2], case.x, levels)])
        return jnp.sum((scores - case.score) ** 2, axis=-1)

    return over_trials(key, problem, levels, budget, trials, trial)


def over_trials(
    key: Key[Array, ""],
    problem: Problem,
    levels: Level,
    budget: int,
    trials: int,
    trial: Callable[[Array, State], Float[Array, "m l"]],
) -> Float[Array, "t m b l"]:
    """State after state, and few trials at once: what a step works on stays in the cache.

    A trial has a key a level for the published methods, one for shared draws, and one a level
    for ours level by level: entrants share states and points, and draw independently.
    """
    at_once = max(1, min(trials, IN_CACHE // (budget // GRADIENT)))

    def state(at: tuple[Array, State]) -> Float[Array, "t m l"]:
        keys = jax.random.split(at[0], trials)
        split = partial(jax.random.split, num=(3, levels.alpha.size))
        return jax.lax.map(lambda k: trial(split(k), at[1]), keys, batch_size=at_once)

    cases = State(*(getattr(problem, name) for name in State._fields))
    errors = jax.lax.map(state, (jax.random.split(key, problem.tau.size), cases))
    return jnp.moveaxis(errors, 0, 2)
