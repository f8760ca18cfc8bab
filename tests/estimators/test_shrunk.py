"""The shrunk control variate: its formulas once more in NumPy, where it is exact, and its error."""

from statistics import NormalDist

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

import steinflow as sf
from steinflow.draws import Draws, weights
from steinflow.estimators.reduce import reduce
from steinflow.estimators.shrunk import regressed, steep_stein_terms
from steinflow.levels import cast
from steinflow.points import Point
from steinflow.targets import GaussianMixture, Linear, random_networks
from tests.helpers import draws_at, exact_score, grid_posterior, mixture, noised, proposed

COUNT, DIM = 13, 2
LOW, HIGH = np.array([-1.0, 0.0]), np.array([1.0, 3.0])
SUPPORTS = {"real": sf.RealSpace(), "box": sf.Box(LOW, HIGH)}
X = np.array([0.4, 1.1])
FOLDS = 4


def made_up(kind):
    """Draws, whose u is explained well by h, or hardly, or that one of them dominates."""
    rng = np.random.default_rng(5)
    action = rng.uniform(LOW, HIGH, (COUNT, DIM))
    gradient = np.array([1.0, -2.0]) - np.array([3.0, 0.5]) * action
    gradient += {"explained": 0.3, "noisy": 60.0, "one": 0.3}[kind] * rng.normal(size=(COUNT, DIM))
    value = rng.normal(size=COUNT)
    value[4] += 9.0 * (kind == "one")
    draws = Draws(*map(jnp.asarray, (action, value, gradient)), None, jnp.zeros(COUNT),
                  jnp.zeros(COUNT) > 0)  # fmt: skip
    return draws, action, np.exp(value) / np.exp(value).sum(), gradient


def steep_by_hand(action, gradient, level, bounds):
    """h/alpha with phi = 1 - r^(2p), and u."""
    alpha, sigma = level
    u = (alpha * action - X) / sigma**2
    h = gradient - alpha * u
    if bounds:
        half = 0.5 * (HIGH - LOW)
        power = np.maximum(1.0, half * alpha / sigma)
        r = (action - 0.5 * (LOW + HIGH)) / half
        slope = -2.0 * power * np.abs(r) ** (2.0 * power - 1.0) * np.sign(r) / half
        h = (1.0 - np.abs(r) ** (2.0 * power)) * h + slope
    return u, h / alpha


def shrunk_by_hand(product, spread_u, spread_h, freedom):
    """-product/spread_h times the positive part of 1 - 1/F."""
    explained = product**2 / spread_h
    odds = max(freedom, 0.0) * explained / (spread_u - explained)
    return -product / spread_h * (max(0.0, 1.0 - 1.0 / odds) if odds > 0 else 0.0)


def coefficients_by_hand(u, h, w):
    """What all dimensions have in common, and what each adds to it, under normalised weights."""
    cov = w @ (u * h) - (w @ u) * (w @ h)
    spread_u, spread_h = (w @ v**2 - (w @ v) ** 2 for v in (u, h))
    worth = 1.0 / np.sum(w**2)
    equations = DIM * (worth - 1.0) - 1.0
    common = shrunk_by_hand(cov.sum(), spread_u.sum(), spread_h.sum(), equations)
    residual = spread_u + 2.0 * common * cov + common**2 * spread_h
    lines = zip(cov + common * spread_h, residual, spread_h, strict=True)
    return common, np.array([shrunk_by_hand(*line, worth - 2.0) for line in lines])


