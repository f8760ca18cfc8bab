"""The truncated normal, against 40 digits, far in its tails and in both precisions."""

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from scipy.special import erfcx, ndtri

from steinflow.truncated_normal import log_mass, log_mills, quantile

mpmath.mp.dps = 60


def exact_log_mass(a, b):
    """log(Phi(b) - Phi(a)) with mpmath."""
    a, b = mpmath.mpf(float(a)), mpmath.mpf(float(b))
    if a + b < 0:
        a, b = -b, -a
    root = mpmath.sqrt(2)
    mass = (mpmath.erfc(a / root) - mpmath.erfc(b / root)) / 2
    return float(mpmath.log(mass))


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 5e-14), (np.float32, 3e-7)])
def test_mills_ratio(dtype, tolerance):
    z = np.concatenate([np.linspace(0, 60, 2001), np.logspace(1, 7, 100)]).astype(dtype)
    expected = np.log(erfcx(z.astype(np.float64) / np.sqrt(2)))
    error = np.abs(log_mills(jnp.asarray(z)) - expected)
    assert np.max(error / (1.0 + np.abs(expected))) < tolerance


CASES = {
    "wide": lambda rng: (5 * rng.normal(), 10 ** rng.uniform(-1, 2)),
    "tail": lambda rng: (10 ** rng.uniform(0, 2), 10 ** rng.uniform(-2, 1)),
    "narrow": lambda rng: (rng.normal(), 10 ** rng.uniform(-3, -1)),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-11), (np.float32, 3e-4)])
def test_log_mass_and_quantile(case, dtype, tolerance):
    rng = np.random.default_rng(3)
    ends, numbers = [], []
    for _ in range(200):
        low, width = CASES[case](rng)
        low, high = float(dtype(low)), float(dtype(low + width))
        ends.append((low, high) if rng.random() < 0.5 else (-high, -low))
        numbers.append(rng.uniform())
    a, b = (jnp.asarray(np.array(e, dtype)) for e in zip(*ends, strict=True))
    u = jnp.asarray(np.array(numbers, dtype))
    result, z = np.asarray(log_mass(a, b), float), np.asarray(quantile(u, a, b), float)
    for k in range(a.size):
        expected = exact_log_mass(a[k], b[k])
        assert abs(result[k] - expected) <= tolerance * max(1.0, abs(expected))
        assert float(a[k]) <= z[k] <= float(b[k])
        if float(a[k]) < z[k] < float(b[k]):
            share = np.exp(exact_log_mass(a[k], z[k]) - expected)
            assert abs(share - float(u[k])) < 30 * tolerance


@pytest.mark.parametrize("chance", [1e-3, 1e-9, 1e-15])
def test_a_chance_as_good_as_zero_keeps_its_digits(chance):
    """Of intervals so long that truncation counts for nothing."""
    for right in (20.0, 30.0):
        result = quantile(jnp.asarray(chance), jnp.asarray(-20.0), jnp.asarray(right))
        assert float(result) == pytest.approx(ndtri(chance), rel=1e-12)


def test_extremes_are_finite():
    with jax.enable_x64(False):
        a = jnp.array([-2010.0, 10.0, -1e-3, 1e4, -1e4], jnp.float32)
        b = jnp.array([-10.0, 2010.0, 1e-3, 1e4 + 1, 1e4], jnp.float32)
        for u in (1e-7, 0.5, 1 - 1e-7):
            z = quantile(jnp.full(5, u, jnp.float32), a, b)
            assert jnp.all(jnp.isfinite(z)) and jnp.all((z >= a) & (z <= b))
        assert jnp.all(jnp.isfinite(log_mass(a, b)))
