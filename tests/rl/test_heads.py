"""What critics regress on: the projection against a dense one, means, gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from steinflow.rl.heads import Categorical, Scalar, projected

RNG = np.random.default_rng(5)


def dense(probabilities, values, bound):
    """A [k, k] array of shares, in float64."""
    count = len(probabilities)
    place = (np.clip(values, -bound, bound) + bound) * (count - 1) / (2.0 * bound)
    shares = np.maximum(0.0, 1.0 - np.abs(place[:, None] - np.arange(count)))
    return probabilities @ shares


@pytest.mark.parametrize(
    ("reward", "discount"),
    [(0.3, 0.99), (0.3, 0.0), (0.0, 1.0), (-4.7, 0.9), (1e6, 0.5), (-1e6, 0.99), (5.0, 0.0)],
)
def test_the_projection_is_the_dense_one(reward, discount):
    p, z = RNG.dirichlet(np.ones(101)), np.linspace(-5.0, 5.0, 101)
    values = reward + discount * z
    result = projected(jnp.float32(p), jnp.float32(values), 5.0)
    assert_allclose(result, dense(p, values, 5.0), atol=3e-5)
    assert_allclose(jnp.sum(result), 1.0, rtol=1e-5)


def test_a_batch_of_projections_for_several_seeds():
    p = RNG.dirichlet(np.ones(101), (2, 7))
    values = RNG.uniform(-8.0, 8.0, (2, 7, 101))
    result = jax.vmap(jax.vmap(lambda p, v: projected(p, v, 5.0)))(
        jnp.float32(p), jnp.float32(values)
    )
    for i, j in np.ndindex(2, 7):
        assert_allclose(result[i, j], dense(p[i, j], values[i, j], 5.0), atol=3e-5)


@pytest.mark.parametrize("head", [Scalar(), Categorical()])
def test_the_mean_of_a_target_is_reward_plus_discounted_q(head):
    outputs = 0.3 * jax.random.normal(jax.random.key(0), (head.width,))
    target = head.shifted(outputs, jnp.float32(1.2), jnp.float32(0.6))
    mean = head.mean(jnp.log(target + 1e-30) if head.width > 1 else target)
    assert_allclose(mean, 1.2 + 0.6 * head.mean(outputs), atol=1e-4)


def test_the_cross_entropy_and_its_gradient():
    head = Categorical(atoms=5, bound=2.0)
    logits, target = jnp.array([0.3, -1.0, 2.0, 0.0, 0.5]), jnp.array([0.1, 0.2, 0.3, 0.4, 0.0])
    p = np.exp(logits) / np.exp(logits).sum()
    loss, slope = jax.value_and_grad(head.loss)(logits, target)
    assert_allclose(loss, -np.sum(target * np.log(p)), rtol=1e-5)
    assert_allclose(slope, p - target, atol=1e-6)
    assert_allclose(head.mean(logits), p @ np.array([-2.0, -1.0, 0.0, 1.0, 2.0]), rtol=1e-5)
