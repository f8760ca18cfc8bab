"""Numbers, whatever is given: hypothesis chooses. STEINFLOW_EXAMPLES=20000 in `make soak`."""

import math
import os
from functools import lru_cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import steinflow as sf
from steinflow.diagnostics import effective_sample_size
from steinflow.draws import uniforms, weights
from steinflow.estimators.reduce import reduce
from steinflow.levels import cast
from steinflow.methods import default_proposal
from steinflow.points import Point
from steinflow.stages import from_uniforms
from tests.helpers import random_rotation

PAIRS = ((1, 1), (1, 16), (1, 1024), (2, 4), (2, 64), (3, 16), (3, 256), (6, 64), (8, 1024),
         (17, 16), (17, 256), (32, 4096))  # fmt: skip
QUICK = PAIRS[3:4]  # each compiles for itself
EXAMPLES = int(os.environ.get("STEINFLOW_EXAMPLES", "500"))
CHOSEN = PAIRS if EXAMPLES > 500 else QUICK
TYPES = (jnp.float32, jnp.float64)
PROPERTIES = 16  # functions of a pair and a type below, counting both supports
EACH = math.ceil(EXAMPLES / (PROPERTIES * len(CHOSEN) * len(TYPES)))
WAVES = 3
MATRIX = sf.Method(None, sf.ControlVariate(sf.InSample("matrix")))

pytestmark = [
    pytest.mark.parametrize("dtype", TYPES, ids=["float32", "float64"]),
    pytest.mark.parametrize("pair", CHOSEN, ids=lambda pair: f"d{pair[0]}-N{pair[1]}"),
]
on_both = pytest.mark.parametrize("bounded", [False, True], ids=["real", "box"])
seeded = st.integers(0, 2**31 - 1)


def examples(function):
    """The same ones every time."""
    how = settings(
        max_examples=EACH, deadline=None, derandomize=True, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    return how(function)


class Shape(NamedTuple):
    """Q(a) = size (slope.b - bend.b²/2 + Σ height cos(wave.b + phase)) + shift, where
    b = turn (a - at)/unit."""

    turn: np.ndarray
    at: np.ndarray
    unit: float
    size: float
    shift: float
    slope: np.ndarray
    bend: np.ndarray
    height: np.ndarray
    wave: np.ndarray
    phase: np.ndarray


class Problem(NamedTuple):
    """Everything that an estimate depends on, as numbers."""

    shape: Shape
    tau: float
    alpha: float
    sigma: float
    low: np.ndarray
    high: np.ndarray
    x: np.ndarray


def q(action, shape):
    b = shape.turn @ ((action - shape.at) / shape.unit)
    waves = shape.height * jnp.cos(shape.wave @ b + shape.phase)
    smooth = jnp.sum(shape.slope * b - 0.5 * shape.bend * b**2)
    return shape.size * (smooth + jnp.sum(waves)) + shape.shift


def target_of(problem, bounded):
    support = sf.Box(problem.low, problem.high) if bounded else sf.RealSpace()
    level = sf.Level(problem.alpha, problem.sigma)
    return sf.Boltzmann(q, problem.tau, support, problem.shape), level


@st.composite
def problems(draw, dim, steepest=10.0, widest=True):
    """Q/tau spans up to 10^steepest; levels from 1e-4 to 1 - 1e-4; tau over eight decades."""
    rng = np.random.default_rng(draw(seeded))
    tau = 10.0 ** draw(st.floats(-4.0, 4.0))
    size = tau * 10.0 ** draw(st.floats(-8.0, steepest))
    alpha = draw(st.sampled_from([1e-4, 0.01, 0.5, 0.99, 1.0 - 1e-4]) | st.floats(1e-4, 1 - 1e-4))
    sigma = 1.0 - alpha
    middle, half = rng.uniform(-2.0, 2.0, dim), 10.0 ** rng.uniform(-1.0, 1.0, dim)
    reach = draw(st.sampled_from([0.0, 1.0, 6.0])) if widest else 1.0
    action = middle + half * rng.uniform(-1.0, 1.0, dim)
    shape = Shape(
        np.asarray(random_rotation(jax.random.key(draw(seeded)), dim)), middle,
        10.0 ** draw(st.floats(-1.0, 1.0)), size, 0.0, rng.standard_normal(dim),
        rng.uniform(0.0, 2.0, dim), rng.uniform(0.0, 1.0, WAVES) / WAVES,
        rng.standard_normal((WAVES, dim)) / math.sqrt(dim), rng.uniform(0.0, 6.0, WAVES),
    )  # fmt: skip
    x = alpha * action + reach * sigma * rng.standard_normal(dim)
    return Problem(shape, tau, alpha, sigma, middle - half, middle + half, x)


def methods(dim, count):
    """All that there are, and one that fits a matrix where it can."""
    return sf.ESTIMATORS | ({"matrix": MATRIX} if count > dim else {})


@lru_cache
def compiled(pair, bounded):
    """key, problem -> the estimate of each method; one compilation a precision."""
    dim, count = pair

    @jax.jit
    def estimates(key, problem):
        target, level = target_of(problem, bounded)
        return {
            name: sf.score_target(key, target, problem.x, level, method, num_draws=count)
            for name, method in methods(dim, count).items()
        }

    return estimates


def estimates(pair, bounded, dtype, seed, problem):
    return compiled(pair, bounded)(jax.random.key(seed), in_type(problem, dtype))


def in_type(problem, dtype):
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), problem)