@pytest.mark.parametrize("kind", ["explained", "noisy", "one"])
@pytest.mark.parametrize("level", [(0.8, 0.6), (0.95, 0.2), (0.2, 0.9)])
@pytest.mark.parametrize("name", SUPPORTS)
def test_it_follows_its_formulas(kind, level, name):
    draws, action, w, gradient = made_up(kind)
    point = Point(jnp.asarray(X), sf.Level(*level), SUPPORTS[name])
    u, h = steep_by_hand(action, gradient, level, name == "box")
    assert_allclose(steep_stein_terms(draws, point), h, rtol=1e-9, atol=1e-9)
    fold, estimator = np.arange(COUNT) % FOLDS, sf.ShrunkControlVariate(folds=FOLDS)
    common, per_dimension = coefficients_by_hand(u, h, w)
    inside = common + per_dimension
    total, cross = u + inside * h, np.empty_like(u)
    for k in range(FOLDS):
        others_w = np.where(fold == k, 0.0, w)
        others_w /= others_w.sum()
        others = sum(coefficients_by_hand(u, h, others_w)) * (1.0 - np.sqrt(np.sum(w**2)))
        cross[fold == k] = u[fold == k] + others * h[fold == k]
    scale = np.abs(u).max()
    assert_allclose(estimator.coefficient(draws, point), inside, rtol=1e-7, atol=1e-9)
    assert_allclose(estimator.terms(draws, point), total, rtol=1e-7, atol=1e-8 * scale)
    apart = estimator.independent_terms(draws, point)
    assert_allclose(apart, cross, rtol=1e-7, atol=1e-8 * scale)
    score, info = reduce(draws, point, estimator, True)
    assert_allclose(score, w @ total, rtol=1e-7, atol=1e-8 * scale)
    spread = np.sum((w[:, None] * (cross - w @ cross)) ** 2, 0) * COUNT / (COUNT - 1)
    assert_allclose(info.std_error, np.sqrt(spread), rtol=1e-6)
    if kind == "noisy":
        assert common == 0.0 or np.any(
            per_dimension == 0.0
        )  # what chance would explain is not believed


@pytest.mark.parametrize("num_draws", [9, 16])
@pytest.mark.parametrize("level", [sf.Level(0.8, 0.6), sf.Level(0.3, 0.954)])
def test_auto_is_exact_for_a_normal_of_independent_dimensions_and_for_linear_q(level, num_draws):
    normal = GaussianMixture(
        jnp.array([[0.3, -0.2, 0.8]]), jnp.array([[2.0, 0.5, 1.0]]), [0.0], 1.0
    )
    x = jnp.array([0.5, -0.4, 0.1])
    for target in (normal, Linear(2.0, dim=3)):
        estimate = sf.score_target(jax.random.key(1), target, x, level, num_draws=num_draws)
        exact = exact_score(target, x, level)
        assert jnp.linalg.norm(estimate.score - exact) < 1e-9 * (1.0 + jnp.linalg.norm(exact))
        assert jnp.all(estimate.info.std_error < 0.2 * (1.0 + jnp.linalg.norm(exact)))


@pytest.mark.parametrize("level", [sf.Level(0.95, 0.05), sf.Level(0.9, 0.3), sf.Level(0.2, 0.9)])
def test_the_steep_terms_have_mean_zero_on_a_box(level):
    """By quadrature; x near a bound, where phi falls within a width of the likelihood."""
    target = mixture(0.7, support=sf.Box(-1.0, 1.0))
    point = Point(jnp.array([0.9, -0.3]) * level.alpha, level, target.support)
    nodes, weight = grid_posterior(target, point.x, level, -np.ones(2), np.ones(2), 20)
    h = steep_stein_terms(draws_at(target, nodes, jnp.log(weight)), point)
    assert jnp.all(jnp.abs(weight @ h) <= 1e-9 * jnp.sqrt(weight @ h**2))


PROBLEMS = {
    f"{kind}-{name}": (kind, support)
    for kind in ("mixture", "networks")
    for name, support in (("real", sf.RealSpace()), ("box", sf.Box(-1.0, 1.0)))
}


def target_of(kind, support, tau=0.5):
    return mixture(tau, 2, support) if kind == "mixture" else random_networks(7, tau, 2, support)


@pytest.mark.parametrize("problem", PROBLEMS)
def test_it_converges_to_the_truth(problem):
    """Independent draws from the likelihood; every component of eight points of two levels."""
    target = target_of(*PROBLEMS[problem])
    method = sf.Method(None, sf.ShrunkControlVariate())
    limit = NormalDist().inv_cdf(1 - 0.01 / (4 * 16) / 2)

    @jax.jit
    def at(key):
        level = sf.Level(jnp.asarray([0.5, 0.9])[key[1] % 2], 0.4)
        x = noised(jax.random.key(key[0]), target, level)
        estimate = sf.score_target(jax.random.key(key[1]), target, x, level, method, num_draws=4096)
        return estimate, target.exact_score(x, level)

    for k in range(8):
        estimate, exact = at(jnp.array([k, k + 20]))
        assert estimate.info.ess > 100
        assert jnp.all(jnp.abs(estimate.score - exact) < limit * estimate.info.std_error), (
            k,
            estimate,
        )


