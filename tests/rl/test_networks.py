"""The networks of critics, against what they should equal."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from steinflow.rl.heads import Categorical, Scalar
from steinflow.rl.networks import Critics, Layers, least


def test_layer_normalisation_is_that_of_the_textbook():
    layers = Layers(jax.random.key(0), (3, 2), (16, 16), 4, normalised=True)
    a, b = jax.random.normal(jax.random.key(1), (3,)), jnp.array([0.3, -2.0])

    def standardised(h):
        return (h - h.mean()) / jnp.sqrt(h.var() + 1e-5)

    h = a @ layers.first[0] + b @ layers.first[1] + layers.biases[0]
    for weight, bias in zip(layers.weights, layers.biases[1:], strict=True):
        h = jax.nn.relu(standardised(h)) @ weight + bias
    assert np.allclose(layers(a, b), h, atol=1e-5)


@pytest.mark.parametrize("head", [Scalar(), Categorical()])
def test_the_gradient_of_the_least_critic_is_that_of_the_minimum(head):
    critics = Critics(jax.random.key(1), 3, 2, (8, 8), 3, head=head)
    obs, actions = jnp.ones(3), 10.0 * jax.random.uniform(jax.random.key(1), (20, 2)) - 5.0

    def through(action):
        return jnp.min(critics(obs, action))

    result = jax.vmap(jax.value_and_grad(lambda a: 2.0 * least(critics, obs, a)))(actions)
    wanted = jax.vmap(jax.value_and_grad(lambda a: 2.0 * through(a)))(actions)
    for one, other in zip(result, wanted, strict=True):
        assert np.allclose(one, other, atol=1e-5)
    which = np.argmin(jax.vmap(lambda a: critics(obs, a))(actions), axis=1)
    assert np.unique(which).size > 1
