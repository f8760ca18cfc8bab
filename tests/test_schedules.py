"""Schedules and conversions: one direction of time, and units that agree."""

import jax
import jax.numpy as jnp
import pytest

import steinflow as sf
from tests.helpers import sample

SCHEDULES = [sf.LinearFlow(), sf.VariancePreserving(), sf.VarianceExploding()]


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_zero_is_noise_and_one_is_data(schedule):
    start, end = schedule(0.0), schedule(1.0)
    assert float(start.sigma / (start.alpha + 1e-9)) > 5 > float(end.sigma / end.alpha)
    signal = jax.vmap(lambda t: schedule(t).alpha / schedule(t).sigma)(jnp.linspace(0.01, 0.99, 50))
    assert jnp.all(jnp.diff(signal) > 0)


def test_the_published_coefficients():
    level = sf.LinearFlow()(0.25)
    assert (float(level.alpha), float(level.sigma)) == (0.25, 0.75)
    level = sf.VariancePreserving()(1 / 3)
    assert abs(float(level.alpha) - 0.5) < 1e-12
    assert abs(float(level.alpha**2 + level.sigma**2) - 1) < 1e-12
    assert float(sf.VarianceExploding()(0.5).alpha) == 1.0


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_rates_are_the_derivatives(schedule):
    for t in (0.2, 0.7):
        up, down = schedule(t + 1e-6), schedule(t - 1e-6)
        rates = schedule.rates(t)
        for rate, high, low in zip(
            rates, (up.alpha, up.sigma), (down.alpha, down.sigma), strict=True
        ):
            assert jnp.allclose(rate, (high - low) / 2e-6, atol=1e-6)


def test_units_agree_for_a_gaussian(key):
    """a ~ N(0, 1): E[a|x] = alpha x/(alpha^2 + sigma^2), E[eps|x] = sigma x/(...)."""
    x = jax.random.normal(key, (3,))
    for t in (0.2, 0.6):
        schedule = sf.LinearFlow()
        level = schedule(t)
        total = level.alpha**2 + level.sigma**2
        score = -x / total
        mean, eps = level.alpha * x / total, level.sigma * x / total
        assert jnp.allclose(sf.posterior_mean(score, x, level), mean)
        assert jnp.allclose(sf.noise(score, x, level), eps)
        assert jnp.allclose(sf.velocity(score, x, level), mean - eps)
        assert jnp.allclose(schedule.velocity(score, x, t), mean - eps)


EXACT = sf.ControlVariate(sf.InSample("matrix"))  # on a Gaussian: the flow alone is tested
GAUSSIAN = sf.targets.Quadratic(0.5, 2)
WALLED = sf.targets.Bimodal(0.5, 2, sf.Box(-1.0, 1.0))
SAMPLED = [
    *((GAUSSIAN, schedule, EXACT, 1500, 40) for schedule in SCHEDULES),
    (WALLED, sf.LinearFlow(), sf.auto(), 400, 20),
]


@pytest.mark.slow
@pytest.mark.parametrize(("target", "schedule", "estimator", "samples", "steps"), SAMPLED)
def test_samples_follow_the_target(key, target, schedule, estimator, samples, steps):
    """Sampling without a network, by estimated scores, against exact samples."""
    actions = jax.jit(
        lambda k: sf.sample(
            k, target, schedule, num_samples=samples, num_steps=steps, estimator=estimator,
            num_draws=32,
        )
    )(key)  # fmt: skip
    exact = sample(target, jax.random.key(9), 1500)
    assert actions.shape == (samples, 2)
    if target.support.has_bounds:
        assert jnp.all(jnp.abs(actions) <= 1.0 + 1e-9)

    def energy(a, b):
        def mean(u, v):
            return jnp.mean(jnp.linalg.norm(u[:, None] - v[None], axis=-1))

        return 2 * mean(a, b) - mean(a, a) - mean(b, b)

    noise = jax.random.normal(key, (1500, 2))
    assert energy(actions, exact) < 0.02 < energy(noise, exact)
