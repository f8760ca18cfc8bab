"""The truth itself: quadrature against closed forms, a second rule, and samples."""

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

import steinflow as sf
from steinflow import targets
from steinflow.targets.quadrature import moments
from tests.helpers import exact_score, grid_posterior, mixture, noised, random_gaussian, sample

ALPHAS = (0.05, 0.3, 0.8, 0.95, 0.999)
TAUS = (1e-3, 0.01, 0.1, 1.0, 10.0)


def level_of(alpha):
    """Variance preserving."""
    return sf.Level(alpha, float(np.sqrt(1 - alpha**2)))


@pytest.mark.parametrize("family", [targets.Quadratic, targets.Linear])
def test_quadrature_agrees_with_the_gaussian_closed_form(key, family):
    quadrature = jax.jit(lambda t, x, level: jax.vmap(moments)(t.posterior(x, level)))
    closed = jax.jit(lambda t, x, level: t.posterior_moments(x, level))
    for tau in TAUS:
        for alpha in ALPHAS:
            target, level = family(tau, dim=6), level_of(alpha)
            x = noised(key, target, level)
            (mean, variance), (m, v) = quadrature(target, x, level), closed(target, x, level)
            if float(jnp.max(jnp.abs(target.linear * m))) / tau > 5e5:
                continue  # past what is promised
            assert jnp.all(jnp.abs(mean - m) <= 1e-9 * jnp.sqrt(v)), (tau, alpha)
            assert jnp.all(jnp.abs(variance / v - 1) <= 1e-9), (tau, alpha)


def reference(target, y, level, low, high):
    """Mean and variance of p(b|x), d = 1, with 30 digits, by Gauss-Legendre on panels no
    wider than a tenth of the sharpest scale, wherever the density exceeds 1e-25."""
    linear, quadratic, quartic, cosine = (
        float(c[0]) for c in (target.linear, target.quadratic, target.quartic, target.cosine)
    )
    alpha, sigma, tau = float(level.alpha), float(level.sigma), float(target.tau)

    def log_p(b):
        f = linear * b + quadratic * b**2 + quartic * b**4 + cosine * np.cos(2 * np.pi * b)
        return f / tau - (y - alpha * b) ** 2 / (2 * sigma**2)

    grid = np.linspace(low, high, 40001)
    values = log_p(grid)
    alive = values > values.max() - 60
    abscissa, rule = np.polynomial.legendre.leggauss(16)
    mass = first = second = mpmath.mpf(0)
    center = grid[np.argmax(values)]
    for left, right, keep in zip(grid[:-1], grid[1:], alive[1:] | alive[:-1], strict=True):
        if keep:
            half = (right - left) / 2
            b = (left + right) / 2 + half * abscissa
            p = half * rule * np.exp(log_p(b) - values.max())
            mass += mpmath.mpf(p.sum())
            first += mpmath.mpf((p * (b - center)).sum())
            second += mpmath.mpf((p * (b - center) ** 2).sum())
    shift = first / mass
    return float(center + shift), float(second / mass - shift**2)


@pytest.mark.slow
@pytest.mark.parametrize("family", [targets.Bimodal, targets.Multimodal])
@pytest.mark.parametrize("support", [sf.RealSpace(), sf.Box(-1.0, 1.0), sf.Box(-2.0, 0.7)])
@pytest.mark.parametrize("tau", [0.01, 1.0])
def test_quadrature_agrees_with_a_second_rule(family, support, tau):
    for alpha in (0.3, 0.8, 0.999):
        target, level = family(tau, 1, support), level_of(alpha)
        y = 0.3 * alpha + 0.7 * float(level.sigma)
        low, high = (max(-9.0, float(b[0])) if k == 0 else min(9.0, float(b[0]))
                     for k, b in enumerate(support.bounds(1)))  # fmt: skip
        mean, variance = reference(target, y, level, low, high)
        m, v = target.posterior_moments(jnp.array([y]), level)
        assert abs(float(m[0]) - mean) <= 1e-9 * np.sqrt(variance)
        assert abs(float(v[0]) / variance - 1) <= 1e-9