def gap(result, wanted, sigma):
    """Relative to the scores, and to the length that a term has."""
    scale = np.linalg.norm(result) + np.linalg.norm(wanted) + 1.0 / sigma
    return np.linalg.norm(np.asarray(result) - np.asarray(wanted)) / scale


@pytest.mark.slow
@on_both
def test_finite_input_gives_finite_scores(pair, dtype, bounded):
    @examples
    @given(problems(pair[0]), seeded)
    def check(problem, seed):
        for name, estimate in estimates(pair, bounded, dtype, seed, problem).items():
            assert estimate.score.dtype == dtype
            assert np.all(np.isfinite(estimate.score)), (name, estimate)
            assert np.all(np.isfinite(estimate.info.coefficient)), (name, estimate)
            assert np.all(estimate.info.std_error >= 0.0), (name, estimate)
            assert 0.999 <= estimate.info.ess <= 1.001 * pair[1], (name, estimate)
            assert 0.0 < estimate.info.max_weight < 1.001 and estimate.info.num_invalid == 0

    check()


LOOSE = {jnp.float32: 2e-2, jnp.float64: 1e-6}
STEEP = {jnp.float32: 2.0, jnp.float64: 5.0}


@on_both
def test_a_constant_added_to_q_changes_nothing(pair, dtype, bounded):
    @examples
    @given(problems(pair[0], STEEP[dtype]), seeded, st.floats(-10.0, 10.0))
    def check(problem, seed, shift):
        more = problem._replace(shape=problem.shape._replace(shift=shift * problem.tau))
        first = estimates(pair, bounded, dtype, seed, problem)
        for name, estimate in estimates(pair, bounded, dtype, seed, more).items():
            assert gap(estimate.score, first[name].score, problem.sigma) < LOOSE[dtype], name

    check()


COLLAPSED = 1e3  # rounding errors that the effective sample size is above one
LOST = 1e-3  # digits of a draw's place in the box
STRAIGHT = ("gradient", "blend", "idem")  # gradients count by a number that is not fitted


def digits_lost(problem, dtype):
    """The rounding error of a draw's place over the width of the box.

    It is the quantile of a normal, in its standard deviations; what keeps them apart is little
    where the likelihood is wide or far away.
    """
    bounds = problem.alpha * np.stack([problem.low, problem.high])
    far = np.maximum(np.max(np.abs(problem.x - bounds), 0), np.max(np.abs(bounds), 0))
    return float(jnp.finfo(dtype).eps) * np.max(far / (bounds[1] - bounds[0]))


