"""Several Stein terms: exact where they should be, careful where they cannot know."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import steinflow as sf
from steinflow import targets
from steinflow.draws import weights
from steinflow.estimators import polynomial
from steinflow.estimators.polynomial import (
    about_the_mean,
    brought_back,
    shrunk_diagonal,
    spread,
)
from steinflow.targets import GaussianMixture
from tests.helpers import draws_at, exact_score

LEVEL = sf.Level(0.8, 0.6)
BOX = sf.Box(-1.0, 1.0)


def estimate(target, action, log_weight, x, order=3, level=LEVEL):
    draws = draws_at(target, action, log_weight, x)
    return weights(draws) @ sf.SteinPolynomial(order).terms(draws, level), draws


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("tau", [0.01, 1.0])
def test_gaussians_with_independent_dimensions_are_exact(order, tau):
    """Whatever the weights: three draws, and a curvature for each dimension."""
    target = GaussianMixture(jnp.array([[0.4, -0.2]]), jnp.array([[3.0, 0.5]]), [0.0], tau)
    x, rng = jnp.array([0.3, 0.1]), np.random.default_rng(1)
    found, _ = estimate(target, jnp.asarray(rng.normal(size=(40, 2))), jnp.zeros(40), x, order)
    exact = exact_score(target, x, LEVEL)
    assert jnp.linalg.norm(found - exact) < 1e-9 * jnp.linalg.norm(exact)


@pytest.mark.parametrize(("dtype", "close"), [(jnp.float64, 1e-12), (jnp.float32, 1e-5)])
@pytest.mark.parametrize("heavier", [0, 4, 12, 24, 40, 80, 200, 800])
def test_gaussians_are_exact_even_where_one_draw_has_all_the_weight(heavier, dtype, close):
    target = GaussianMixture(jnp.array([[0.4, -0.2]]), jnp.array([[3.0, 0.5]]), [0.0], 1.0)
    x, action = jnp.array([0.3, 0.1]), np.random.default_rng(1).normal(size=(12, 2))
    log_weight = jnp.zeros(12).at[3].set(heavier)
    draws = draws_at(target, jnp.asarray(action), log_weight, x)
    draws = jax.tree.map(lambda v: v if callable(v) else jnp.asarray(v, dtype), draws)
    level = jax.tree.map(lambda v: jnp.asarray(v, dtype), LEVEL)
    terms = sf.SteinPolynomial(3).terms(draws, level)
    assert terms.dtype == dtype
    exact = exact_score(target, x, LEVEL)
    assert jnp.linalg.norm(weights(draws) @ terms - exact) < close * jnp.linalg.norm(exact)


def test_linear_q_is_exact_even_where_one_draw_has_all_the_weight():
    target, x, rng = targets.Linear(0.01, 3), jnp.array([0.3, 0.1, -0.5]), np.random.default_rng(2)
    action = jnp.asarray(rng.normal(size=(8, 3)))
    log_weight = jax.vmap(target.value)(action) / target.tau
    found, draws = estimate(target, action, log_weight, x)
    assert jnp.max(weights(draws)) > 0.999
    assert jnp.allclose(found, exact_score(target, x, LEVEL), rtol=1e-6)


def test_a_fit_that_rests_on_one_or_two_draws_is_not_believed():
    """With all weight on one draw the terms after the first are left out."""
    target, x, rng = targets.Multimodal(0.02, 3), jnp.zeros(3), np.random.default_rng(3)
    action = jnp.asarray(rng.normal(size=(12, 3)))
    log_weight = jnp.zeros(12).at[4].set(40.0)
    one, three = (estimate(target, action, log_weight, x, order)[0] for order in (1, 3))
    assert jnp.allclose(one, three, rtol=1e-9)
    row, w = jnp.zeros((1, 5)).at[0, 2].set(1.0), jnp.full(5, 0.2)
    assert spread(row, jnp.sum(w * row**2, axis=1), w) < 1e-12


def test_where_one_draw_has_nearly_all_the_weight_the_others_are_asked():
    """There the coefficient is shrunk to one of a fit as if Q were flat, not to zero."""
    rng = np.random.default_rng(5)
    h = jnp.asarray(rng.normal(size=(4, 200)))
    u = -0.8 * h + 0.2 * jnp.asarray(rng.normal(size=(4, 200)))
    w = jnp.full(200, 1e-4 / 199).at[7].set(1.0 - 1e-4)
    u, h = about_the_mean(u, w), about_the_mean(h, w)
    c, _ = shrunk_diagonal(u, h, w, jnp.full(200, 1 / 200))
    assert jnp.all((c > 0.6) & (c < 0.9))


@pytest.mark.parametrize(("count", "room"), [(2, 1e-3), (8, 0.1)])
def test_a_secant_moves_no_mean_beyond_all_draws(count, room):
    """At tau .02 one draw has all the weight, and gradients are in the hundreds."""
    level, target, x = sf.Level(0.1, 0.995), targets.Multimodal(0.02, 3), jnp.zeros(3)
    for seed in range(20):
        action = 3.0 * jax.random.normal(jax.random.key(seed), (count, 3))
        log_weight = jax.vmap(target.value)(action) / target.tau
        found, _ = estimate(target, action, log_weight, x, level=level)
        u = (level.alpha * action - x) / level.sigma**2
        beyond = jnp.maximum(jnp.min(u, axis=0) - found, found - jnp.max(u, axis=0))
        assert jnp.all(beyond <= room * (jnp.max(u, axis=0) - jnp.min(u, axis=0)))


@pytest.mark.parametrize("dtype", [jnp.float64, jnp.float32])
def test_a_mean_beyond_the_draws_is_brought_back_to_where_the_odds_allow(dtype):
    """Terms of 10^6 whose mean, 20, is to be 2 and 2.5; and a mean that stays as it is."""
    noise = jnp.tile(jnp.array([0.0, 1.0, 2.0], dtype), (3, 1))
    w = jnp.array([0.9, 0.05, 0.05], dtype)
    total = jnp.array([[20.0, 1e6, -1e6], [20.0, 1e6, -1e6], [1.0, 1.5, 0.5]], dtype)
    found = brought_back(total, noise, w, jnp.array([0.0, 0.25, 0.0], dtype))
    assert jnp.allclose(jnp.sum(w * found[:2], axis=1), jnp.array([2.0, 2.5]), atol=0.2)
    assert jnp.allclose(found[0] - found[0, 0], total[0] - total[0, 0])
    assert jnp.array_equal(found[2], total[2])


def test_a_fit_to_what_is_far_does_not_move_what_is_near():
    """u is -h/2 among far draws, and has nothing to do with h among the ten that count."""
    rng, near = np.random.default_rng(0), jnp.arange(100) < 10
    h = jnp.where(near, 0.01, 1.0) * rng.normal(size=(3, 100))
    u = jnp.where(near, 1e-4 * rng.normal(size=(3, 100)), -0.5 * h)
    w = near / 10.0
    u, h = about_the_mean(u, w), about_the_mean(h, w)
    c, odds = shrunk_diagonal(u, h, w, jnp.full(100, 0.01))
    assert jnp.all(odds > 10.0)  # among all draws it is as good as exact
    assert jnp.max(jnp.abs(c)) < 0.02


def test_weights_that_nearly_underflow_give_no_nan():
    """XLA's (a/b)/c = a/(b c) once gave 0/0 in one of 2,000 estimates, compiled only."""
    target, level = targets.Linear(0.0283, 2, sf.RealSpace()), sf.Level(0.1, 0.9)

    def one(key):
        return sf.score_target(key, target, jax.random.normal(key, (2,)), level, num_draws=16)

    keys = jax.random.split(jax.random.key(0), 2000)
    assert jnp.all(jnp.isfinite(jax.jit(jax.vmap(one))(keys).score))


