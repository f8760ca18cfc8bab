"""One cell of the study: draws, every estimator at every N, truth, measures.

Three compiled functions a dimension and support (one of them on each device): families,
temperatures and levels are data.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtri
from jaxtyping import Array, Float, Key

from steinflow.diagnostics import effective_sample_size
from steinflow.draws import Draws, prefix, uniforms, weights
from steinflow.estimators import (
    AbstractEstimator,
    Constant,
    ControlVariate,
    Curvature,
    GradientExpectation,
    InSample,
    NoiseExpectation,
)
from steinflow.estimators.reduce import weighted_mean
from steinflow.executors.devices import on_each
from steinflow.levels import Level
from steinflow.methods import auto, default_proposal
from steinflow.points import Point
from steinflow.stages import from_uniforms
from steinflow.study.conditions import BLEND_STEPS, Grid
from steinflow.study.extras import Extra
from steinflow.study.measure import (
    Coverage,
    Measures,
    Truth,
    coverage,
    measure,
    network_cosine,
)
from steinflow.targets import Separable

QUERY_POINTS = 20261126  # key of their design
TRIALS_AT_ONCE = 2  # small enough for the cache, large enough to vectorise


class Randomness(NamedTuple):
    """All random numbers of a dimension, shared by every cell: comparisons are paired."""

    draws: tuple[Float[Array, "t x k d"], ...]  # uniform numbers behind the draws, in shares
    action: Float[Array, "x d"]  # uniform numbers behind a ~ pi
    noise: Float[Array, "x d"]  # eps of x = alpha a + sigma eps


class Exact(NamedTuple):
    """Exact expectations of a cell, for the figures and claims."""

    norm_noise: Float[Array, ""]  # mean |E[-eps|x]|, what eq. (1) tends to as printed
    norm_gradient: Float[Array, ""]  # likewise eq. (2): mean |E[grad log pi|x]|, bounds added
    score_norm2: Float[Array, ""]  # mean |s*|^2
    trace: Float[Array, ""]  # mean tr Cov[u|x]
    best_c: Float[Array, ""]  # the c of least variance under exact draws, calibrated
    best_c_printed: Float[Array, ""]  # and of the blend as printed
    flux_norm: Float[Array, ""]  # root mean square length of the boundary flux


class AtSize(NamedTuple):
    """All estimates from the first N draws, for one point (and stacked: a leading axis N)."""

    score: Float[Array, "*n e d"]
    std_error: Float[Array, "*n e d"]
    ess: Float[Array, "*n"]
    max_weight: Float[Array, "*n"]


class CellResult(NamedTuple):
    """Everything that is kept of a cell; leading axes N and estimator."""

    measures: Measures  # each [n, e]
    coverage: Coverage  # each [n, methods, bins]
    ess: Float[Array, " n"]
    ess_se: Float[Array, " n"]
    max_weight: Float[Array, " n"]
    exact: Exact
    pair: Float[Array, "2 2 t x d"]  # scores by (least, most N) x (noise, gradient)
    network: Float[Array, "n t"]  # cosine of the two losses' parameter gradients
    score: Float[Array, "x d"]  # s*


def methods(box: bool, more: tuple[Extra, ...] = ()) -> dict[str, AbstractEstimator]:
    """The estimators of a study, by the name they have in its rows; the added ones come last."""
    boundary = "vanishing" if box else None
    estimators: dict[str, AbstractEstimator] = {
        "noise": NoiseExpectation(),
        "gradient": GradientExpectation(boundary),
        "oracle-scalar": ControlVariate(Constant(0.0)),  # C is filled in, from the truth
        "curvature": ControlVariate(Curvature()),
        "in-sample-scalar": ControlVariate(InSample("scalar")),
        "in-sample-diagonal": ControlVariate(InSample("diagonal")),
        "in-sample-matrix": ControlVariate(InSample("matrix")),
        "auto": auto().estimator,  # on the draws that all share
    }
    if box:
        estimators["gradient-ignored"] = GradientExpectation("ignored")
        del estimators["curvature"]  # its formula is for R^d
    return estimators | {extra.name: extra.estimator for extra in more}


def names(box: bool, more: tuple[Extra, ...] = ()) -> list[tuple[str, str, float | None]]:
    """(estimator, convention, c) of each row of a condition, in the order of CellResult."""
    blends: list[float | None] = [float(c) for c in np.linspace(0.0, 1.0, BLEND_STEPS).round(4)]
    rows: list[tuple[str, str, float | None]] = [
        (name, "calibrated", None) for name in methods(box, more)
    ]
    rows += [("blend", "calibrated", c) for c in blends]
    rows += [("noise", "as printed", None), ("gradient", "as printed", None)]
    return rows + [("blend", "as printed", c) for c in blends]


def randomness(key: Key[Array, ""], grid: Grid, dim: int) -> Randomness:
    """The random numbers of a grid in dimension dim; the query points are an even design, the same
    for every seed."""
    shape = (grid.trials, grid.query_points, grid.num_draws[-1], dim)
    rows = uniforms(jax.random.fold_in(key, dim), int(np.prod(shape[:-1])), dim, jnp.float64)
    of_points = jax.random.key(QUERY_POINTS)
    net = uniforms(of_points, grid.query_points, 2 * dim, jnp.float64, quasi=True)
    return Randomness((rows.reshape(shape),), net[:, :dim], ndtri(net[:, dim:]))


# jaxlib 0.10 sends sums over short axes to a slow library (jax issue 37465): a quarter of a cell
OPTIONS = {"xla_cpu_experimental_ynn_fusion_type": ""} if jax.__version__ < "0.11" else None


def run_cell(
    target: Separable,
    level: Level,
    random: Randomness,
    sizes: tuple[int, ...],
    more: tuple[Extra, ...] = (),
) -> CellResult:
    """Measure every estimator of a cell at every sample size; trials are shared out among the
    devices."""
    x, truth, exact = posed(target, level, random.action, random.noise)
    function = partial(estimated, sizes=sizes, more=more)
    results = on_each(function, random.draws, target, level, x, exact.best_c)
    return measured(results, level, truth, exact)


@partial(jax.jit, compiler_options=OPTIONS)
def posed(
    target: Separable, level: Level, action: Float[Array, "x d"], noise: Float[Array, "x d"]
) -> tuple[Float[Array, "x d"], Truth, Exact]:
    """Query points, and what is known exactly there."""
    x = level.alpha * target.quantile(action) + level.sigma * noise
    return (x, *exactly(target, level, x))


@partial(jax.jit, static_argnames=("sizes", "more"), compiler_options=OPTIONS)
def estimated(
    uniforms: Float[Array, "t x k d"],
    target: Separable,
    level: Level,
    x: Float[Array, "x d"],
    best_c: Float[Array, ""],
    sizes: tuple[int, ...],
    more: tuple[Extra, ...],
) -> AtSize:
    """All estimates at all sizes, [t, x, n, ...]."""
    estimators = methods(target.support.has_bounds, more)
    estimators["oracle-scalar"] = ControlVariate(Constant(best_c))
    proposal = default_proposal(target.support)
    hessian = any(estimator.needs(x.shape[-1]).hessian for estimator in estimators.values())

    def one(uniform: Array, x: Array) -> AtSize:
        point = Point(x, level, target.support)
        draws = from_uniforms(uniform, target, point, proposal, True, hessian)
        each = [at_size(prefix(draws, size), point, estimators) for size in sizes]
        return jax.tree.map(lambda *leaves: jnp.stack(leaves), *each)

    def trial(uniform: Float[Array, "x k d"]) -> AtSize:
        return jax.vmap(one)(uniform, x)

    return jax.lax.map(trial, uniforms, batch_size=TRIALS_AT_ONCE)


@partial(jax.jit, compiler_options=OPTIONS)
def measured(results: AtSize, level: Level, truth: Truth, exact: Exact) -> CellResult:
    """Measures of all estimates, from [t, x, n, ...]."""
    results = jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 2, 0), results)
    measures, covers, ess, ess_se, heaviest = jax.lax.map(
        lambda result: measure_size(result, truth, level), results
    )
    pair = results.score[jnp.array([0, -1])][:, :, :, :2]
    pair = jnp.moveaxis(pair, 3, 1)
    noise, gradient = results.score[:, :, :, 0], results.score[:, :, :, 1]
    network = jax.vmap(network_cosine, in_axes=(0, 0, None))(gradient, noise, truth)
    return CellResult(measures, covers, ess, ess_se, heaviest, exact, pair, network, truth.score)


def at_size(draws: Draws, point: Point, estimators: dict[str, AbstractEstimator]) -> AtSize:
    """Every estimator's score and standard error from the same draws."""
    dim = point.x.size
    scores, errors = [], []
    for estimator in estimators.values():
        fitted = estimator.needs(dim).fitted
        if fitted and draws.action.shape[0] < fitted + 1:  # not defined at this N
            score = std_error = jnp.full(dim, jnp.nan)
        else:
            score, _ = weighted_mean(draws, estimator.terms(draws, point))
            spread = estimator.independent_terms(draws, point)
            _, std_error = weighted_mean(draws, spread, fitted)
        scores.append(score)
        errors.append(std_error)
    w = weights(draws)
    return AtSize(jnp.stack(scores), jnp.stack(errors), effective_sample_size(w), jnp.max(w))