def test_a_box_moved_and_scaled_moves_and_scales_the_score(pair, dtype):
    @examples
    @given(problems(pair[0], STEEP[dtype]), seeded, st.floats(-1.0, 1.0), st.floats(-1.0, 1.0))
    def check(problem, seed, exponent, by):
        assume(digits_lost(problem, dtype) < LOST)
        scale = 10.0**exponent
        moved = problem._replace(
            shape=problem.shape._replace(
                at=scale * problem.shape.at + by, unit=scale * problem.shape.unit
            ),
            sigma=scale * problem.sigma,
            low=scale * problem.low + by,
            high=scale * problem.high + by,
            x=scale * problem.x + problem.alpha * by,
        )
        first = estimates(pair, True, dtype, seed, problem)
        for name, estimate in estimates(pair, True, dtype, seed, moved).items():
            if name == "rfm":  # works in the latent space, whose noise is not scaled
                continue
            wanted, least = first[name].score / scale, problem.sigma
            if name in STRAIGHT:  # terms as long as 1/(alpha half-width), which nearly cancel
                least = min(least, problem.alpha * np.min(problem.high - problem.low) / 2.0)
            assert gap(estimate.score, wanted, scale * least) < LOOSE[dtype], name

    check()


def drawn(key, problem, bounded, count):
    """Independent draws from the likelihood, with all derivatives, and their point."""
    target, level = target_of(problem, bounded)
    target, level = cast((target, level), problem.x.dtype)
    point = Point(problem.x, level, target.support)
    numbers = uniforms(key, count, problem.x.size, problem.x.dtype)
    return from_uniforms(
        numbers, target, point, default_proposal(target.support), hessian=True
    ), point


@lru_cache
def on_draws(pair, bounded):
    """key, problem, change -> estimates before and after the draws are changed."""
    dim, count = pair

    @jax.jit
    def estimates(key, problem, order, turn):
        draws, point = drawn(key, problem, bounded, count)
        both = (draws, point), turned(permuted(draws, order), point, turn)
        table = {}
        for name, method in methods(dim, count).items():
            rule = cast(method.estimator, problem.x.dtype)
            table[name] = tuple(reduce(*each, rule, True).score for each in both)
        return table, effective_sample_size(weights(draws))

    return estimates


def changed(pair, bounded, dtype, seed, problem, order=None, turn=None):
    """The estimates of each method before and after the draws are changed."""
    order = np.arange(pair[1]) if order is None else order
    turn = jnp.asarray(np.eye(pair[0]) if turn is None else turn, dtype)
    key = jax.random.key(seed)
    table, ess = on_draws(pair, bounded)(key, in_type(problem, dtype), order, turn)
    far = 1.0 + np.linalg.norm(problem.x) / problem.sigma
    if ess - 1.0 < COLLAPSED * jnp.finfo(dtype).eps * far:  # then fits rest on rounding
        del table["auto"], table["rfm"]
    return table


def permuted(draws, order):
    return jax.tree.map(lambda leaf: leaf[order], draws)


def turned(draws, point, turn):
    """The draws of the problem in the coordinates turn a; bounds only where axes are swapped."""
    point = point._replace(x=turn @ point.x)
    if point.support.has_bounds:
        low, high = (turn @ bound for bound in point.support.bounds(point.x.size))
        box = sf.Box(jnp.minimum(low, high), jnp.maximum(low, high))
        point = point._replace(support=box)
    turned_draws = draws._replace(
        action=draws.action @ turn.T,
        gradient=draws.gradient @ turn.T,
        hessian=turn @ draws.hessian @ turn.T,
    )
    return turned_draws, point


@on_both
def test_the_order_of_draws_does_not_matter(pair, dtype, bounded):
    @examples
    @given(problems(pair[0], STEEP[dtype]), seeded)
    def check(problem, seed):
        order = np.random.default_rng(seed).permutation(pair[1])
        estimates = changed(pair, bounded, dtype, seed, problem, order)
        for name, (first, again) in estimates.items():
            assert gap(again, first, problem.sigma) < LOOSE[dtype], name

    check()


@on_both
def test_axes_swapped_and_mirrored_swap_and_mirror_the_score(pair, dtype, bounded):
    @examples
    @given(problems(pair[0], STEEP[dtype]), seeded)
    def check(problem, seed):
        rng = np.random.default_rng(seed)
        turn = np.eye(pair[0])[rng.permutation(pair[0])] * rng.choice([-1.0, 1.0], pair[0])
        estimates = changed(pair, bounded, dtype, seed, problem, turn=turn)
        for name, (first, again) in estimates.items():
            assert gap(again, turn @ first, problem.sigma) < LOOSE[dtype], name

    check()


