"""Truth of fully coupled networks: long importance sampling, with its own error.

Q is evaluated once at the draws of all levels, of actions and of latents, and every posterior
weighs them all by the mixture of their proposals.
"""

import math
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.nn import logsumexp
from jaxtyping import Array, Float

from steinflow.proposals.normal import normal_actions
from steinflow.sobol import sobol
from steinflow.study.leaderboard.grid import Board
from steinflow.study.leaderboard.problems import KINDS, Problem
from steinflow.targets import Networks
from steinflow.targets.latent import log_slope
from steinflow.truncated_normal import log_mass

CHUNK = 2**14


class Posteriors(NamedTuple):
    """n posteriors of one state as Gaussians times exp(f/tau), f the network."""

    mean: Float[Array, "n d"]  # of the Gaussian, in the coordinates of the point
    scale: Float[Array, " n"]
    log_norm: Float[Array, " n"]  # log of its mass in the box, and of its width


def gaussians(net: Networks, x: Array, board: Board, hidden: bool) -> Posteriors:
    """The Gaussian part of the posteriors of points [l, d]: likelihood, and bowl on R^d."""
    dim, (alpha, sigma) = x.shape[-1], (board.levels.alpha, board.levels.sigma)
    bowl = 0.0 if net.support.has_bounds else 1.0 / net.tau
    precision = alpha**2 / sigma**2 + bowl
    mean, scale = (alpha / sigma**2 / precision)[:, None] * x, 1.0 / jnp.sqrt(precision)
    log_norm = dim * (jnp.log(scale) + 0.5 * math.log(2 * np.pi))
    if net.support.has_bounds and not hidden:
        low, high = net.support.bounds(dim)
        a, b = (low - mean) / scale[:, None], (high - mean) / scale[:, None]
        log_norm = log_norm + jnp.sum(log_mass(a, b), axis=-1)
    return Posteriors(mean, scale, log_norm)


def log_density(post: Posteriors, a: Float[Array, "k d"]) -> Float[Array, "n k"]:
    """log of the Gaussians, by one matrix product."""
    square = jnp.sum(post.mean**2, 1)[:, None] - 2.0 * post.mean @ a.T + jnp.sum(a**2, 1)
    return -0.5 * square / post.scale[:, None] ** 2 - post.log_norm[:, None]


class Sums(NamedTuple):
    """Running sums of n posteriors: weights up to exp(top), and their moments."""

    top: Float[Array, " n"]
    weight: Float[Array, " n"]
    square: Float[Array, " n"]  # of weights
    first: Float[Array, "n d"]  # of weight times place
    second: Float[Array, "n d"]
    leverage: Float[Array, "n d"]  # of weight² times place
    leverage2: Float[Array, "n d"]


@partial(jax.jit, static_argnames="board")
def referenced(problem: Problem, board: Board) -> Problem:
    """The problem with scores, traces and the mean squared errors of both."""
    nets: Any = problem.members[KINDS[-1]]
    bounded, (_, levels, dim) = nets.support.has_bounds, problem.x.shape
    shares = 2 * levels if bounded else levels
    each = CHUNK // shares
    rounds = 2**board.log2_reference // (each * shares)

    def state(at: tuple[Networks, Array, Array]) -> Sums:
        net, x, y = at
        plain, hidden = gaussians(net, x, board, False), gaussians(net, y, board, True)

        def chunk(sums: list[Sums], index: Array) -> tuple[list[Sums], None]:
            keys = jax.random.split(jax.random.fold_in(jax.random.key(7), index), shares)
            uniform = jax.vmap(lambda k: sobol(k, each, dim, jnp.float64))(keys)
            draw = partial(normal_actions, support=net.support)
            a = jax.vmap(draw)(uniform[:levels], plain.mean, plain.scale).reshape(-1, dim)
            if bounded:
                normal = jax.scipy.special.ndtri(uniform[levels:])
                latent = hidden.mean[:, None] + hidden.scale[:, None, None] * normal
                a = jnp.concatenate([a, jnp.tanh(latent.reshape(-1, dim))])
                a = jnp.clip(a, -1.0 + 1e-15, 1.0 - 1e-15)
            bowl = 0.0 if bounded else 0.5 * jnp.sum(a**2, axis=-1)
            value = (jax.vmap(net.value)(a) + bowl) / net.tau
            fits, places = [log_density(plain, a)], [a]
            drawn = fits[0]
            if bounded:
                y = jnp.arctanh(a)
                fits, places = [drawn, log_density(hidden, y)], [a, y]
                drawn = jnp.concatenate([drawn, fits[1] - jnp.sum(log_slope(y), axis=-1)])
            mixture = logsumexp(drawn, axis=0)
            return [
                added(s, value + fit - mixture, place)
                for s, fit, place in zip(sums, fits, places, strict=True)
            ], None

        zero, rows = jnp.zeros(levels), jnp.zeros((levels, dim))
        start = [Sums(zero - jnp.inf, zero, zero, rows, rows, rows, rows)] * (1 + bounded)
        sums, _ = jax.lax.scan(chunk, start, jnp.arange(rounds))
        return jax.tree.map(lambda *v: jnp.stack(v), *sums)

    sums = jax.lax.map(state, (nets, problem.x, problem.y))
    alpha, sigma = board.levels.alpha, board.levels.sigma
    mean = sums.first / sums.weight[..., None]
    variance = sums.second / sums.weight[..., None] - mean**2
    noise = sums.leverage2 - 2 * mean * sums.leverage + mean**2 * sums.square[..., None]
    mse = jnp.sum(noise, axis=-1) / sums.weight**2 * (alpha / sigma**2) ** 2
    points = jnp.stack([problem.x, problem.y][: sums.weight.shape[1]], axis=1)
    score = (alpha[:, None] * mean - points) / sigma[:, None] ** 2
    trace = jnp.sum(variance, axis=-1) * (alpha / sigma**2) ** 2
    return problem._replace(
        score=score[:, 0], trace=trace[:, 0], reference_mse=mse[:, 0],
        latent_score=score[:, -1], latent_trace=trace[:, -1], latent_reference_mse=mse[:, -1],
    )  # fmt: skip


def added(sums: Sums, log_weight: Array, place: Array) -> Sums:
    """The sums with more draws: log weights [n, k] and places [k, d]."""
    top = jnp.maximum(sums.top, jnp.max(log_weight, axis=-1))
    factor = jnp.where(jnp.isfinite(sums.top), jnp.exp(sums.top - top), 0.0)
    w = jnp.exp(log_weight - top[:, None])

    return Sums(
        top,
        factor * sums.weight + jnp.sum(w, -1),
        factor**2 * sums.square + jnp.sum(w**2, -1),
        factor[:, None] * sums.first + w @ place,
        factor[:, None] * sums.second + w @ (place**2),
        factor[:, None] ** 2 * sums.leverage + (w**2) @ place,
        factor[:, None] ** 2 * sums.leverage2 + (w**2) @ (place**2),
    )
