"""The published methods: each converges to what its construction says, and to nothing else."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import steinflow as sf
from steinflow import targets
from steinflow.draws import weights
from steinflow.estimators import ReverseFlow, VarianceRatio
from steinflow.estimators.stein import noise_terms, stein_terms
from steinflow.points import Point
from steinflow.targets.latent import Clipped
from tests.helpers import draws_at, exact_flux, exact_score, grid_posterior

BOX = sf.Box(jnp.array([-1.0, 0.0]), jnp.array([1.0, 3.0]))
LEVEL, X = sf.Level(0.8, 0.6), jnp.array([0.5, 1.9])
LIMIT = 4.5  # 2 components x 8 tests at a family-wise false alarm of 1e-4


def z_score(name, target, x, truth):
    """Standard errors between an estimate from 2^16 draws and what it should converge to."""
    estimate = jax.jit(lambda key: sf.score_target(key, target, x, LEVEL, name, num_draws=2**16))(
        jax.random.key(5)
    )
    assert estimate.info.ess > 500
    return jnp.abs(estimate.score - truth) / estimate.info.std_error, estimate


def on_a_grid(target, x, low, high):
    """E[u|x] by a product rule."""
    nodes, probability = grid_posterior(target, x, LEVEL, low, high, 40)
    return probability @ ((LEVEL.alpha * nodes - x) / LEVEL.sigma**2)


def test_the_latent_target_is_the_same_law():
    """The density of a = squash(y) from the latent density, at 100 points."""
    target = targets.Multimodal(0.5, support=BOX)
    hidden = sf.latent(target)
    y = jax.random.normal(jax.random.key(0), (100, 2))
    low, high = BOX.bounds(2)
    action = 0.5 * (low + high) + 0.5 * (high - low) * jnp.tanh(y)
    slope = 0.5 * (high - low) / jnp.cosh(y) ** 2
    log_p = jax.vmap(target.value)(action) / target.tau + jnp.sum(jnp.log(slope), -1)
    gap = jax.vmap(hidden.value)(y) / hidden.tau - log_p
    assert jnp.ptp(gap) < 1e-10  # equal up to the constant
    far = jnp.array([30.0, -400.0])
    assert jnp.all(jnp.isfinite(jax.grad(hidden.value)(far)))
    real = targets.Multimodal(0.5)
    assert sf.latent(real) is real


def test_rfm_converges_to_the_latent_score():
    target, y = targets.Multimodal(1.0, support=BOX), jnp.array([0.4, -0.7])
    truth = on_a_grid(sf.latent(target), y, (-9.0, -9.0), (9.0, 9.0))
    z, estimate = z_score("rfm", target, y, truth)
    assert jnp.all(z < LIMIT) and bool(estimate.info.reliable)


def test_sdac_converges_to_the_score_of_q_continued_beyond_the_bounds():
    target = targets.Multimodal(1.0, support=BOX)
    z, estimate = z_score("sdac", target, X, on_a_grid(Clipped(target, 1.0), X, (-5, -4), (6, 8)))
    assert jnp.all(z < LIMIT) and not bool(estimate.info.reliable)
    z, _ = z_score("sdac", target, X, exact_score(target, X, LEVEL))
    assert jnp.any(z > 10)  # which is not the score of the box


@pytest.mark.parametrize("name", ["qne", "cvsi", "lfgi", "auto"])
@pytest.mark.parametrize("support", [BOX, sf.RealSpace()])
def test_box_correct_methods_converge_to_the_score(name, support):
    target = targets.Multimodal(1.0, support=support)
    z, estimate = z_score(name, target, X, exact_score(target, X, LEVEL))
    assert jnp.all(z < LIMIT) and bool(estimate.info.reliable)


def test_idem_is_wrong_by_the_boundary_flux():
    target = targets.Quadratic(0.5, support=BOX, center=1.0)
    exact, flux = exact_score(target, X, LEVEL), exact_flux(target, X, LEVEL)
    z, estimate = z_score("idem", target, X, exact + flux)
    assert jnp.all(z < LIMIT) and not bool(estimate.info.reliable)
    assert jnp.any(jnp.abs(estimate.score - exact) > 10 * estimate.info.std_error)


@pytest.mark.parametrize(("ridge", "limit"), [(1e-4, 2.0), (0.3, 2.0), (1e-4, 0.05)])
def test_coefficients_follow_their_formulas(ridge, limit):
    """Written out a second time, in NumPy and in the papers' own variables."""
    rng, target = np.random.default_rng(3), targets.Bimodal(0.4, 2)
    action = jnp.asarray(rng.normal(size=(30, 2)))
    draws = draws_at(target, action, jnp.asarray(rng.normal(size=30)))
    point = Point(X, LEVEL, target.support)
    w, y = np.asarray(weights(draws))[:, None], np.asarray(action)
    g = np.asarray(stein_terms(draws, point))
    dy, dg = y - (w * y).sum(0), g - (w * g).sum(0)
    square = (w**2 * dg**2).sum(0) + ridge
    gain = np.clip(-(w**2 * dy * dg).sum(0) / square, -limit, limit)
    mean = (w * y).sum(0) + gain * (w * g).sum(0)
    expected = (0.8 * mean - np.asarray(X)) / 0.36
    assert ReverseFlow() == ReverseFlow(1e-4, 2.0)
    result = sf.ControlVariate(ReverseFlow(ridge, limit))
    assert np.allclose((w * np.asarray(result.terms(draws, point))).sum(0), expected)

    noise = np.asarray(noise_terms(draws, point))
    gradient = noise + g / 0.8
    v_d, v_t = noise.var(0).sum(), gradient.var(0).sum()
    cov = ((noise - noise.mean(0)) * (gradient - gradient.mean(0))).mean(0).sum()
    published = (v_t - cov) / (v_t + v_d - 2 * cov)  # of the noise term
    assert np.isclose(float(VarianceRatio().fit(draws, point)), 1 - published)