@pytest.mark.parametrize("problem", PROBLEMS)
def test_its_standard_error_is_that_of_repetition_from_few_draws(problem):
    """24 draws: in-sample residuals would claim far too little."""
    target, level = target_of(*PROBLEMS[problem], tau=1.5), sf.Level(0.7, 0.4)
    x, method = jnp.array([0.3, -0.2]), sf.Method(None, sf.ShrunkControlVariate())

    @jax.jit
    def many(keys):
        one = lambda key: sf.score_target(key, target, x, level, method, num_draws=24)  # noqa: E731
        return jax.lax.map(one, keys), target.exact_score(x, level)

    estimate, exact = many(jax.random.split(jax.random.key(3), 2000))
    assert jnp.mean(estimate.info.ess) > 10.0  # below no standard error is believed
    claimed = jnp.sqrt(jnp.mean(estimate.info.std_error**2, axis=0))
    actual = jnp.sqrt(jnp.mean((estimate.score - exact) ** 2, axis=0))
    assert jnp.all((claimed > 0.8 * actual) & (claimed < 2.5 * actual)), claimed / actual


@pytest.mark.parametrize("name", SUPPORTS)
def test_single_precision_is_near_double(name):
    support = SUPPORTS[name]
    target, level = mixture(0.3, 2, support), sf.Level(0.9, 0.1)
    point = Point(jnp.asarray([0.4, 0.8]), level, support)
    plain = sf.TruncatedGaussianProposal() if support.has_bounds else sf.GaussianProposal()
    draws = proposed(jax.random.key(0), target, point, plain, 32)
    estimator = sf.ShrunkControlVariate()
    exact = weights(draws) @ estimator.terms(draws, point)
    low, at = cast((draws, point), jnp.float32)
    rough = weights(low) @ estimator.terms(low, at)
    assert rough.dtype == jnp.float32
    scale = jnp.linalg.norm(exact) + target.exact_trace(point.x, level) ** 0.5
    assert jnp.linalg.norm(rough - exact) < 1e-4 * scale


def test_draws_that_are_all_alike_are_no_evidence():
    """No spread in u and h: noise expectation, and a finite error."""
    same = jnp.full((6, DIM), 0.5)
    draws = Draws(same, jnp.zeros(6), same, None, jnp.zeros(6), jnp.zeros(6) > 0)
    point = Point(jnp.asarray(X), sf.Level(0.8, 0.6), sf.RealSpace())
    estimator = sf.ShrunkControlVariate()
    assert np.all(np.asarray(estimator.coefficient(draws, point)) == 0.0)
    assert_allclose(estimator.terms(draws, point), (0.8 * 0.5 - np.tile(X, (6, 1))) / 0.36)
    with pytest.raises(ValueError, match="folds must be an integer >= 2"):
        sf.ShrunkControlVariate(folds=1)


def test_weights_that_underflow_leave_a_number():
    """One draw has all the weight, the others 1e-150 to 0 of it: no square may overflow."""
    u = np.array([[0.3, -1.0], [2e3, 5.0], [-40.0, 1e3], [7.0, 8.0]])
    h = np.array([[1.0, 2.0], [3e2, -1e3], [5.0, 60.0], [-9e2, 1.0]])
    for small in (1e-150, 1e-300, 5e-324, 0.0):
        shares = np.array([1.0, small, 0.3 * small, 0.0])
        result = regressed(jnp.asarray(u), jnp.asarray(h), jnp.asarray(shares)[None])
        assert np.all(np.isfinite(result))


def test_a_linear_q_far_from_the_likelihood_has_a_score():
    target = sf.Boltzmann(lambda a: a @ jnp.linspace(0.5, 1.5, 2), jnp.full(4_096, 0.02))
    xs = 0.9 * jax.random.normal(jax.random.key(1), (4_096, 2))
    estimates = sf.score_targets(jax.random.key(0), target, xs, sf.Level(0.1, 0.9), num_draws=32)
    assert np.all(np.isfinite(estimates.score)) and not np.any(estimates.info.reliable)


@pytest.mark.parametrize("unit", [1e-170, 1e170])
def test_coefficients_do_not_depend_on_the_unit(unit, key):
    """Also where the squares of all differences would vanish or overflow."""
    h = jax.random.normal(key, (8, 3))
    u = 2.0 * h + 0.1 * jax.random.normal(jax.random.fold_in(key, 1), (8, 3))
    shares = jnp.full((2, 8), 0.125)
    expected = regressed(u, h, shares)
    assert jnp.all(jnp.abs(expected + 2.0) < 0.3)
    assert jnp.allclose(regressed(unit * u, unit * h, shares), expected, rtol=1e-9)
