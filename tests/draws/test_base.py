"""Uniform numbers, and draws that are the first of many."""

import jax.numpy as jnp

import steinflow as sf
from steinflow.draws import prefix, uniforms, weights
from steinflow.points import Point
from tests.helpers import proposed


def test_uniforms_are_strictly_inside(key):
    for dtype in (jnp.float32, jnp.float64):
        u = uniforms(key, 100_000, 2, dtype)
        assert u.dtype == dtype and float(u.min()) > 0 and float(u.max()) < 1


def test_a_prefix_is_a_smaller_experiment(key):
    target = sf.targets.Bimodal(0.5)
    point = Point(jnp.array([0.1, 0.2]), sf.Level(0.8, 0.6), target.support)
    full = proposed(key, target, point, sf.GaussianProposal(), 64)
    part = prefix(full, 16)
    assert part.action.shape == (16, 2) and abs(float(weights(part).sum()) - 1) < 1e-12
    assert jnp.array_equal(part.gradient, full.gradient[:16])