def test_auto_beats_every_published_method_where_they_differ():
    """Mean squared error over 200 keys on a box at low temperature, levels sharing draws."""
    target = targets.Multimodal(0.1, dim=4, support=sf.Box(-1.0, 1.0))
    levels = sf.Level(jnp.array([0.3, 0.6, 0.9]), jnp.array([0.7, 0.4, 0.1]))
    first, second = jax.random.split(jax.random.key(8))
    action = jax.jit(lambda: target.sample(first, 6))()
    eps = jax.random.normal(second, (6, 3, 4))
    xs = levels.alpha[:, None] * action[:, None] + levels.sigma[:, None] * eps
    truth = jax.jit(lambda: jax.vmap(lambda row: jax.vmap(target.exact_score)(row, levels))(xs))()

    def losses(name, budget, shared):
        def one(key):
            if shared:
                return sf.score_targets(key, target, xs, levels, name, num_draws=budget).score
            apart = sf.Level(*(jnp.tile(v, 6) for v in (levels.alpha, levels.sigma)))
            flat = sf.score_targets(key, target, xs.reshape(18, 4), apart, name, num_draws=budget)
            return flat.score.reshape(xs.shape)

        scores = jax.lax.map(jax.jit(one), jax.random.split(jax.random.key(9), 200))
        return jnp.mean(jnp.sum((scores - truth) ** 2, -1), axis=(0, 1))  # by level

    ours = losses("auto", 16, True)
    for name, budget in (("qne", 32), ("sdac", 32), ("idem", 16), ("cvsi", 16), ("gradient", 16)):
        assert jnp.all(ours < losses(name, budget, False)), name


@pytest.mark.parametrize("name", ["box", "real"])
def test_the_laplace_fisher_gate_follows_its_formula(name):
    """P = E_w[-hessian], C = alpha^2 (alpha^2 I + sigma^2 P)^-1, in NumPy."""
    rng, support = np.random.default_rng(4), BOX if name == "box" else sf.RealSpace()
    target = targets.GaussianMixture(
        jnp.array([[0.1, 0.8], [-0.3, 1.5]]), jnp.array([[3.0, 1.0], [1.0, 2.0]]),
        jnp.zeros(2), 0.7, support,
    )  # fmt: skip
    action = jnp.asarray(rng.uniform([-1.0, 0.0], [1.0, 3.0], (20, 2)))
    draws = draws_at(target, action, jnp.asarray(rng.normal(size=20)))
    point, w = Point(X, LEVEL, support), np.asarray(weights(draws))
    curved = np.stack([jax.hessian(target.value)(a) for a in action]) / 0.7
    gate = 0.64 * np.linalg.inv(0.64 * np.eye(2) - 0.36 * np.einsum("k,kij->ij", w, curved))
    u = (0.8 * np.asarray(action) - np.asarray(X)) / 0.36
    h = np.stack([jax.grad(target.value)(a) for a in action]) / 0.7 - 0.8 * u
    if name == "box":
        low, high = np.array([-1.0, 0.0]), np.array([1.0, 3.0])
        below, above = np.asarray(action) - low, high - np.asarray(action)
        h = 4.0 * (below * above * h + above - below) / (high - low) ** 2
    method = sf.ESTIMATORS["lfgi"]
    assert method.estimator.needs(2).hessian and method.proposal is None
    np.testing.assert_allclose(method.estimator.coefficient(draws, point), gate, rtol=1e-9)
    result = method.estimator.terms(draws, point)
    np.testing.assert_allclose(result, u + h @ gate.T / 0.8, rtol=1e-9, atol=1e-12)
