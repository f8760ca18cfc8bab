"""Every formula once more, in NumPy, on draws that are made up."""

import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

import steinflow as sf
from steinflow import gaussian_process
from steinflow.draws import Draws
from steinflow.estimators.base import Needs
from steinflow.estimators.quadrature import BayesianQuadrature
from steinflow.estimators.reduce import reduce, weighted_mean
from steinflow.estimators.stein import flattened, noise_terms, stein_terms

COUNT, DIM = 7, 3
ALPHA, SIGMA = 0.8, 0.5
LEVEL = sf.Level(ALPHA, SIGMA)
LOW, HIGH = np.array([-1.0, -2.0, 0.0]), np.array([2.0, 1.0, 5.0])
BOX, REAL = sf.Box(LOW, HIGH), sf.RealSpace()

RNG = np.random.default_rng(7)
A = RNG.uniform(LOW, HIGH, (COUNT, DIM))
X, SLOPE = RNG.normal(size=DIM), RNG.normal(size=(COUNT, DIM))
LOG_W = RNG.normal(size=COUNT)
W = np.exp(LOG_W) / np.exp(LOG_W).sum()
CURVATURE = np.array([[3.0, 0.4, -0.2], [0.4, 1.5, 0.3], [-0.2, 0.3, 0.7]])
U = (ALPHA * A - X) / SIGMA**2
G = SLOPE - ALPHA * U


def draws(support=BOX, invalid=0):
    phi, slope = support.taper(jnp.asarray(A))
    low, high = support.bounds(DIM)

    def curvature(action):
        assert_allclose(action, W @ A)
        return jnp.asarray(CURVATURE)

    nothing = jnp.zeros(COUNT)
    return Draws(
        jnp.asarray(X), jnp.asarray(A), nothing, jnp.asarray(LOG_W) + 3.0, nothing,
        jnp.asarray(SLOPE), phi, slope, 0.5 * (high - low), curvature, lambda count: None,
        jnp.asarray(invalid),
    )  # fmt: skip


PHI = 4 * (A - LOW) * (HIGH - A) / (HIGH - LOW) ** 2
D_PHI = 4 * ((HIGH - A) - (A - LOW)) / (HIGH - LOW) ** 2
H = {"box": PHI * G + D_PHI, "real": G}
SUPPORTS = {"box": BOX, "real": REAL}


@pytest.fixture(params=["box", "real"])
def where(request):
    return request.param


def test_the_two_terms(where):
    assert_allclose(noise_terms(draws(SUPPORTS[where]), LEVEL), U)
    assert_allclose(stein_terms(draws(SUPPORTS[where]), LEVEL), H[where])


def test_a_taper_that_is_flatter_inside():
    flat = flattened(draws(), LEVEL)
    power = np.maximum(1.0, 0.5 * (HIGH - LOW) * ALPHA / SIGMA)
    place = (A - 0.5 * (LOW + HIGH)) / (0.5 * (HIGH - LOW))
    assert_allclose(flat.taper, 1.0 - np.abs(place) ** (2 * power))
    slope = -2 * power * np.abs(place) ** (2 * power - 1) * np.sign(place) / (0.5 * (HIGH - LOW))
    assert_allclose(flat.taper_slope, slope)
    wide = flattened(draws(), sf.Level(0.1, 0.9))  # no power below 1
    assert_allclose(wide.taper, PHI)
    assert_allclose(flattened(draws(REAL), LEVEL).taper, np.ones((COUNT, DIM)))


def test_noise_gradient_and_blend(where):
    there, h = draws(SUPPORTS[where]), H[where]
    noise, gradient = sf.NoiseExpectation(), sf.GradientExpectation("vanishing")
    assert_allclose(noise.terms(there, LEVEL), U)
    assert_allclose(gradient.terms(there, LEVEL), U + h / ALPHA)
    assert_allclose(sf.Blend(0.3, "vanishing").terms(there, LEVEL), U + 0.3 * h / ALPHA)
    for plain, c in ((sf.GradientExpectation("ignored"), 1.0), (sf.Blend(0.3, "ignored"), 0.3)):
        assert_allclose(plain.terms(there, LEVEL), (1 - c) * U + c * SLOPE / ALPHA)
        assert plain.is_consistent(REAL) and not plain.is_consistent(BOX)
        assert plain.needs(DIM) == Needs(True, 0, 0)
        assert plain.coefficient(there, LEVEL) == c
    assert noise.needs(DIM) == Needs(False, 0, 0) and noise.coefficient(there, LEVEL) == 0.0
    for right in (noise, gradient, sf.Blend(0.3, "vanishing")):
        assert right.is_consistent(REAL) and right.is_consistent(BOX)
        right.check(BOX, DIM, 1)


