"""Quadratic Q beside a behaviour policy mu that is a mixture of Gaussians: exact truth, and every
estimator on the same draws.

A Gaussian times exp of a quadratic is a Gaussian again. So mu exp(Q/tau) is a mixture of as many
components as mu has, on R^d and, where precisions are diagonal, on a box.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from steinflow.draws import Draws, prefix, uniforms
from steinflow.levels import Level
from steinflow.linear_algebra import least_squares
from steinflow.methods import ESTIMATORS, Method, default_proposal
from steinflow.points import Point, log_likelihood
from steinflow.proposals import FittedProposal
from steinflow.score import score_target
from steinflow.stages import from_uniforms
from steinflow.study.cell import OPTIONS, at_size
from steinflow.study.leaderboard.contest import draws_of
from steinflow.supports import AbstractSupport, RealSpace
from steinflow.targets import Boltzmann, GaussianMixture, Separable, latent

# compiling is most of the time: a third less of it without the emitters (jaxlib 0.10 has the flag)
QUICK: dict[str, Any] | None = OPTIONS and {**OPTIONS, "xla_cpu_use_fusion_emitters": False}
COMPONENTS = 3
EDGE = 0.999  # of the box, where atanh ends
# by name; the other names give the numbers of one of these, or are biased on a box
METHODS = ("noise", "gradient", "blend", "rfm", "cvsi", "lfgi", "auto")
BLIND = "gradient of Q alone"  # its weights have log mu in them, its gradients do not
WEIGHTED = "weighted samples"  # noise expectation where mu is known by its samples alone
ROWS = (*METHODS, BLIND, WEIGHTED)
BASE = {BLIND: "gradient", WEIGHTED: "noise"}  # the estimators that they are


def method_of(row: str) -> Method:
    """The method of a row."""
    return ESTIMATORS[BASE.get(row, row)]


def behaviour(dim: int, support: AbstractSupport) -> GaussianMixture:
    """mu: three Gaussians of different widths and weights, apart from each other.

    In the plane their means lie on a circle of radius .6; standard deviations are .2 to .41.
    """
    component, place = np.arange(COMPONENTS)[:, None], np.arange(dim)
    mean = 0.6 * np.cos(2.0 * np.pi * component / COMPONENTS - 0.5 * np.pi * place)
    precision = 6.0 * 2.0 ** ((component + place) % COMPONENTS)
    offset = np.array([0.0, 0.4, 0.8])
    return GaussianMixture(mean=mean, precision=precision, offset=offset, tau=1.0, support=support)


@jax.jit
def tilted(q: Separable, mu: GaussianMixture) -> GaussianMixture:
    """mu exp(Q/tau) for a quadratic or linear Q."""
    center, prior_precision = jnp.asarray(mu.mean), mu.matrices()
    zero = jnp.zeros_like(center[0])
    linear = jnp.einsum("kij,kj->ki", prior_precision, center)
    offset = mu.offset - 0.5 * jnp.sum(center * linear, axis=-1)
    precision = prior_precision - jax.hessian(q.value)(zero) / q.tau
    linear = linear + jax.grad(q.value)(zero) / q.tau
    mean = jax.vmap(least_squares)(precision, linear[..., None])[..., 0]
    offset = offset + 0.5 * jnp.sum(mean * linear, axis=-1)
    if mu.support.has_bounds:
        precision = jnp.diagonal(precision, axis1=1, axis2=2)
    return GaussianMixture(
        mean=mean, precision=precision, offset=offset, tau=mu.tau, support=mu.support
    )


class Posed(NamedTuple):
    """Noisy points and what is known there: of actions, and of their tanh latents, which are the
    actions themselves on R^d."""

    x: Float[Array, "2 x d"]
    score: Float[Array, "2 x d"]
    trace: Float[Array, "2 x"]


@partial(jax.jit, static_argnames="count", compiler_options=QUICK)
def posed(
    key: Key[Array, ""], exact: Separable | GaussianMixture, level: Level, count: int
) -> Posed:
    """Points x = alpha a + sigma eps with a ~ pi, and the truth."""
    first, second = jax.random.split(key)
    action = exact.sample(first, count)
    hidden = jnp.arctanh(jnp.clip(action, -EDGE, EDGE)) if exact.support.has_bounds else action
    noise = level.sigma * jax.random.normal(second, action.shape, action.dtype)
    targets = (exact, latent(exact)) if exact.support.has_bounds else (exact,)
    points = (level.alpha * action + noise, level.alpha * hidden + noise)
    scores, traces = [], []
    for target, xs in zip(targets, points, strict=False):
        known: Any = target
        scores.append(jax.vmap(partial(known.exact_score, level=level))(xs))
        traces.append(jax.vmap(partial(known.exact_trace, level=level))(xs))
    both = (jnp.stack(points), jnp.stack(scores), jnp.stack(traces))
    return Posed(*(jnp.broadcast_to(each, (2, *each.shape[1:])) for each in both))


@partial(jax.jit, static_argnames="budgets", compiler_options=QUICK)
def estimated(
    keys: Key[Array, "t x"],
    q: Separable,
    mu: GaussianMixture,
    strength: Float[Array, ""],
    points: Float[Array, "2 x d"],
    level: Level,
    budgets: tuple[int, ...],
) -> tuple[Float[Array, "t x n e d"], Float[Array, "t x n e"]]:
    """Scores and effective sample sizes of all ROWS at all budgets, in evaluations of Q.

    The strength multiplies log mu. It is data, so that the policy with a prior (1) and the one
    without (0) are one compilation; without it WEIGHTED estimates nothing.
    """
    one = partial(answers, q=q, mu=mu, strength=strength, level=level, budgets=budgets)
    places = jnp.moveaxis(points, 1, 0)
    return jax.lax.map(lambda keys: jax.vmap(one)(keys, places), keys)


def answers(
    key: Key[Array, ""],
    place: Float[Array, "2 d"],
    q: Separable,
    mu: GaussianMixture,
    strength: Float[Array, ""],
    level: Level,
    budgets: tuple[int, ...],
) -> tuple[Float[Array, "n e d"], Float[Array, "n e"]]:
    """The same at one point in one trial. Draws of a smaller budget are the first of the largest;
    `auto` has its own."""
    target = Boltzmann(
        q=q.value,
        tau=q.tau,
        support=q.support,
        log_prior=lambda action: strength * mu.value(action),
    )
    shared, second = jax.random.split(key)
    draws, points = entrants(shared, target, q, mu, place, level, budgets[-1])
    scores, sizes = [], []
    for budget in budgets:
        for row in ROWS:
            method = method_of(row)
            size = draws_of(method, budget, place.shape[-1])
            if row in draws:
                some = prefix(draws[row], size)
                answer = at_size(some, points[row], {row: method.estimator})
                scores.append(answer.score[0])
                sizes.append(answer.ess)
            else:
                estimate = score_target(second, target, place[0], level, method, num_draws=size)
                scores.append(estimate.score)
                sizes.append(estimate.info.ess)
    shape = len(budgets), len(ROWS)
    return jnp.stack(scores).reshape(*shape, -1), jnp.stack(sizes).reshape(shape)


def entrants(
    key: Key[Array, ""],
    target: Boltzmann,
    q: Separable,
    mu: GaussianMixture,
    place: Float[Array, "2 d"],
    level: Level,
    budget: int,
) -> tuple[dict[str, Draws], dict[str, Point]]:
    """What rows estimate from, and where: draws from the likelihood, with Hessians and in the
    tanh latent of a box where they are needed. A method that fits its proposal has none."""
    uniform, sample = jax.random.split(key)
    dim, support, real = place.shape[-1], target.support, RealSpace()
    action, hidden = Point(place[0], level, support), Point(place[1], level, real)
    numbers = uniforms(uniform, budget, dim, place.dtype)
    common = from_uniforms(numbers, target, action, default_proposal(support))
    draws: dict[str, Draws] = {}
    points = dict.fromkeys(ROWS, action)
    for row in ROWS:
        method = method_of(row)
        size = draws_of(method, budget, dim)
        if method.space == "tanh" and support.has_bounds:
            points[row], proposal = hidden, default_proposal(real)
            draws[row] = from_uniforms(numbers[:size], latent(target), hidden, proposal)
        elif method.estimator.needs(dim).hessian:
            few = prefix(common, size)
            hessian = jax.vmap(jax.hessian(target.value))(few.action) / target.tau
            draws[row] = few._replace(hessian=hessian)
        elif not isinstance(method.proposal, FittedProposal):
            draws[row] = common
    q_gradient = jax.vmap(jax.grad(q.value))(common.action) / target.tau
    draws[BLIND] = common._replace(gradient=q_gradient)
    draws[WEIGHTED] = samples_of(sample, q, mu, action, budget)
    return draws, points


def samples_of(
    key: Key[Array, ""], q: Separable, mu: GaussianMixture, point: Point, count: int
) -> Draws:
    """Samples of mu, weighed by exp(Q/tau) and the likelihood: nobody asks for the density."""
    action = mu.sample(key, count)
    value = jax.vmap(q.value)(action) / q.tau
    nothing = jnp.zeros_like(action)
    return Draws(action, value, nothing, None, log_likelihood(action, point), jnp.isnan(value))
