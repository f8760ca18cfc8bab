"""Every formula once more, in NumPy, on draws that are made up."""

import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

import steinflow as sf
from steinflow.diagnostics import RELIABLE_ESS
from steinflow.draws import Draws
from steinflow.estimators.base import Needs
from steinflow.estimators.reduce import reduce, weighted_mean
from steinflow.estimators.stein import noise_terms, posterior_score, stein_terms
from steinflow.points import Point, log_likelihood

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
HALF = RNG.normal(size=(COUNT, DIM, DIM))
HESSIAN = HALF + HALF.transpose(0, 2, 1) - 4.0 * np.eye(DIM)
CURVATURE = -np.einsum("k,kij->ij", W, HESSIAN)
U = (ALPHA * A - X) / SIGMA**2
G = SLOPE - ALPHA * U


def draws(invalid=0):
    """Made-up draws; a constant in the value and one in the prior change no weight."""
    prior = 0.3 * jnp.asarray(LOG_W) - 1.0
    return Draws(
        jnp.asarray(A), jnp.asarray(LOG_W) - prior + 3.0, jnp.asarray(SLOPE), jnp.asarray(HESSIAN),
        prior, jnp.arange(COUNT) < invalid,
    )  # fmt: skip


PHI = 4 * (A - LOW) * (HIGH - A) / (HIGH - LOW) ** 2
D_PHI = 4 * ((HIGH - A) - (A - LOW)) / (HIGH - LOW) ** 2
H = {"box": PHI * G + D_PHI, "real": G}
POINTS = {name: Point(jnp.asarray(X), LEVEL, s) for name, s in (("box", BOX), ("real", REAL))}
REAL_POINT = POINTS["real"]


@pytest.fixture(params=["box", "real"])
def where(request):
    return request.param


def test_the_terms(where):
    assert_allclose(noise_terms(draws(), POINTS[where]), U)
    assert_allclose(posterior_score(draws(), POINTS[where]), G)
    assert_allclose(stein_terms(draws(), POINTS[where]), H[where])
    wanted = -0.5 * np.sum((X - ALPHA * A) ** 2, -1) / SIGMA**2
    assert_allclose(log_likelihood(jnp.asarray(A), POINTS[where]), wanted)


def test_noise_gradient_and_blend(where):
    sample, point, h = draws(), POINTS[where], H[where]
    noise, gradient = sf.NoiseExpectation(), sf.GradientExpectation("vanishing")
    assert_allclose(noise.terms(sample, point), U)
    assert_allclose(gradient.terms(sample, point), U + h / ALPHA)
    assert_allclose(sf.Blend(0.3, "vanishing").terms(sample, point), U + 0.3 * h / ALPHA)
    for plain, c in ((sf.GradientExpectation("ignored"), 1.0), (sf.Blend(0.3, "ignored"), 0.3)):
        assert_allclose(plain.terms(sample, point), (1 - c) * U + c * SLOPE / ALPHA)
        assert plain.is_consistent(REAL) and not plain.is_consistent(BOX)
        assert plain.needs(DIM) == Needs(True, False, 0)
        assert plain.coefficient(sample, point) == c
    assert noise.needs(DIM) == Needs(False, False, 0) and noise.coefficient(sample, point) == 0.0
    for right in (noise, gradient, sf.Blend(0.3, "vanishing")):
        assert right.is_consistent(REAL) and right.is_consistent(BOX)
        right.check(BOX, DIM, 1)


@pytest.mark.parametrize("kind", [sf.GradientExpectation, lambda b=None: sf.Blend(0.5, b)])
def test_what_becomes_of_bounds_must_be_said(kind):
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
    sample, point = draws(), POINTS[where]
    estimator = sf.ControlVariate(sf.Constant(c))
    matrix = c if np.ndim(c) == 2 else np.diag(np.broadcast_to(c, DIM))
    assert_allclose(estimator.terms(sample, point), U + H[where] @ matrix.T / ALPHA)
    assert_allclose(estimator.coefficient(sample, point), c)
    assert estimator.needs(DIM) == Needs(True, False, 0)
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
    result = np.asarray(rule.fit(draws(), REAL_POINT))
    assert result.shape == np.shape(known)
    result = result if result.ndim == 2 else np.diag(np.broadcast_to(result, DIM))
    assert_allclose(result, best, rtol=1e-12, atol=1e-13)
    assert rule.needs(DIM) == Needs(True, precision is None, 0)
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
    result = rule.fit(draws(), POINTS[where])
    assert_allclose(result, best * equations / (equations + shrink), rtol=1e-9)
    unknowns = DIM if kind == "matrix" else 1
    assert rule.needs(DIM) == Needs(True, False, unknowns)
    rule.check(DIM, unknowns + 1)
    with pytest.raises(ValueError, match=f"{kind} coefficient for d = 3"):
        rule.check(DIM, unknowns)


def test_a_fit_of_nothing_is_nothing():
    equal = draws()._replace(gradient=jnp.zeros((COUNT, DIM)), action=jnp.zeros((COUNT, DIM)) + 0.5)
    for kind in ("scalar", "diagonal", "matrix"):
        assert np.all(np.asarray(sf.InSample(kind).fit(equal, REAL_POINT)) == 0.0)
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


@pytest.mark.parametrize(
    "estimator",
    [
        sf.NoiseExpectation(),
        sf.GradientExpectation("vanishing"),
        sf.ControlVariate(sf.InSample("matrix")),
        sf.ControlVariate(sf.Curvature()),
        sf.ShrunkControlVariate(),
    ],
    ids=["noise", "gradient", "matrix", "curvature", "shrunk"],
)
def test_what_an_estimate_tells(where, estimator):
    point, needs = POINTS[where], estimator.needs(DIM)
    score, info = reduce(draws(), point, estimator, True)
    assert_allclose(score, W @ np.asarray(estimator.terms(draws(), point)))
    apart = estimator.independent_terms(draws(), point)
    _, error = weighted_mean(draws(), apart, needs.fitted)
    assert_allclose(info.std_error, error)
    assert_allclose(info.coefficient, estimator.coefficient(draws(), point))
    assert_allclose((info.ess, info.max_weight), (1 / np.sum(W**2), W.max()))
    assert info.num_values == COUNT
    assert info.num_grads == COUNT * (needs.gradient + DIM * needs.hessian)
    assert not info.reliable and info.num_invalid == 0
    bad = reduce(draws(invalid=2), point, estimator, True)
    assert np.all(np.isnan(bad.score)) and bad.info.num_invalid == 2 and not bad.info.reliable


@pytest.mark.parametrize(
    ("count", "consistent", "gradient", "reliable"),
    [
        (int(RELIABLE_ESS), True, 1.0, True),
        (int(RELIABLE_ESS) - 1, True, 1.0, False),
        (60, False, 1.0, False),
        (60, True, np.inf, False),
    ],
)
def test_what_is_reliable(count, consistent, gradient, reliable):
    rows, nothing = jnp.ones((count, DIM)), jnp.zeros(count)
    many = Draws(rows, nothing, gradient * rows, None, nothing, nothing > 0)
    info = reduce(many, REAL_POINT, sf.GradientExpectation(), consistent).info
    assert_allclose(info.ess, count)
    assert bool(info.reliable) == reliable