@pytest.mark.parametrize("kind", [sf.GradientExpectation, lambda b=None: sf.Blend(0.5, b)])
def test_what_becomes_of_walls_must_be_said(kind):
    kind().check(REAL, DIM, 1)
    kind("ignored").check(BOX, DIM, 1)
    with pytest.raises(ValueError, match="biased on a box"):
        kind().check(BOX, DIM, 1)
    with pytest.raises(ValueError, match="got 'no'"):
        kind("no").check(REAL, DIM, 1)
    with pytest.raises(ValueError, match="one scalar"):
        sf.Blend(jnp.ones(DIM), "vanishing").check(BOX, DIM, 1)


MATRIX = RNG.normal(size=(DIM, DIM))


@pytest.mark.parametrize("c", [0.4, np.array([0.2, -0.5, 1.5]), MATRIX])
def test_a_given_coefficient(where, c):
    there, estimator = draws(SUPPORTS[where]), sf.ControlVariate(sf.Constant(c))
    matrix = c if np.ndim(c) == 2 else np.diag(np.broadcast_to(c, DIM))
    assert_allclose(estimator.terms(there, LEVEL), U + H[where] @ matrix.T / ALPHA)
    assert_allclose(estimator.coefficient(there, LEVEL), c)
    assert estimator.needs(DIM) == Needs(True, 0, 0)
    assert estimator.is_consistent(BOX) and estimator.is_consistent(REAL)
    estimator.check(BOX, DIM, 1)
    with pytest.raises(ValueError, match="as wide as x"):
        sf.ControlVariate(sf.Constant(jnp.ones((DIM, 2)))).check(BOX, DIM, 1)


@pytest.mark.parametrize("precision", [2.5, np.array([0.5, 3.0, -0.2]), CURVATURE, None])
def test_curvature(precision):
    known = CURVATURE if precision is None else precision
    full = known if np.ndim(known) == 2 else np.diag(np.broadcast_to(known, DIM))
    best = ALPHA**2 * np.linalg.inv(ALPHA**2 * np.eye(DIM) + SIGMA**2 * full)
    rule = sf.Curvature(precision)
    found = np.asarray(rule.fit(draws(), LEVEL))
    assert found.shape == np.shape(known)
    found = found if found.ndim == 2 else np.diag(np.broadcast_to(found, DIM))
    assert_allclose(found, best, rtol=1e-12, atol=1e-13)
    assert rule.needs(DIM) == Needs(True, 0, DIM if precision is None else 0)
    rule.check(DIM, 1)
    with pytest.raises(ValueError, match="as wide as x"):
        sf.Curvature(jnp.ones(2)).check(DIM, 1)


@pytest.mark.parametrize("shrink", [0.0, 2.0])
@pytest.mark.parametrize("kind", ["scalar", "diagonal", "matrix"])
def test_a_fitted_coefficient(where, kind, shrink):
    v = (W + 1e-4 / COUNT) / (1 + 1e-4)
    stein, noise = H[where] - v @ H[where], U - v @ U
    stein = np.sqrt(v)[:, None] * stein / ALPHA
    noise = np.sqrt(v)[:, None] * noise
    if kind == "matrix":
        best, equations = -np.linalg.lstsq(stein, noise, rcond=None)[0].T, 1 / DIM
    elif kind == "diagonal":
        best, equations = -np.sum(stein * noise, 0) / np.sum(stein**2, 0), 1.0
    else:
        best, equations = -np.sum(stein * noise) / np.sum(stein**2), DIM
    equations *= 1 / np.sum(W**2) - 1
    rule = sf.InSample(kind, shrink)
    found = rule.fit(draws(SUPPORTS[where]), LEVEL)
    assert_allclose(found, best * equations / (equations + shrink), rtol=1e-9)
    unknowns = DIM if kind == "matrix" else 1
    assert rule.needs(DIM) == Needs(True, unknowns, 0)
    rule.check(DIM, unknowns + 1)
    with pytest.raises(ValueError, match=f"{kind} coefficient for d = 3"):
        rule.check(DIM, unknowns)


def test_a_fit_of_nothing_is_nothing():
    equal = draws(REAL)._replace(
        slope=jnp.zeros((COUNT, DIM)), action=jnp.zeros((COUNT, DIM)) + 0.5
    )  # fmt: skip
    for kind in ("scalar", "diagonal", "matrix"):
        assert np.all(np.asarray(sf.InSample(kind).fit(equal, LEVEL)) == 0.0)
    with pytest.raises(ValueError, match="must be >= 0"):
        sf.InSample(shrink=-0.1)
    sf.InSample(shrink=0.0)


