"""Identities that hold to machine precision, whatever the draws."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import steinflow as sf
from steinflow import targets
from steinflow.estimators.shrunk import steep_stein_terms
from steinflow.estimators.stein import noise_terms, stein_terms
from steinflow.points import Point
from tests.helpers import (
    LEVELS,
    draws_at,
    exact_score,
    grid_posterior,
    mixture,
    noised,
    random_gaussian,
)

BOX = sf.Box(-1.0, 1.0)


@pytest.mark.parametrize("dim", [1, 2, 6, 17])
@pytest.mark.parametrize("level", LEVELS)
def test_the_optimal_matrix_gives_the_exact_score_of_a_gaussian_from_one_draw(key, dim, level):
    target, precision = random_gaussian(key, dim, tau=0.3)
    best = np.linalg.inv(level.alpha**2 * jnp.eye(dim) + level.sigma**2 * precision)
    estimator = sf.ControlVariate(sf.Constant(level.alpha**2 * best))

    @jax.jit
    def case(key):
        x = noised(key, target, level)
        estimate = sf.score_target(key, target, x, level, estimator, num_draws=1)
        return estimate.score, target.exact_score(x, level)

    score, exact = case(key)
    assert jnp.linalg.norm(score - exact) <= 1e-10 * jnp.linalg.norm(exact)


def test_a_scalar_is_exact_for_isotropic_gaussians_only(key):
    level, tau = sf.Level(0.8, 0.6), 0.5
    for spread, exact_expected in ((jnp.array([2.0, 2.0]), True), (jnp.array([1.0, 3.0]), False)):
        target = targets.GaussianMixture(jnp.ones((1, 2)), spread[None], jnp.zeros(1), tau)
        kappa = spread[0] / tau
        c = level.alpha**2 / (level.alpha**2 + level.sigma**2 * kappa)
        x = jnp.array([0.2, -0.7])
        estimator = sf.ControlVariate(sf.Constant(c))
        score = sf.score_target(key, target, x, level, estimator, num_draws=1).score
        error = jnp.linalg.norm(score - target.exact_score(x, level))
        assert (error < 1e-10) == exact_expected


def test_curvature_is_exact_for_gaussians(key):
    """Given, or the Laplace-Fisher gate's: rotated precision matrices, few draws."""
    target, precision = random_gaussian(key, 6, tau=0.2)

    @jax.jit
    def case(key, level):
        x = noised(key, target, level)
        scores = [
            sf.score_target(key, target, x, level, method, num_draws=3).score
            for method in ("lfgi", sf.ControlVariate(sf.Curvature(precision)))
        ]
        return jnp.stack(scores), target.exact_score(x, level)

    for level in LEVELS:
        scores, exact = case(key, level)
        errors = jnp.linalg.norm(scores - exact, axis=1)
        assert jnp.all(errors < 1e-10 * jnp.linalg.norm(exact))


@pytest.mark.parametrize("dim", [2, 6, 17])
@pytest.mark.parametrize("tau", [10.0, 1.0, 0.1, 0.01])
def test_a_fitted_matrix_is_exact_for_gaussians_from_d_plus_2_draws(key, dim, tau):
    """200 random rotated Gaussians; at low tau one draw has all of the weight."""
    level, estimator = sf.Level(0.8, 0.6), sf.ControlVariate(sf.InSample("matrix"))

    def case(key):
        make, place, draw = jax.random.split(key, 3)
        target, _ = random_gaussian(make, dim, tau)
        x = noised(place, target, level)
        estimate = sf.score_target(draw, target, x, level, estimator, num_draws=dim + 2)
        exact = exact_score(target, x, level)
        error = jnp.linalg.norm(estimate.score - exact) / jnp.linalg.norm(exact)
        return error, estimate.info.ess

    errors, ess = jax.jit(jax.vmap(case))(jax.random.split(key, 200))
    assert int(jnp.sum(errors <= 1e-10)) == 200, float(errors.max())
    if tau == 0.01:
        assert ess.min() < 1.005


