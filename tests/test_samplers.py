"""Samplers: the distributions that they draw from, against exact ones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import steinflow as sf
from steinflow.conversions import posterior_mean
from steinflow.rl.config import TrainConfig
from steinflow.rl.presets import PRESETS
from steinflow.rl.training import train
from steinflow.samplers import SAMPLERS, denoise, steps_of
from tests.rl.strange import SMALL
from tests.rl.toys import Point

SCHEDULES = [sf.LinearFlow(), sf.VariancePreserving(), sf.VarianceExploding(0.01, 5.0)]
MIXTURE = {
    "mean": np.array([[0.6, 0.5], [-0.5, -0.4], [0.5, -0.7]]),
    "precision": np.array([[16.0, 9.0], [25.0, 16.0], [9.0, 25.0]]),
    "offset": np.array([0.0, 0.3, -0.2]), "tau": 1.0,
}  # fmt: skip


def midpoints(count):
    return (jnp.arange(count + 1) + 0.5) / (count + 1)


def variance_of(schedule, sampler, count, corrector=0.0, prior=0.3):
    """Of what a sampler draws where a ~ N(0, prior): all steps are linear, so that it is known
    without a draw."""
    steps = steps_of(schedule, midpoints(count), sampler, corrector)

    def gain(level):
        return level.alpha * prior / (level.alpha**2 * prior + level.sigma**2)

    noise = jnp.zeros_like(steps.keep) if steps.noise is None else steps.noise

    def step(variance, row):
        level, keep, mean, noise = row
        return (keep + mean * gain(level)) ** 2 * variance + noise**2, None

    rows = steps.level, steps.keep, steps.mean, noise
    variance, _ = jax.lax.scan(step, steps.start**2, rows)
    return float(gain(steps.last) ** 2 * variance)


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_variance_of_a_normal_is_met_to_first_order(schedule, sampler):
    """What is left is at least halved where the steps are doubled; the limit is that of a path
    that starts without any of the action."""
    result = [variance_of(schedule, sampler, n) for n in (128, 256, 512, 1024)]
    changes = np.abs(np.diff(result))
    assert np.all(changes[:-1] > 1.7 * changes[1:])
    assert abs(result[-1] - 0.3) < 0.02 * 0.3


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_corrector_takes_the_variance_toward_its_own(sampler):
    """What Langevin steps leave is their own error, of the order of r²."""
    coarse = abs(variance_of(sf.VariancePreserving(), sampler, 10) - 0.3)
    corrected = abs(variance_of(sf.VariancePreserving(), sampler, 10, 0.3) - 0.3)
    assert corrected < 0.95 * coarse
    r = 0.05
    assert abs(variance_of(sf.LinearFlow(), sampler, 1024, r) - 0.3) < 0.3 * 2 * r**2 + 1e-3


def test_ddpm_is_the_posterior_of_ho_jain_and_abbeel():
    """Their equations 6 and 7 in their own symbols, from betas."""
    schedule, times = sf.VariancePreserving(), midpoints(7)
    steps = steps_of(schedule, times, "ddpm")
    bar = np.array([float(schedule(t).alpha) ** 2 for t in times])
    for i in range(7):
        now, before = bar[i], bar[i + 1]
        beta = 1 - now / before
        mean = np.sqrt(before) * beta / (1 - now)
        keep = np.sqrt(1 - beta) * (1 - before) / (1 - now)
        noise = np.sqrt((1 - before) / (1 - now) * beta)
        assert np.allclose([steps.mean[i], steps.keep[i], steps.noise[i]], [mean, keep, noise])


def test_the_flow_moves_along_the_schedule():
    """alpha E[a|x] + sigma E[eps|x], and no noise is drawn."""
    level, next_level, x, mean = sf.Level(0.25, 0.75), sf.Level(0.5, 0.5), 0.4, -0.2
    steps = steps_of(sf.LinearFlow(), jnp.array([0.25, 0.5]))
    eps = (x - level.alpha * mean) / level.sigma
    moved = steps.keep[0] * x + steps.mean[0] * mean
    assert steps.noise is None
    assert abs(float(moved) - (next_level.alpha * mean + next_level.sigma * eps)) < 1e-12


def test_the_sde_at_small_steps_has_the_flow_as_its_drift_but_for_half_of_the_score():
    """Song et al. (2021), equations 6 and 13: the two drifts differ by g² s/2."""
    for schedule in SCHEDULES:
        t, h = jnp.array(0.4), 1e-6
        sde, ode = (steps_of(schedule, jnp.array([t, t + h]), name) for name in ("sde", "ode"))
        level, x, mean = schedule(t), 0.3, -0.1
        score = (level.alpha * mean - x) / level.sigma**2
        drifts = [(float(s.keep[0]) * x + float(s.mean[0]) * mean - x) / h for s in (sde, ode)]
        squared = float(sde.noise[0]) ** 2 / h
        assert abs(drifts[0] - drifts[1] - 0.5 * squared * float(score)) < 1e-3 * (1 + squared)


def energy(a, b):
    """The energy distance, without bias."""

    def mean(u, v):
        return jnp.sum(jnp.linalg.norm(u[:, None] - v[None], axis=-1))

    n, m = len(a), len(b)
    return float(2 * mean(a, b) / (n * m) - mean(a, a) / (n * n - n) - mean(b, b) / (m * m - m))


def mixture():
    """Three normals on R^2: the score of exact_score, and exact samples."""
    target = sf.targets.GaussianMixture(**MIXTURE)
    return lambda x, level: posterior_mean(target.exact_score(x, level), x, level), target.sample


def wells():
    """exp(8 a² - 10 a^4 + a) in both dimensions of a box: E[a|x] by sums over a grid."""
    grid = (jnp.arange(400) + 0.5) / 200 - 1.0
    log_density = 8.0 * grid**2 - 10.0 * grid**4 + grid

    def mean(x, level):
        weight = log_density - 0.5 * ((x[:, None] - level.alpha * grid) / level.sigma) ** 2
        return jax.nn.softmax(weight) @ grid

    def draw(key, count):
        return grid[jax.random.categorical(key, log_density, shape=(count, 2))]

    return mean, draw


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("kind", [mixture, wells])
def test_exact_scores_give_exact_samples(kind, sampler, key):
    """The distance falls with the steps, into that of exact samples."""
    predict, draw = kind()
    exact, others = (draw(jax.random.key(n), 800) for n in (1, 2))
    results = []
    for count in (4, 32):
        steps = steps_of(sf.LinearFlow(), midpoints(count), sampler)

        def one(key, steps=steps):
            return denoise(key, steps, lambda key, x, level: predict(x, level), 2)

        results.append(jax.jit(jax.vmap(one))(jax.random.split(key, 800)))
    if kind is wells:
        assert all(jnp.all(jnp.abs(a) <= 1.0) for a in results)
    floor = abs(energy(exact, others)) + 2.5e-3  # some standard errors at 800 samples
    assert energy(results[1], exact) < floor < energy(results[0], exact)


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["ddpm", "sde"])
def test_estimated_scores_are_sampled_by_each(sampler, key):
    target = sf.targets.Quadratic(0.5, 2)
    exact = sf.ControlVariate(sf.InSample("matrix"))
    drawn = sf.sample(
        key, target, sf.VariancePreserving(), num_samples=800, num_steps=48, estimator=exact,
        num_draws=8, sampler=sampler, corrector=0.1,
    )  # fmt: skip
    assert energy(drawn, target.sample(jax.random.key(5), 800)) < 0.008


def test_an_unknown_sampler_is_a_sentence(key):
    with pytest.raises(ValueError, match=r"sampler.*ode"):
        sf.sample(key, sf.targets.Quadratic(0.5, 2), sf.LinearFlow(), sampler="heun")
    with pytest.raises(ValueError, match=r"sampler.*ode"):
        TrainConfig(sampler="heun")
    with pytest.raises(ValueError, match="corrector"):
        TrainConfig(corrector=-1.0)


@pytest.mark.slow
def test_the_agent_samples_as_it_is_told(key, tmp_path):
    """A policy whose variance explodes, by a predictor and a corrector."""
    options = SMALL | {"policy": "diffusion-ve", "sampler": "sde", "corrector": 0.1}
    options |= {"estimator": "noise", "flow_steps": 3}
    run = train(TrainConfig(**options), Point, tmp_path / "run")
    obs, (one, other) = np.zeros((3, run.learner.sizes.obs)), jax.random.split(key)
    actions = [run.unit(obs, k, greedy=False) for k in (one, one, other)]
    assert np.array_equal(actions[0], actions[1]) and np.all(np.abs(actions[0]) <= 1.0)
    assert not np.array_equal(actions[0], actions[2])


def test_presets_sample_as_published():
    """Both repositories draw ancestrally, by twenty steps."""
    for name in ("sdac", "qne"):
        assert PRESETS[name]["sampler"] == "ddpm" and PRESETS[name]["flow_steps"] == 20
    assert "sampler" not in PRESETS["rfm"]
