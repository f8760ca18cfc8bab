"""Proposals: their draws have the density that they claim."""

import jax.numpy as jnp
import numpy as np
import pytest

import steinflow as sf
from steinflow.draws import uniforms, weights
from steinflow.points import Point
from steinflow.targets import Boltzmann
from tests.helpers import proposed

BOX = sf.Box(jnp.array([-1.0, 0.0]), jnp.array([1.0, 3.0]))


@pytest.mark.parametrize(
    ("proposal", "support"),
    [(sf.GaussianProposal(), sf.RealSpace()), (sf.TruncatedGaussianProposal(), BOX)],
)
def test_density_and_draws_agree(key, proposal, support):
    """By quadrature the density has mass one and the mean and variance of the draws."""
    point = Point(jnp.array([0.9, -0.5]), sf.Level(0.7, 0.4), support)
    low, high = ((-6.0, -6.0), (6.0, 6.0)) if not support.has_bounds else ((-1.0, 0.0), (1.0, 3.0))
    axes = [np.linspace(lo, hi, 801) for lo, hi in zip(low, high, strict=True)]
    nodes = jnp.asarray(np.stack([m.ravel() for m in np.meshgrid(*axes, indexing="ij")], -1))
    area = np.prod([a[1] - a[0] for a in axes])
    ends = [np.where((np.arange(801) % 800) == 0, 0.5, 1.0)] * 2
    density = jnp.exp(proposal.log_prob(nodes, point))
    mass = density * jnp.asarray(np.outer(*ends).ravel()) * area
    assert abs(float(mass.sum()) - 1) < 1e-4
    actions = proposal.actions(uniforms(key, 20_000, 2, jnp.float64), point)
    mean = mass @ nodes
    for values, truth in ((actions, mean), ((actions - mean) ** 2, mass @ (nodes - mean) ** 2)):
        z = (values.mean(0) - truth) / (values.std(0) / np.sqrt(20_000))
        assert jnp.all(jnp.abs(z) < 4)
    assert jnp.all((actions >= support.bounds(2)[0]) & (actions <= support.bounds(2)[1]))


def test_a_flat_q_has_full_effective_sample_size_on_a_box(key):
    target = Boltzmann(lambda a: 0.0 * a[0], 1.0, sf.Box(-1.0, 1.0))
    for alpha in (0.01, 0.3, 0.99):
        level = sf.Level(alpha, 1 - alpha)
        estimate = sf.score_target(key, target, jnp.full(6, 0.4), level, "noise", num_draws=100)
        assert abs(float(estimate.info.ess) - 100) < 1e-6


def test_draws_outside_a_box_have_weight_zero(key):
    target = Boltzmann(lambda a: jnp.sum(jnp.log(1.0 - a**2)), 1.0, sf.Box(-1.0, 1.0))
    point = Point(jnp.array([0.9]), sf.Level(0.8, 0.6), target.support)
    draws = proposed(key, target, point, sf.GaussianProposal(), 200)
    outside = jnp.abs(draws.action[:, 0]) > 1
    assert 10 < int(outside.sum()) < 190
    assert jnp.all(weights(draws)[outside] == 0) and not jnp.any(draws.invalid)


def test_far_outside_a_box_nothing_is_lost(key):
    """x ten sigma outside: draws crowd at the bound at the exponential rate of the tail."""
    x = jnp.array([0.999 + 1e-2])
    for dtype in (jnp.float64, jnp.float32):
        uniform = uniforms(key, 4000, 1, dtype)
        box = sf.Box(jnp.asarray(-1.0, dtype), jnp.asarray(1.0, dtype))
        low_level = sf.Level(*(jnp.asarray(v, dtype) for v in (0.999, 1e-3)))
        point = Point(x.astype(dtype), low_level, box)
        actions = sf.TruncatedGaussianProposal().actions(uniform, point)
        depth = (1.0 - actions.astype(float)) / (1e-3 / 0.999)  # in sigma from the bound
        assert jnp.all(depth >= 0)
        assert abs(float(depth.mean()) - 0.098) < 0.01  # mean of N(0, 1) beyond 10, less 10