def measure_size(
    result: AtSize, truth: Truth, level: Level
) -> tuple[Measures, Coverage, Array, Array, Array]:
    """Measures of all estimators, blends and conventions at one N, from [t, x, e, d]."""
    scores, errors = (jnp.transpose(v, (2, 3, 0, 1)) for v in (result.score, result.std_error))
    ess, heaviest = result.ess, result.max_weight
    noise, gradient = scores[0], scores[1]
    c = jnp.linspace(0.0, 1.0, BLEND_STEPS)[:, None, None, None]
    printed_noise, printed_gradient = level.sigma * noise, level.alpha * gradient
    calibrated = jnp.concatenate([scores, (1 - c) * noise + c * gradient])
    printed = jnp.concatenate(
        [
            jnp.stack([printed_noise, printed_gradient]),
            (1 - c) * printed_noise + c * printed_gradient,
        ]
    )
    over = jax.vmap(measure, in_axes=(0, None, None))
    measures = jax.tree.map(
        lambda *parts: jnp.concatenate(parts),
        over(calibrated, noise, truth),
        over(printed, printed_noise, truth),
    )
    covers = jax.vmap(coverage, in_axes=(0, 0, None, None))(scores, errors, ess, truth)
    mean_ess = jnp.mean(ess, axis=1)
    ess_se = jnp.std(mean_ess, ddof=1) / jnp.sqrt(mean_ess.size)
    return measures, covers, jnp.mean(ess), ess_se, jnp.mean(heaviest)


