"""The reference of a diagnosis: its mean, its error, and when it is not believed."""

import jax
import jax.numpy as jnp
import numpy as np

from steinflow.diagnosis.reference import Moments, jackknife, pooled


def test_the_jackknife_is_the_usual_one_where_shares_are_equal(key):
    values = jax.random.normal(key, (12, 3))
    total, square = jackknife(jnp.full(12, 3.0), values)
    np.testing.assert_allclose(total, values.mean(axis=0))
    np.testing.assert_allclose(square, np.sum(np.var(values, axis=0, ddof=1)) / 12.0)
    alone, unsure = jackknife(jnp.array([0.0, 60.0, 0.0]), values[:3])
    apart = values[1] - 0.5 * (values[0] + values[2])  # what all the others say
    np.testing.assert_allclose(alone, values[1])
    np.testing.assert_allclose(unsure, 4.0 / 9.0 * np.sum(apart**2))


def test_a_reference_that_its_own_weights_contradict_is_not_believed(key):
    """Parts that agree with one another, and not with what their draws say; and too few draws."""
    means = 1.0 + 0.01 * jax.random.normal(key, (16, 2))
    parts = Moments(jnp.zeros((16, 2)), means, jnp.ones(16), jnp.zeros((16, 2)), jnp.zeros(16))
    many = jnp.full(16, -7.0)  # log Σ w² beside log Σ w = 0: about a thousand draws each
    result = pooled(jnp.zeros(16), many, parts)
    np.testing.assert_allclose(result.mse, np.sum(np.mean(means, 0) ** 2), rtol=1e-6)
    sound = pooled(jnp.zeros(16), many, parts._replace(mean=parts.score))
    assert sound.mse == 0.0 and sound.ess > 1e4
    few = pooled(jnp.zeros(16), jnp.zeros(16), parts._replace(mean=parts.score))
    np.testing.assert_allclose((few.ess, few.mse), (16.0, 1.0))
