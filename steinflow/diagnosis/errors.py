"""What each estimator errs at the points of a state, against the reference."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from steinflow.conversions import posterior_mean
from steinflow.diagnostics import effective_sample_size
from steinflow.draws import Draws, draw_shared, weights
from steinflow.estimators.reduce import weighted_mean
from steinflow.levels import Level
from steinflow.methods import Method, default_proposal
from steinflow.proposals import AbstractAdaptiveProposal
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
    found: dict[str, list[tuple[str, Method]]] = {}
    for name, method in methods.items():
        leaves, tree = jax.tree.flatten(method.proposal)
        content = [(np.shape(x), np.asarray(x).tobytes()) for x in leaves]
        label = f"{tree} {content} {method.space} {method.quasi}"
        found.setdefault(label, []).append((name, method))
    return [Group(tuple(members)) for members in found.values()]


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
    into the box, as the agent does, where the space has walls. Draws are nested where the
    proposal is fixed: the smaller numbers are the first of the largest.
    """
    method = group.methods[0][1]
    posed = method.pose(target)
    proposal = method.proposal or default_proposal(posed.support)
    adaptive = isinstance(proposal, AbstractAdaptiveProposal)
    slope = adaptive or any(m.estimator.needs(xs.shape[-1]).slope for _, m in group.methods)

    def drawn(key: Array, count: int) -> Any:
        return draw_shared(key, posed, xs, levels, proposal, count, slope, method.quasi)

    def losses(draws: Draws, level: Level, truth: Array) -> tuple[Array, Array]:
        scores = [
            weighted_mean(draws, m.estimator.terms(draws, level))[0] for _, m in group.methods
        ]
        found = jnp.stack(scores)
        if clip and posed.support.has_walls:
            low, high = posed.support.bounds(truth.size)
            mean = jax.vmap(posterior_mean, (0, None, None))(found, draws.x, level)
            found = (level.alpha * jnp.clip(mean, low, high) - draws.x) / level.sigma**2
        error = jnp.sum((found - truth) ** 2, axis=-1)
        return error, effective_sample_size(weights(draws))

    def trial(key: Array) -> tuple[Array, Array]:
        every = None if adaptive else drawn(key, sizes[-1])
        found = []
        for size in sizes:
            at = drawn(key, size) if every is None else nested(every, size, sizes[-1], len(xs))
            index = jnp.arange(len(xs))
            found.append(
                jax.vmap(lambda i, at=at: losses(at(i), at_level(levels, i), truth[i]))(index)
            )
        error, ess = (jnp.stack(parts) for parts in zip(*found, strict=True))
        return jnp.moveaxis(error, 2, 0), ess  # [m, n, l], [n, l]

    error, ess = jax.lax.map(trial, jax.random.split(key, trials))
    return Losses(jnp.mean(error, axis=0), jnp.mean(ess, axis=0))


def at_level(levels: Level, index: Array) -> Level:
    """One of several levels."""
    return jax.tree.map(lambda leaf: leaf[index], levels)


def nested(at: Any, size: int, largest: int, count: int) -> Any:
    """The first `size` draws of every level, weighed by the mixture that stays the same."""
    first = (jnp.arange(count)[:, None] * largest + jnp.arange(size)).ravel()
    names = ("action", "value", "log_weight", "log_prior", "slope", "taper", "taper_slope")

    def prefix(index: Array) -> Draws:
        draws = at(index)
        given = {name: getattr(draws, name)[first] for name in names}
        return draws._replace(**given, surrogate=None)

    return prefix