def exactly(target: Separable, level: Level, x: Float[Array, "x d"]) -> tuple[Truth, Exact]:
    """Truth at the query points, by quadrature."""

    def at(point: Array) -> tuple[Array, Array, Array]:
        """E[grad log pi|x], Σ_j E[phi_j|x] and E[|h|^2|x] at one query point."""
        rule = target.posterior(point, level)
        turned, weight = rule.point.T, rule.weight.T  # separable: one dimension at a time

        def slope_at(b: Array) -> Array:
            return jax.grad(lambda v: target.value(target.rotation.T @ v))(b) / target.tau

        slope = jax.vmap(slope_at)(turned)
        boundary_weight, weight_gradient = target.support.boundary_weight(turned)
        noise = (level.alpha * turned - target.rotation @ point) / level.sigma**2
        h = boundary_weight * (slope - level.alpha * noise) + weight_gradient
        mean = target.rotation.T @ jnp.sum(weight * slope, axis=0)
        return mean, jnp.sum(weight * boundary_weight), jnp.sum(weight * h**2)

    score = jax.vmap(lambda point: target.exact_score(point, level))(x)
    trace = jax.vmap(lambda point: target.exact_trace(point, level))(x)
    mean_slope, tapers, squares = jax.vmap(at)(x)
    flux = jax.vmap(lambda point: target.exact_flux(point, level))(x)
    inside, fisher = jnp.mean(tapers), jnp.mean(squares)  # fisher: mean tr E[h h^T|x]
    gap, cross = level.alpha - level.sigma, -inside * level.alpha / level.sigma**2  # tr Cov[u, h]
    variance = jnp.mean(trace)
    printed = -level.sigma * (gap * variance + cross)
    printed = printed / (gap**2 * variance + 2.0 * gap * cross + fisher)
    gram, prediction = policy_network(x)
    length = jax.vmap(jnp.linalg.norm)
    exact = Exact(
        norm_noise=jnp.mean(length(level.sigma * score)),
        norm_gradient=jnp.mean(length(mean_slope - level.alpha * flux)),
        score_norm2=jnp.mean(jnp.sum(score**2, axis=-1)),
        trace=variance,
        best_c=-level.alpha * cross / fisher,
        best_c_printed=printed,
        flux_norm=jnp.sqrt(jnp.mean(jnp.sum(flux**2, axis=-1))),
    )
    return Truth(score, trace, gram, prediction), exact


def policy_network(x: Float[Array, "x d"]) -> tuple[Array, Array]:
    """J J^T and output of a fixed random two-layer tanh network of width 32, at x."""
    dim, width = x.shape[-1], 32
    rng = np.random.default_rng(0)
    sizes = [(width, dim), (width, width), (dim, width)]
    parameters = [jnp.asarray(rng.standard_normal(s) / np.sqrt(s[1])) for s in sizes]

    def network(parameters: list[Array], x: Array) -> Array:
        first, second, last = parameters
        return last @ jnp.tanh(second @ jnp.tanh(first @ x))

    jacobian = jax.vmap(jax.jacrev(network), in_axes=(None, 0))(parameters, x)
    rows = jnp.concatenate([j.reshape(x.size, -1) for j in jacobian], axis=1)
    prediction = jax.vmap(network, in_axes=(None, 0))(parameters, x)
    return rows @ rows.T, prediction
