"""Sums of random networks: their exact scores against other rules, and their samples."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import steinflow as sf
from steinflow.targets import networks, random_networks
from tests.helpers import exact_score, grid_posterior, noised, sample

SUPPORTS = [
    sf.RealSpace(),
    sf.Box(-1.0, 1.0),
    sf.Box(jnp.array([-2.0, 0.0]), jnp.array([1.0, 3.0])),
]


@pytest.mark.slow
@pytest.mark.parametrize("support", SUPPORTS)
@pytest.mark.parametrize("tau", [0.05, 1.0])
def test_scores_agree_with_a_full_grid(key, support, tau):
    """In two dimensions, rotated on R^d, against a rule on the whole action space."""
    target = random_networks(4, tau, 2, support)
    for alpha in (0.2, 0.9):
        level = sf.Level(alpha, 1 - alpha)
        x = noised(key, target, level)
        low, high = ((-6.0, -6.0), (6.0, 6.0)) if not support.has_bounds else support.bounds(2)
        nodes, weight = grid_posterior(target, x, level, low, high, 50)
        u = (alpha * nodes - x) / level.sigma**2
        score = weight @ u
        trace = jnp.sum(weight @ (u - score) ** 2)
        slack = 1e-6 * (jnp.linalg.norm(score) + trace**0.5)
        assert jnp.linalg.norm(exact_score(target, x, level) - score) < slack
        assert abs(float(target.exact_trace(x, level) / trace) - 1) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("support", SUPPORTS[:2])
def test_scores_agree_with_a_finer_rule_in_odd_dimensions(key, support, monkeypatch):
    for tau in (0.02, 0.5):
        target, level = random_networks(7, tau, 5, support), sf.Level(0.5, 0.5)
        x = noised(key, target, level)
        score = target.exact_score(x, level)
        with monkeypatch.context() as patch:
            patch.setattr(networks, "PANELS", 31)
            finer = target.exact_score(x, level)
        slack = 1e-6 * (jnp.linalg.norm(score) + target.exact_trace(x, level) ** 0.5)
        assert jnp.linalg.norm(score - finer) < slack


@pytest.mark.parametrize("support", SUPPORTS[:2])
def test_samples_have_the_score_as_mean(key, support):
    """At alpha -> 0 the score is that of the prior's mean: z-tests on 20,000 samples."""
    target = random_networks(2, 0.3, 3, support)
    actions = sample(target, key, 20_000)
    level = sf.Level(1e-4, 1.0)
    mean = exact_score(target, jnp.zeros(3), level) / 1e-4
    z = (actions.mean(0) - mean) / (actions.std(0) / np.sqrt(20_000))
    assert jnp.all(jnp.abs(z) < 4)


def test_values_are_sums_over_pairs():
    target = random_networks(1, 1.0, 3)
    a = jnp.array([0.3, -0.4, 0.9])
    b = np.append(np.asarray(target.rotation @ a), 0.0).reshape(2, 2)
    total = -0.5 * float(a @ a)
    for p in range(2):
        hidden = np.tanh(target.first[p] @ b[p] + target.bias[p])
        total += target.last[p] @ np.tanh(target.second[p] @ hidden + target.shift[p])
    assert np.isclose(float(target.value(a)), total)
    assert jax.grad(target.value)(a).shape == (3,)
