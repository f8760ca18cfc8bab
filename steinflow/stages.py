"""Stages of draws for the l points of one state: each is drawn, told, and weighed with the others.

Q does not know the noise level. It is evaluated once at the actions of all points of a state, and
every point weighs all of them by the mixture of all proposals (the balance heuristic, Veach &
Guibas, 1995):

    log w = Q/tau + log N(x; alpha a, sigma^2 I) - log Σ_q n_q q(a)
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.nn import logsumexp
from jaxtyping import Array, Float, Key

from steinflow.draws import Draws, Evaluations, evaluate, materialised, record, uniforms
from steinflow.points import Point, log_likelihood
from steinflow.proposals import AbstractProposal
from steinflow.targets.boltzmann import AbstractTarget


class Stage(NamedTuple):
    """Actions that one proposal a point has drawn; n = l size."""

    proposal: AbstractProposal  # its leaves have the leading axis l
    action: Float[Array, "n d"]


def over_points(points: Point) -> Point:
    """The axes of `jax.vmap` for the l points of a state, which share their support."""
    return Point(0, 0, None)  # type: ignore[arg-type]


def drawn(
    key: Key[Array, ""],
    proposal: AbstractProposal,
    points: Point,
    size: int,
    quasi: bool,
) -> Stage:
    """The actions of one stage.

    Args:
        key: of the state and the stage.
        proposal: its leaves have the leading axis l.
        points: the l points.
        size: draws a point.
        quasi: scrambled Sobol numbers, a net a point.
    """
    count, dim = points.x.shape

    def one(key: Array, proposal: AbstractProposal, point: Point) -> Array:
        return proposal.actions(uniforms(key, size, dim, points.x.dtype, quasi), point)

    keys = jax.random.split(key, count)
    action = jax.vmap(one, (0, 0, over_points(points)))(keys, proposal, points)
    return Stage(proposal, materialised(action.reshape(-1, dim).astype(points.x.dtype)))


def log_priors(stages: Sequence[Stage], points: Point) -> Float[Array, "l k"]:
    """log N(x; alpha a, sigma^2 I) - log Σ_q n_q q(a) for every point and all actions."""
    count, action = points.x.shape[0], jnp.concatenate([stage.action for stage in stages])
    axes = over_points(points)
    if len(stages) == 1 and count == 1:
        return jax.vmap(log_ratio, (0, None, axes))(stages[0].proposal, action, points)
    proposals = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *(s.proposal for s in stages))
    places = (points.x, points.level)
    x, level = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *[places] * len(stages))
    owners = Point(x, level, points.support)
    log_sizes = np.log(np.repeat([s.action.shape[0] / count for s in stages], count))
    log_q = jax.vmap(log_prob, (0, None, axes))(proposals, action, owners)
    mixture = logsumexp(log_q + log_sizes.astype(log_q.dtype)[:, None], axis=0)
    return jax.vmap(log_likelihood, (None, axes))(action, points) - mixture


def log_prob(q: AbstractProposal, action: Array, point: Point) -> Array:
    """log q(a), [k]."""
    return q.log_prob(action, point)


def log_ratio(q: AbstractProposal, action: Array, point: Point) -> Array:
    """log N(x; alpha a, sigma^2 I) - log q(a), [k]."""
    return q.log_ratio(action, point)


AT_POINTS = Draws(None, None, None, None, 0, None)  # type: ignore[arg-type]  # axes of `vmap`


def weighed(
    stages: Sequence[Stage], evaluations: Sequence[Evaluations], points: Point
) -> tuple[Draws, Draws]:
    """All draws so far, and the axes of `jax.vmap` over the points: only log_prior has one."""
    every = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *evaluations)
    action = jnp.concatenate([stage.action for stage in stages])
    log_prior = log_priors(stages, points)
    draws = Draws(action, every.value, every.gradient, every.hessian, log_prior, every.invalid)
    return draws, AT_POINTS


def from_uniforms(
    uniform: Float[Array, "k d"],
    target: AbstractTarget,
    point: Point,
    proposal: AbstractProposal,
    gradient: bool = True,
    hessian: bool = False,
) -> Draws:
    """The draws of one point that given uniform numbers turn into, with a JAX Q."""
    action = materialised(proposal.actions(uniform, point).astype(point.x.dtype))
    reply = evaluate(target, action, gradient, hessian)
    evaluations = record(action, reply, jnp.asarray(target.tau), point.support)
    log_prior = proposal.log_ratio(action, point)
    return Draws(
        action,
        evaluations.value,
        evaluations.gradient,
        evaluations.hessian,
        log_prior,
        evaluations.invalid,
    )