@pytest.mark.parametrize("support", [sf.RealSpace(), sf.Box(jnp.array([-1.0, 0.0]), 1.5)])
def test_the_mixture_agrees_with_a_grid(key, support):
    level, target = sf.Level(0.8, 0.6), mixture(0.4, support=support)
    x = jnp.array([0.1, 0.5])
    low = [-5.0, -5.0] if not support.has_bounds else [-1.0, 0.0]
    high = [5.0, 5.0] if not support.has_bounds else [1.5, 1.5]
    nodes, weight = grid_posterior(target, x, level, low, high, 40)
    u = (level.alpha * nodes - x) / level.sigma**2
    mean = weight @ u
    assert jnp.allclose(exact_score(target, x, level), mean, rtol=1e-9, atol=1e-9)
    trace = weight @ jnp.sum((u - mean) ** 2, axis=1)
    assert jnp.allclose(target.exact_trace(x, level), trace, rtol=1e-9)


def test_one_gaussian_is_a_mixture_of_one(key):
    """Full matrices against the textbook formula, and its trace."""
    target, precision = random_gaussian(key, 6, 0.3)
    level = sf.Level(0.8, 0.6)
    x = noised(key, target, level)
    covariance = level.alpha**2 * jnp.linalg.inv(precision) + level.sigma**2 * jnp.eye(6)
    score = -jnp.linalg.solve(covariance, x - level.alpha * target.mean[0])
    assert jnp.allclose(exact_score(target, x, level), score, rtol=1e-10)
    posterior = jnp.linalg.inv(precision + (level.alpha / level.sigma) ** 2 * jnp.eye(6))
    trace = jnp.trace(posterior) * (level.alpha / level.sigma**2) ** 2
    assert jnp.allclose(target.exact_trace(x, level), trace, rtol=1e-10)


@pytest.mark.parametrize(
    ("target", "value"),
    [
        (targets.Quadratic(1.0, 2), lambda b: -((b[0] - 0.5) ** 2) / 4 - (b[1] - 0.5) ** 2),
        (targets.Linear(1.0, 2), lambda b: 0.5 * b[0] + 1.5 * b[1]),
        (targets.Bimodal(1.0, 2), lambda b: -((b[0] ** 2 - 1) ** 2) - 0.5 * b[1] ** 2),
        (targets.Multimodal(1.0, 2), lambda b: jnp.sum(0.5 * jnp.cos(2 * jnp.pi * b) - b**2 / 4)),
    ],
)  # fmt: skip
def test_families_are_the_papers_up_to_a_constant(key, target, value):
    actions = jax.random.normal(key, (20, 2))
    turned = actions @ target.rotation.T
    gap = jax.vmap(target.value)(actions) - jax.vmap(value)(turned)
    assert jnp.allclose(gap, gap[0], atol=1e-12)
    assert jnp.allclose(target.rotation @ target.rotation.T, jnp.eye(2), atol=1e-12)
    assert jnp.linalg.det(target.rotation) > 0


def test_one_dimension_has_the_first_coefficient():
    assert targets.Linear(1.0, 1).linear.tolist() == [0.5]
    assert targets.Quadratic(1.0, 1).quadratic.tolist() == [-0.25]


@pytest.mark.parametrize("support", [sf.RealSpace(), sf.Box(-1.0, 1.0)])
@pytest.mark.parametrize("family", [targets.Bimodal, targets.Multimodal, targets.Quadratic])
def test_samples_have_the_right_moments(key, family, support):
    """z-tests of first and second moments against the quadrature of pi itself."""
    target = family(0.5, 2, support)
    actions = sample(target, key, 40_000)
    wide = sf.Level(1e-6, 1.0)  # a likelihood so wide that the posterior is pi
    mean, variance = target.posterior_moments(jnp.zeros(2), wide)
    turned = actions @ target.rotation.T
    for values, truth in ((turned, mean), ((turned - mean) ** 2, variance)):
        z = (values.mean(0) - truth) / (values.std(0) / np.sqrt(len(values)))
        assert jnp.all(jnp.abs(z) < 4.0)


@pytest.mark.slow
def test_mixture_samples_on_a_box_have_the_right_moments(key):
    target = mixture(0.5, support=sf.Box(-1.0, 1.0))
    actions = sample(target, key, 40_000)
    score = exact_score(target, jnp.zeros(2), sf.Level(1e-4, 1.0))
    z = (actions.mean(0) - score / 1e-4) / (actions.std(0) / 200.0)
    assert jnp.all(jnp.abs(z) < 4.0)
    assert jnp.all(jnp.abs(actions) <= 1)
