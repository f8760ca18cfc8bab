"""Exact scores of latent distributions, against a full grid of the latent target itself."""

import jax.numpy as jnp
import numpy as np
import pytest

import steinflow as sf
from steinflow.targets import GaussianMixture, Multimodal, random_networks
from tests.helpers import exact_score, grid_posterior

BOX = sf.Box(jnp.array([-1.0, 0.0]), jnp.array([1.0, 3.0]))
RNG = np.random.default_rng(0)
MIXTURE = GaussianMixture(
    RNG.uniform(-1, 2, (5, 2)), RNG.uniform(2, 20, (5, 2)), RNG.normal(size=5), 0.3, BOX
)


@pytest.mark.parametrize(
    "target", [Multimodal(0.3, 2, BOX), MIXTURE, random_networks(3, 0.05, 2, BOX)]
)
@pytest.mark.parametrize("alpha", [0.1, 0.9])
def test_latent_scores_agree_with_a_full_grid(target, alpha):
    level, y, hidden = sf.Level(alpha, 1 - alpha), jnp.array([0.4, -0.3]), sf.latent(target)
    nodes, weight = grid_posterior(hidden, y, level, (-15, -15), (15, 15), 45)
    u = (alpha * nodes - y) / level.sigma**2
    score = weight @ u
    trace = jnp.sum(weight @ (u - score) ** 2)
    slack = 1e-6 * (jnp.linalg.norm(score) + trace**0.5)
    assert jnp.linalg.norm(exact_score(hidden, y, level) - score) < slack
    assert abs(float(hidden.exact_trace(y, level) / trace) - 1) < 1e-5
