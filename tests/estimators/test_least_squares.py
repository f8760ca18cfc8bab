"""The orthogonal solver, against LAPACK and on matrices that have no unique answer."""

import jax
import jax.numpy as jnp
import numpy as np

from steinflow.estimators.least_squares import centred, least_squares


def test_agrees_with_lapack(key):
    matrix, rhs = jax.random.normal(key, (40, 7)), jax.random.normal(key, (40, 3))
    expected, *_ = np.linalg.lstsq(np.asarray(matrix), np.asarray(rhs), rcond=None)
    assert np.allclose(least_squares(matrix, rhs), expected, atol=1e-12)


def test_survives_rows_of_very_different_size(key):
    matrix = jax.random.normal(key, (30, 5)) * jnp.logspace(0, -12, 30)[:, None]
    truth = jax.random.normal(jax.random.key(1), (5, 2))
    assert np.allclose(least_squares(matrix, matrix @ truth), truth, rtol=1e-9)


def test_a_dependent_column_gets_zero(key):
    column = jax.random.normal(key, (10, 1))
    matrix = jnp.concatenate([column, 2 * column, jnp.zeros((10, 1))], axis=1)
    solution = least_squares(matrix, 3 * column)
    assert np.allclose(solution[:, 0], [3.0, 0.0, 0.0])


def test_centring_keeps_small_differences(key):
    rows = 1e8 + jnp.array([[0.0], [1e-6], [3e-6]])
    weight = jnp.array([1.0 - 2e-9, 1e-9, 1e-9])
    offset = rows - rows[0]
    expected = offset - weight @ offset
    assert np.array_equal(centred(rows, weight, jnp.argmax(weight)), expected)
