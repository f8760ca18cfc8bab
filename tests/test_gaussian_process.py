"""The Gaussian process of Q: its algebra against autodiff and against leaving points out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from steinflow.gaussian_process import TREND, cross, fit, gram


def kernel(a, b):
    """k(a, b), written down once more."""
    return jnp.exp(-0.5 * jnp.sum((a - b) ** 2)) + TREND * (1.0 + a @ b) ** 2


def smooth(a):
    """A function with values and gradients of order one."""
    return jnp.sin(2.0 * a[0]) + a[-1] ** 2 * jnp.cos(a[0])


def data(key, count, dim, f=smooth):
    """Points in a box, with values and gradients."""
    a = jax.random.uniform(key, (count, dim), minval=-1.0)
    return a, *jax.vmap(jax.value_and_grad(f))(a)


def test_covariances_are_derivatives_of_the_kernel(key):
    a, b = jax.random.normal(key, (2, 3, 2))
    value = jax.vmap(lambda x: jax.vmap(lambda y: kernel(x, y))(b))(a)
    slope = jax.vmap(lambda x: jax.vmap(lambda y: jax.grad(kernel, 1)(x, y))(b))(a)
    np.testing.assert_allclose(cross(a, b)[..., 0], value, rtol=1e-12)
    np.testing.assert_allclose(cross(a, b)[..., 1:], slope, rtol=1e-12)
    full = gram(a).reshape(3, 3, 3, 3)  # point, value or slope, point, value or slope
    both = jax.jacfwd(jax.grad(kernel, 1), 0)
    bent = jax.vmap(lambda x: jax.vmap(lambda y: both(x, y))(a))(a)  # [x, y, d_y, d_x]
    np.testing.assert_allclose(full[:, 0], cross(a, a), rtol=1e-12)
    np.testing.assert_allclose(full[:, 1:, :, 1:], bent.transpose(0, 3, 1, 2), rtol=1e-10)
    np.testing.assert_allclose(gram(a), gram(a).T, rtol=1e-12)


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_it_passes_through_values_and_gradients(key, dim):
    a, value, slope = data(key, 12, dim)
    process = fit(a, value, slope)
    np.testing.assert_allclose(process.predict(a), value, atol=1e-3)
    found = jax.vmap(jax.grad(lambda z: process.predict(z[None])[0]))(a)
    np.testing.assert_allclose(found, slope, atol=1e-2)
    assert jnp.all(process.uncertainty(a) < 1e-4 * process.variance)


def test_its_uncertainty_is_that_of_its_errors(key):
    """Squared errors away from the points are of the size of the variance."""
    ratios = []
    for k in jax.random.split(key, 20):
        process = fit(*data(k, 8, 2, lambda a: jnp.sin(3.0 * a[0] + a[1])))
        a, value, _ = data(jax.random.fold_in(k, 1), 200, 2, lambda a: jnp.sin(3.0 * a[0] + a[1]))
        error = (process.predict(a) - value) ** 2
        ratios.append(jnp.mean(error) / jnp.mean(process.uncertainty(a)))
    assert 0.02 < float(np.exp(np.mean(np.log(ratios)))) < 5.0


def test_doubt_is_the_error_at_points_left_out(key):
    """What is computed by the inverse agrees with fits to all other points."""
    a, value, slope = data(key, 7, 2)
    process = fit(a, value, slope)
    matrix = gram(process.points)
    matrix = matrix + 1e-8 * jnp.diag(jnp.diag(matrix))
    y = jnp.concatenate([(value - process.offset)[:, None], slope * process.scale], axis=1).ravel()
    total = 0.0
    for i in range(7):
        own = np.arange(3 * i, 3 * i + 3)
        rest = np.setdiff1d(np.arange(21), own)
        gain = jnp.linalg.solve(matrix[np.ix_(rest, rest)], matrix[rest, 3 * i])
        missed = y[3 * i] - gain @ y[rest]
        total += missed**2 / (matrix[3 * i, 3 * i] - gain @ matrix[rest, 3 * i])
    np.testing.assert_allclose(process.doubt, total / 7 / process.variance, rtol=1e-3)


def test_points_in_one_place_are_no_error(key):
    a = jnp.zeros((5, 2))
    process = fit(a, jnp.ones(5), jnp.zeros((5, 2)))
    assert jnp.all(jnp.isfinite(process.predict(a + 0.1)))
