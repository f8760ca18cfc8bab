"""What each estimator errs at the points of a state, against the reference."""

from collections.abc import Mapping
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from steinflow.conversions import posterior_mean
from steinflow.diagnostics import effective_sample_size
from steinflow.draws import Draws, weights
from steinflow.estimators.reduce import weighted_mean
from steinflow.levels import Level
from steinflow.methods import Method
from steinflow.points import Point
from steinflow.proposals import FittedProposal
from steinflow.score import shared_draws
from steinflow.stages import AT_POINTS, over_points
from steinflow.targets.boltzmann import AbstractTarget


class Group(NamedTuple):
    """Methods that can be given the same draws."""

    methods: tuple[tuple[str, Method], ...]

    @property
    def space(self) -> str:
        """The space that they pose the problem in."""
        return self.methods[0][1].space


class Losses(NamedTuple):
    """Of a group at one state, by number of draws and level."""

    error: Float[Array, "m n l"]  # squared errors, means over trials
    ess: Float[Array, "n l"]


def grouped(methods: Mapping[str, Method]) -> list[Group]:
    """Methods by what they draw: the same proposal, space and kind of numbers."""
    groups: dict[str, list[tuple[str, Method]]] = {}
    for name, method in methods.items():
        leaves, tree = jax.tree.flatten(method.proposal)
        content = [(np.shape(x), np.asarray(x).tobytes()) for x in leaves]
        label = f"{tree} {content} {method.space} {method.quasi}"
        groups.setdefault(label, []).append((name, method))
    return [Group(tuple(members)) for members in groups.values()]


def measured(
    key: Key[Array, ""],
    group: Group,
    target: AbstractTarget,
    xs: Float[Array, "l d"],
    levels: Level,
    truth: Float[Array, "l d"],
    sizes: tuple[int, ...],
    trials: int,
    clip: bool,
) -> Losses:
    """Squared errors of a group's methods with every number of draws a level.

    The levels of a state share their draws, as in training; with clip E[a|x] is brought back
    into the box, as the agent does, where the space has bounds. Draws are nested where the
    proposal is fixed: the smaller numbers are the first of the largest.
    """
    method = group.methods[0][1]
    fitted = isinstance(method.proposal, FittedProposal)
    needs = [m.estimator.needs(xs.shape[-1]) for _, m in group.methods]
    gradient, hessian = any(n.gradient for n in needs), any(n.hessian for n in needs)

    def drawn(key: Array, count: int) -> tuple[Draws, Point]:
        return shared_draws(key, target, xs, levels, method, count, gradient, hessian)

    def trial(key: Array) -> tuple[Array, Array]:
        largest, points = drawn(key, sizes[-1])
        results = []
        for size in sizes:
            draws = drawn(key, size)[0] if fitted else nested(largest, size, sizes[-1], len(xs))
            losses = partial(losses_of, group=group, clip=clip)
            results.append(
                jax.vmap(losses, (AT_POINTS, over_points(points), 0))(draws, points, truth)
            )
        error, ess = (jnp.stack(parts) for parts in zip(*results, strict=True))
        return jnp.moveaxis(error, 2, 0), ess  # [m, n, l], [n, l]

    error, ess = jax.lax.map(trial, jax.random.split(key, trials))
    return Losses(jnp.mean(error, axis=0), jnp.mean(ess, axis=0))


def losses_of(
    draws: Draws, point: Point, truth: Float[Array, " d"], group: Group, clip: bool
) -> tuple[Float[Array, " m"], Float[Array, ""]]:
    """Squared errors of a group's methods on the same draws, and the effective sample size."""
    scores = [weighted_mean(draws, m.estimator.terms(draws, point))[0] for _, m in group.methods]
    estimates, (x, level, support) = jnp.stack(scores), point
    if clip and support.has_bounds:
        low, high = support.bounds(truth.size)
        mean = jax.vmap(posterior_mean, (0, None, None))(estimates, x, level)
        estimates = (level.alpha * jnp.clip(mean, low, high) - x) / level.sigma**2
    return jnp.sum((estimates - truth) ** 2, axis=-1), effective_sample_size(weights(draws))


def nested(draws: Draws, size: int, largest: int, count: int) -> Draws:
    """The first `size` draws of every level, weighed by the mixture that stays the same."""
    first = (jnp.arange(count)[:, None] * largest + jnp.arange(size)).ravel()
    shared = jax.tree.map(lambda leaf: leaf[first], draws._replace(log_prior=draws.log_prior.T))
    return Draws(*shared)._replace(log_prior=draws.log_prior[:, first])