def test_three_terms_through_a_handful_of_draws_are_not_believed():
    """A mean and three terms go through four draws exactly: seen as a perfect fit, that is wild."""
    target, x = targets.Multimodal(2.0, 17, sf.RealSpace()), 0.3 * jnp.ones(17)
    level = sf.Level(0.1, 0.9)
    exact = exact_score(target, x, level)

    def errors(order):
        method = sf.Method(sf.FittedProposal(), sf.SteinPolynomial(order), quasi=True)

        def one(key):
            return sf.score_target(key, target, x, level, method, num_draws=6).score

        found = jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(0), 1000))
        return jnp.sum((found - exact) ** 2, axis=1)

    assert jnp.mean(errors(3)) < 1.1 * jnp.mean(errors(1))


def test_three_terms_take_most_of_the_error_of_one_at_a_wall():
    """A linear Q on a box: the law at a wall is no Gaussian, but polynomials follow it."""
    target, x = targets.Linear(0.3, 2, BOX), jnp.array([0.7, 0.8])
    exact = exact_score(target, x, LEVEL)

    def error(order):
        method = sf.Method(None, sf.SteinPolynomial(order))

        def one(key):
            return sf.score_target(key, target, x, LEVEL, method, num_draws=64).score

        found = jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(0), 400))
        return float(jnp.mean(jnp.sum((found - exact) ** 2, axis=1)))

    assert error(3) < 0.1 * error(1)


def test_the_order_must_be_a_number_of_terms():
    with pytest.raises(ValueError, match="order must be an integer >= 1"):
        sf.SteinPolynomial(0)


def test_the_heaviest_draw_keeps_its_distance_to_the_mean():
    w = jnp.array([1.0 - 1e-20, 1e-20])
    assert about_the_mean(jnp.array([[1.0, 2.0]]), w).tolist() == [[-1e-20, 1.0]]


def test_among_many_a_heavy_draw_has_the_term_of_a_fit_to_the_others(monkeypatch):
    """Weights .09 and .07: residuals by leverage are those of fits without them; light stay."""
    rng, target, x = np.random.default_rng(3), targets.Multimodal(0.5, support=BOX), jnp.zeros(2)
    action = jnp.asarray(rng.uniform(-1.0, 1.0, (polynomial.MANY, 2)))
    log_weight = jnp.asarray(2.0 * rng.normal(size=polynomial.MANY))
    found = sf.SteinPolynomial().terms(draws_at(target, action, log_weight, x), LEVEL)
    monkeypatch.setattr(polynomial, "MANY", np.inf)
    mean, draws = estimate(target, action, log_weight, x)
    plain = sf.SteinPolynomial().terms(draws, LEVEL)
    order = np.argsort(-np.asarray(weights(draws)))
    assert jnp.allclose(found[order[100:]], plain[order[100:]])
    for i in order[:2]:
        without = log_weight.at[i].set(-jnp.inf)
        others, draws_left = estimate(target, action, without, x)
        wanted = sf.SteinPolynomial().terms(draws_left, LEVEL)[i] - others
        assert jnp.allclose(found[i] - mean, wanted, rtol=0.06)
        assert not jnp.allclose(plain[i] - mean, wanted, rtol=0.06)
