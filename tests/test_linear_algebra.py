"""The orthogonal solver, against LAPACK and on matrices that have no unique answer."""

import jax
import jax.numpy as jnp
import numpy as np

from steinflow.linear_algebra import centred, inverse_root, least_squares


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


def test_centring_keeps_small_differences():
    """Rows near 1e8 whose mean is nearly the first row: a plain mean would round it away."""
    rows = 1e8 + jnp.array([[0.0], [1.0], [3.0]])
    weight = jnp.array([1.0 - 2e-9, 1e-9, 1e-9])
    result = centred(rows, weight, jnp.argmax(weight))[0, 0]
    assert abs(float(result) + 4e-9) < 1e-15
    assert abs(float((rows - weight @ rows)[0, 0]) + 4e-9) > 1e-10


def test_inverse_root(key):
    root = jax.random.normal(key, (5, 5))
    matrix = root @ root.T + 0.1 * jnp.eye(5)
    result = inverse_root(matrix)
    assert np.allclose(result.T @ result, np.linalg.inv(matrix), rtol=1e-9)
    assert np.isclose(-2 * jnp.log(jnp.diag(result)).sum(), np.linalg.slogdet(matrix)[1])
    assert np.allclose(result, np.tril(result))


def test_the_package_never_calls_lapack():
    """Batched LAPACK under vmap can hang on a CPU with few cores."""
    import re
    from pathlib import Path

    import steinflow

    for path in Path(steinflow.__file__).parent.rglob("*.py"):
        banned = re.findall(r"jnp\.linalg\.(?!norm)\w+|jax\.scipy\.linalg", path.read_text())
        assert not banned, (path, banned)
