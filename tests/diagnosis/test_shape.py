"""Modes and slices of a critic."""

import jax.numpy as jnp
import numpy as np

import steinflow as sf
from steinflow.diagnosis.shape import look

BOX = sf.Box(-1.0, 1.0)


def test_modes_and_slices_are_those_of_the_critic(key):
    """Four peaks in a box: two as high as matter, at (±.5, .4)."""

    def peaks(a):
        high = jnp.array([1.0, 0.9, 0.3, 0.2])
        at = jnp.array([[0.5, 0.4, 0.0], [-0.5, 0.4, 0.0], [0.5, -0.6, 0.0], [-0.5, -0.6, 0.0]])
        return jnp.max(high - 4.0 * jnp.sum((a[:2] - at[:, :2]) ** 2, axis=-1)) - 0.01 * a[2] ** 2

    seen = look(key, peaks, jnp.asarray(0.1), BOX, jnp.zeros(3))
    assert int(seen.modes) == 4 and int(seen.near) == 2
    np.testing.assert_allclose(seen.best[:2], [0.5, 0.4], atol=0.02)
    assert sorted(np.asarray(seen.axes).tolist()) == [0, 1]
    cut = np.asarray(seen.slice)
    row, column = np.unravel_index(cut.argmax(), cut.shape)
    top = seen.grid[0, row], seen.grid[1, column]
    np.testing.assert_allclose(top, np.asarray(seen.best)[np.asarray(seen.axes)], atol=0.05)
    assert cut.max() <= 0.0 and cut.max() > -0.2
