"""Exact scores once more by another way: 30 digits of mpmath, or a product rule in the plane."""

from itertools import product

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

import steinflow as sf
from steinflow.targets import Bimodal, GaussianMixture, Linear, Multimodal, Quadratic
from tests.helpers import exact_score, grid_posterior, noised, random_gaussian

FAMILIES = (Quadratic, Linear, Bimodal, Multimodal)
BOX = sf.Box(-1.0, 1.0)
LINE = list(product(FAMILIES, (sf.RealSpace(), BOX), (0.02, 0.5), (0.1, 0.6, 0.95)))
PLANE = list(product((Bimodal, Multimodal), (0.1, 1.0), (0.3, 0.8, 0.95)))

pytestmark = pytest.mark.soak


def on_the_line(target, x, level):
    """s*(x) for d = 1, by Gauss-Legendre panels wherever the density exceeds 1e-30 of its peak."""
    tau, alpha, sigma = (mpmath.mpf(float(v)) for v in (target.tau, level.alpha, level.sigma))
    linear, square, fourth, wave = (mpmath.mpf(float(c[0])) for c in target.coefficients)
    point = mpmath.mpf(float(x[0]))

    far = float(abs(linear) / tau * (sigma / alpha) ** 2)  # a slope moves the likelihood so far

    def log_p(b):
        f = linear * b + square * b**2 + fourth * b**4 + wave * mpmath.cos(2 * mpmath.pi * b)
        return f / tau - (point - alpha * b) ** 2 / (2 * sigma**2)

    reach = 1.0 if target.support.has_bounds else 40.0 / float(alpha) + far
    edges = np.linspace(-reach, reach, 2001 if target.support.has_bounds else 200_001)
    lin, two, four, cos = (float(c[0]) for c in target.coefficients)
    f = lin * edges + two * edges**2 + four * edges**4 + cos * np.cos(2 * np.pi * edges)
    rough = f / float(tau) - (float(point) - float(alpha) * edges) ** 2 / (2 * float(sigma) ** 2)
    alive = rough > rough.max() - 69.0
    alive = alive[1:] | alive[:-1]
    starts, ends = (np.flatnonzero(np.diff(np.r_[False, alive, False].astype(int)) == s)
                    for s in (1, -1))  # fmt: skip
    top, mass, first = mpmath.mpf(float(rough.max())), mpmath.mpf(0), mpmath.mpf(0)
    for start, end in zip(starts, ends, strict=True):
        cuts = [mpmath.mpf(float(e)) for e in np.linspace(edges[start], edges[end], 25)]
        mass += mpmath.quad(lambda b: mpmath.exp(log_p(b) - top), cuts, method="gauss-legendre")
        first += mpmath.quad(
            lambda b: b * mpmath.exp(log_p(b) - top), cuts, method="gauss-legendre"
        )
    return float((alpha * first / mass - point) / sigma**2)


def scale(target, x, level):
    return jnp.linalg.norm(exact_score(target, x, level)) + target.exact_trace(x, level) ** 0.5


@pytest.mark.parametrize("number", range(len(LINE)))
def test_on_the_line(number):
    family, support, tau, alpha = LINE[number]
    target, level = family(tau, 1, support), sf.Level(alpha, float(np.sqrt(1 - alpha**2)))
    x = noised(jax.random.key(number), target, level)
    with mpmath.workdps(30):
        wanted = on_the_line(target, x, level)
    assert abs(exact_score(target, x, level)[0] - wanted) < 1e-9 * scale(target, x, level)


@pytest.mark.parametrize("number", range(len(PLANE)))
def test_turned_in_the_plane(number):
    """Q is not a sum in the coordinates of the rule."""
    family, tau, alpha = PLANE[number]
    level = sf.Level(alpha, float(np.sqrt(1 - alpha**2)))
    target = family(tau, 2)
    assert abs(target.rotation[0, 1]) > 0.1
    agrees(jax.random.key(number), target, level, reach=9.0)


@pytest.mark.parametrize("number", range(4))
def test_gaussians_in_the_plane(number):
    target, _ = random_gaussian(jax.random.key(number), 2, tau=0.7)
    assert isinstance(target, GaussianMixture)
    agrees(jax.random.key(10 + number), target, sf.Level(0.6, 0.8), reach=12.0)


def agrees(key, target, level, reach):
    x = noised(key, target, level)
    middle = np.asarray(x) / float(level.alpha) if float(level.alpha) > 0.9 else np.zeros(2)
    width = min(reach, 12.0 * float(level.sigma / level.alpha))
    nodes, p = grid_posterior(target, x, level, middle - width, middle + width, 60)
    wanted = (level.alpha * (p @ nodes) - x) / level.sigma**2
    gap = jnp.linalg.norm(exact_score(target, x, level) - wanted)
    assert gap < 1e-8 * scale(target, x, level)
