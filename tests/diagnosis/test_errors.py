"""Squared errors of methods: which draws they share, and where they are judged."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import steinflow as sf
from steinflow.diagnosis.errors import Group, grouped, measured, nested
from steinflow.points import Point, log_likelihood
from steinflow.proposals import NormalProposal
from steinflow.score import shared_draws

BOX = sf.Box(-1.0, 1.0)
TARGET = sf.targets.Multimodal(1.0, 2, BOX)
METHODS = sf.ESTIMATORS


def test_smaller_numbers_are_the_first_draws_of_the_largest(key):
    """The first 4 of 8 draws of every level, weighed by the mixture of what 4 draws a level are."""
    target, levels = TARGET, sf.Level(jnp.array([0.3, 0.8]), jnp.array([0.7, 0.2]))
    xs, proposal = jnp.array([[0.1, -0.2], [0.4, 0.3]]), sf.TruncatedGaussianProposal()
    method = sf.Method(proposal, sf.NoiseExpectation())
    all_, _ = shared_draws(key, target, xs, levels, method, 8)
    few, kept = nested(all_, 4, 8, 2), np.r_[0:4, 8:12]
    np.testing.assert_array_equal(few.action, all_.action[kept])
    np.testing.assert_array_equal(few.value, all_.value[kept])
    points = [Point(x, sf.Level(levels.alpha[i], levels.sigma[i]), BOX) for i, x in enumerate(xs)]
    log_q = [proposal.log_prob(few.action, point) for point in points]
    for index, point in enumerate(points):
        wanted = log_likelihood(few.action, point) - np.logaddexp(*log_q)
        apart = few.log_prior[index] - wanted
        np.testing.assert_allclose(apart, apart[0], atol=1e-10)


@pytest.mark.slow
def test_clipped_means_are_judged_where_the_agent_clips(key):
    """The gradient with few draws flies far out of the box: clipped, E[a|x] is within two."""
    levels = sf.Level(jnp.array([0.2, 0.4]), jnp.array([0.8, 0.6]))
    xs = jnp.zeros((2, 2))
    truth = jax.vmap(TARGET.exact_score)(xs, levels)
    group = Group((("gradient", METHODS["gradient"]),))
    free, held = (
        measured(key, group, TARGET, xs, levels, truth, (4,), 16, clip).error[0, 0]
        for clip in (False, True)
    )
    scale = (levels.alpha / levels.sigma**2) ** 2
    assert np.all(held < free) and np.all(held <= 8.0 * scale)  # |difference of means|² <= 2 · 2²


def test_estimators_share_draws_only_where_their_proposals_are_equal():
    first, second = (
        sf.Method(NormalProposal(jnp.full(2, m), jnp.ones(2)), sf.NoiseExpectation())
        for m in (0.0, 1.0)
    )
    groups = grouped({"a": first, "b": second, "c": first, "d": sf.ESTIMATORS["cvsi"]})
    assert [[name for name, _ in group.methods] for group in groups] == [["a", "c"], ["b"], ["d"]]