@pytest.mark.parametrize("fitted", [0, 2])
def test_the_weighted_mean_and_its_error(fitted):
    terms = RNG.normal(size=(COUNT, DIM))
    mean, error = weighted_mean(draws(), jnp.asarray(terms), fitted)
    expected = W @ terms
    assert_allclose(mean, expected)
    square = np.sum((W[:, None] * (terms - expected)) ** 2, 0) * COUNT / (COUNT - 1 - fitted)
    assert_allclose(error, np.sqrt(square))
    if not fitted:  # which is what it is unless it is said
        assert np.array_equal(weighted_mean(draws(), jnp.asarray(terms))[1], error)
    for none_left in (COUNT - 1, COUNT):
        assert np.all(np.isinf(weighted_mean(draws(), jnp.asarray(terms), none_left)[1]))
    assert np.all(np.isfinite(weighted_mean(draws(), jnp.asarray(terms), COUNT - 2)[1]))


def test_what_an_estimate_tells():
    terms = RNG.normal(size=(COUNT, DIM))
    estimate = reduce(draws(), jnp.asarray(terms), jnp.asarray(0.25), 0, True, 11, 12)
    info = estimate.info
    assert_allclose(estimate.score, W @ terms)
    assert_allclose((info.ess, info.max_weight), (1 / np.sum(W**2), W.max()))
    assert (info.coefficient, info.num_values, info.num_grads) == (0.25, 11, 12)
    assert not info.reliable and info.num_invalid == 0
    bad = reduce(draws(invalid=1), jnp.asarray(terms), jnp.asarray(0.25), 0, True, 1, 1)
    assert np.all(np.isnan(bad.score)) and bad.info.num_invalid == 1


@pytest.mark.parametrize(
    ("count", "consistent", "value", "reliable"),
    [
        (50, True, 1.0, True),
        (49, True, 1.0, False),
        (60, False, 1.0, False),
        (60, True, np.inf, False),
    ],
)
def test_what_is_reliable(count, consistent, value, reliable):
    many = draws()._replace(log_weight=jnp.zeros(count))
    terms = jnp.ones((count, DIM)) * value
    info = reduce(many, terms, jnp.asarray(0.0), 0, consistent, 1, 1).info
    assert_allclose(info.ess, count)
    assert bool(info.reliable) == reliable


@pytest.mark.parametrize(
    ("inner", "terms"),
    [(sf.GradientExpectation(), SLOPE / ALPHA), (sf.NoiseExpectation(), U)],
    ids=["gradient", "noise"],
)
def test_a_gaussian_process_counts_as_much_as_it_is_sure(inner, terms):
    """Five draws, whose process is integrated by made-up actions."""
    count = 5
    few = draws(REAL)._replace(
        action=jnp.asarray(A[:count]), value=jnp.asarray(LOG_W[:count]),
        log_weight=jnp.asarray(LOG_W[:count]), slope=jnp.asarray(SLOPE[:count]),
        taper=jnp.ones((count, DIM)), taper_slope=jnp.zeros((count, DIM)),
    )  # fmt: skip
    asked, rng = [], np.random.default_rng(0)
    more, prior = rng.uniform(LOW, HIGH, (160, DIM)), rng.normal(size=160)

    def dense(number):
        asked.append(number)
        return jnp.asarray(more), jnp.asarray(prior)

    found = BayesianQuadrature(inner).terms(few._replace(dense=dense), LEVEL)
    assert asked == [64 * count]

    process = gaussian_process.fit(few.action, few.value, few.slope)
    chances = np.exp(np.asarray(process.predict(jnp.asarray(more))) + prior)
    chances /= chances.sum()
    score = chances @ ((ALPHA * more - X) / SIGMA**2)
    steps = np.minimum(np.searchsorted(np.cumsum(chances), (np.arange(32) + 0.5) / 32), 159)
    unsure = np.mean(process.uncertainty(jnp.asarray(more[steps]))) * max(process.doubt, 1.0)
    unsure += 1 / (1 / np.sum(chances**2) - 4)
    w = W[:count] / W[:count].sum()
    terms, noise = terms[:count], U[:count]
    gain = np.sum(w @ (noise - w @ noise) ** 2) / np.sum(w @ (terms - w @ terms) ** 2)
    odds = unsure / np.sum(w**2) * max(gain, 1.0) ** 0.25
    assert 0.01 < odds < 100.0
    assert_allclose(found, terms + (score - w @ terms) / (1 + odds), rtol=1e-9)


@pytest.mark.parametrize(("count", "dim"), [(1, 3), (26, 3), (51, 1)])
def test_too_few_or_too_many_equations_leave_the_inner_estimate(count, dim):
    other = draws(REAL)._replace(
        x=jnp.zeros(dim), action=jnp.ones((count, dim)), slope=jnp.ones((count, dim)),
        taper=jnp.ones((count, dim)), taper_slope=jnp.zeros((count, dim)),
        value=jnp.zeros(count), log_weight=jnp.zeros(count),
    )  # fmt: skip  # and no dense actions
    found = BayesianQuadrature(sf.GradientExpectation()).terms(other, LEVEL)
    assert_allclose(found, np.ones((count, dim)) / ALPHA)