TURNING = (
    "noise",
    "gradient",
    "blend",
    "cvsi",
    "lfgi",
    "matrix",
)  # the others fit every axis by itself


def test_turning_everything_turns_the_score(pair, dtype):
    @examples
    @given(problems(pair[0], STEEP[dtype]), seeded)
    def check(problem, seed):
        turn = np.asarray(random_rotation(jax.random.key(seed), pair[0]))
        estimates = changed(pair, False, dtype, seed, problem, turn=turn)
        for name in set(TURNING) & set(estimates):
            first, again = estimates[name]
            assert gap(again, turn @ first, problem.sigma) < LOOSE[dtype], name

    check()


@on_both
def test_one_dominating_weight_leaves_one_term(pair, dtype, bounded):
    """Of noise and gradient; whatever is fitted stays finite."""
    dim, count = pair

    @jax.jit
    def at(key, problem):
        draws, point = drawn(key, problem, bounded, count)
        heavy = jnp.argmax(draws.log_weight)
        draws = draws._replace(value=draws.value.at[heavy].add(200.0))
        table = {
            name: reduce(draws, point, cast(method.estimator, dtype), True).score
            for name, method in methods(dim, count).items()
        }
        level = point.level
        noise = (level.alpha * draws.action[heavy] - point.x) / level.sigma**2
        return table, noise, draws.gradient[heavy] / level.alpha

    @examples
    @given(problems(dim, STEEP[dtype]), seeded)
    def check(problem, seed):
        table, noise, gradient = at(jax.random.key(seed), in_type(problem, dtype))
        assert gap(table["noise"], noise, problem.sigma) < LOOSE[dtype]
        assert bounded or gap(table["gradient"], gradient, problem.sigma) < LOOSE[dtype]
        assert all(np.all(np.isfinite(score)) for score in table.values())

    check()


@on_both
def test_a_flat_q_weighs_all_draws_alike(pair, dtype, bounded):
    """And its gradient is zero."""

    @examples
    @given(problems(pair[0]), seeded)
    def check(problem, seed):
        flat = problem._replace(shape=problem.shape._replace(size=0.0, shift=problem.shape.size))
        result = estimates(pair, bounded, dtype, seed, flat)
        assert abs(result["noise"].info.ess / pair[1] - 1.0) < LOOSE[dtype]
        assert bounded or np.all(result["gradient"].score == 0.0)
        assert all(np.all(np.isfinite(each.score)) for each in result.values())

    check()


@pytest.mark.slow
@on_both
def test_a_posterior_of_no_width_sees_the_gradient_at_its_place(pair, dtype, bounded):
    """Within what the gradient can change over ten sigma/alpha; far from bounds on a box."""

    @examples
    @given(problems(pair[0], 0.0, widest=False), seeded)
    def check(problem, seed):
        shape = problem.shape._replace(unit=max(problem.shape.unit, 1.0))
        alpha, sigma = 1.0 - 1e-4, 1e-4
        place = np.asarray(shape.at)  # the middle of the box
        thin = problem._replace(shape=shape, alpha=alpha, sigma=sigma, x=alpha * place)
        exact = in_type(thin, jnp.float64)
        slope = jax.grad(q)(exact.shape.at, exact.shape) / (exact.tau * alpha)
        bend = shape.size / thin.tau * (2.0 + np.sum(shape.height * np.sum(shape.wave**2, 1)))
        reach = 10.0 * math.sqrt(pair[0]) * sigma / alpha
        bound = bend / shape.unit**2 * reach / alpha
        result = estimates(pair, bounded, dtype, seed, thin)["gradient"].score
        if not bounded:
            rounding = 100 * float(jnp.finfo(dtype).eps) * np.linalg.norm(slope)
            assert np.linalg.norm(result - slope) < bound + rounding
        assert np.all(np.isfinite(result))

    check()
