"""Weights of actions at the next state."""

import jax.numpy as jnp
import numpy as np

from steinflow.rl.critic import BACKUPS


def test_backups():
    """Weights of actions, by their values."""
    values, tau = jnp.array([2.0, -2.0, 1.0]), jnp.asarray(2.0)
    weight = np.exp(values / 2.0)
    assert np.allclose(BACKUPS["hard"](values, tau), [1.0, 0.0, 0.0])
    assert np.allclose(BACKUPS["mean"](values, tau), 1.0 / 3.0)
    assert np.allclose(BACKUPS["soft"](values, tau), weight / weight.sum(), atol=1e-6)