def test_a_fitted_matrix_is_exact_from_d_plus_1_draws_without_a_standard_error(key):
    level, estimator = sf.Level(0.8, 0.6), sf.ControlVariate(sf.InSample("matrix"))

    @jax.jit
    def case(key):
        target, _ = random_gaussian(key, 3, 0.5)
        x = noised(key, target, level)
        estimate = sf.score_target(key, target, x, level, estimator, num_draws=4)
        return estimate, target.exact_score(x, level)

    estimate, exact = case(key)
    assert jnp.linalg.norm(estimate.score - exact) < 1e-9 * jnp.linalg.norm(exact)
    assert jnp.all(jnp.isinf(estimate.info.std_error))


@pytest.mark.parametrize("level", LEVELS)
def test_the_gradient_is_exact_for_linear_q(key, level):
    target = targets.Linear(0.3, dim=6)
    x = jax.random.normal(key, (6,))
    estimate = sf.score_target(key, target, x, level, "gradient", num_draws=8)
    exact = exact_score(target, x, level)
    assert jnp.linalg.norm(estimate.score - exact) <= 1e-12 * jnp.linalg.norm(exact)
    assert jnp.all(estimate.info.std_error <= 1e-12 * jnp.linalg.norm(exact))


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("support", [sf.RealSpace(), BOX])
def test_blend_ends_at_noise_and_gradient(key, level, support):
    target = targets.Multimodal(0.5, dim=3, support=support)
    x = jax.random.normal(key, (3,))

    def score(estimator):
        return sf.score_target(key, target, x, level, estimator, num_draws=32).score

    scale = jnp.linalg.norm(score("noise")) + jnp.linalg.norm(score("gradient"))
    for end, name in ((0.0, "noise"), (1.0, "gradient")):
        gap = score(sf.Blend(end, boundary="vanishing")) - score(name)
        assert jnp.linalg.norm(gap) <= 1e-12 * scale
    middle = score(sf.Blend(0.3, boundary="vanishing"))
    mixed = 0.7 * score("noise") + 0.3 * score("gradient")
    assert jnp.linalg.norm(middle - mixed) <= 1e-12 * scale


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(
    ("target", "reach"),
    [
        (mixture(0.7), 6.0),
        (targets.Multimodal(1.0, dim=2), 14.0),
        (mixture(0.7, support=BOX), 1.0),
        (targets.Quadratic(0.3, dim=2, support=BOX, center=1.0), 1.0),
        (targets.Linear(0.3, dim=2, support=BOX), 1.0),
    ],
)
def test_the_stein_term_has_mean_zero(level, target, reach):
    """By quadrature over the posterior, with the optimum inside and at the bound."""
    point = Point(jnp.array([0.5, -0.2]), level, target.support)
    bounds = np.full(2, reach)
    nodes, weight = grid_posterior(target, point.x, level, -bounds, bounds, 40)
    draws = draws_at(target, nodes, jnp.log(weight))
    for h in (stein_terms(draws, point), steep_stein_terms(draws, point)):
        scale = jnp.sqrt(weight @ (h**2))
        assert jnp.all(jnp.abs(weight @ h) <= 1e-9 * scale)
    exact = exact_score(target, point.x, level)
    assert jnp.allclose(weight @ noise_terms(draws, point), exact, rtol=1e-8, atol=1e-8)


def test_the_boundary_weight_keeps_its_scale_and_vanishes_at_the_bounds():
    box = sf.Box(jnp.array([-2.0, 0.0]), jnp.array([1.0, 5.0]))
    bounds = jnp.array([[-2.0, 0.0], [1.0, 5.0], [-0.5, 2.5]])
    value, slope = box.boundary_weight(bounds)
    assert jnp.allclose(value, jnp.array([[0.0, 0], [0, 0], [1, 1]]))
    step = 1e-6
    up, _ = box.boundary_weight(bounds + step)
    down, _ = box.boundary_weight(bounds - step)
    assert jnp.allclose(slope, (up - down) / (2 * step), atol=1e-6)
