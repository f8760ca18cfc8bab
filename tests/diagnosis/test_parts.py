"""The parts of a diagnosis, each against what it must be."""

import jax
import jax.numpy as jnp
import numpy as np

import steinflow as sf
from steinflow.diagnosis.errors import Group, Losses, grouped, measured, nested
from steinflow.diagnosis.recommend import Measures, compared
from steinflow.diagnosis.reference import Moments, Reference, jackknife, pooled
from steinflow.diagnosis.runs import sizes_beside
from steinflow.diagnosis.shape import look
from steinflow.diagnosis.table import Measured
from steinflow.points import Point, log_likelihood
from steinflow.proposals import NormalProposal
from steinflow.score import shared_draws

BOX = sf.Box(-1.0, 1.0)
TARGET = sf.targets.Multimodal(1.0, 2, BOX)
METHODS = sf.ESTIMATORS


def test_numbers_of_draws_beside_a_run_s_own():
    assert sizes_beside(48) == (24, 48, 96, 128)
    assert sizes_beside(4) == (2, 4, 8, 32)
    assert sizes_beside(1) == (2, 8)


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


def test_the_jackknife_is_the_usual_one_where_shares_are_equal(key):
    values = jax.random.normal(key, (12, 3))
    total, square = jackknife(jnp.full(12, 3.0), values)
    np.testing.assert_allclose(total, values.mean(axis=0))
    np.testing.assert_allclose(square, np.sum(np.var(values, axis=0, ddof=1)) / 12.0)
    alone, unsure = jackknife(jnp.array([0.0, 60.0, 0.0]), values[:3])
    apart = values[1] - 0.5 * (values[0] + values[2])  # what all the others say
    np.testing.assert_allclose(alone, values[1])
    np.testing.assert_allclose(unsure, 4.0 / 9.0 * np.sum(apart**2))


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


def test_a_reference_that_its_own_weights_contradict_is_not_believed(key):
    """Parts that agree with one another, and not with what their draws say; and too few draws."""
    means = 1.0 + 0.01 * jax.random.normal(key, (16, 2))
    parts = Moments(jnp.zeros((16, 2)), means, jnp.ones(16), jnp.zeros((16, 2)), jnp.zeros(16))
    many = jnp.full(16, -7.0)  # log Σ w² beside log Σ w = 0: about a thousand draws each
    found = pooled(jnp.zeros(16), many, parts)
    np.testing.assert_allclose(found.mse, np.sum(np.mean(means, 0) ** 2), rtol=1e-6)
    sound = pooled(jnp.zeros(16), many, parts._replace(mean=parts.score))
    assert sound.mse == 0.0 and sound.ess > 1e4
    few = pooled(jnp.zeros(16), jnp.zeros(16), parts._replace(mean=parts.score))
    np.testing.assert_allclose((few.ess, few.mse), (16.0, 1.0))


def test_unresolved_squared_errors_are_bounds():
    """Three of a reference that errs 1: 5, 11 and 12; a tenth is reached by the last two."""
    group = Group((("noise", METHODS["noise"]),))
    error = np.full((4, 1, 1, 3), [5.0, 11.0, 12.0])
    own = np.ones((4, 3))
    reference = Reference(np.zeros((4, 3, 2)), own, own, np.zeros((4, 3, 2)), own, own, own)
    levels = sf.Level(jnp.ones(3), jnp.ones(3))
    found = Measured([group], (4,), (1.0,), levels, {("action", 1.0): reference},
                     {(0, 1.0): Losses(error, np.ones((4, 1, 3)))}, BOX, {})  # fmt: skip
    assert found.resolved(0, 0, 1.0).tolist() == [[False, True, True]]
    assert found.errors(0, 0, 1.0)[0].tolist() == [[6.0, 10.0, 11.0]]


def test_intervals_of_gains_are_student_s_over_states():
    """One level, equal traces: log ratios of sums; a gain of four, all states alike or not."""
    ones = np.ones((8, 1))
    here = Measures(4.0 * ones, ones, np.array([True]), 8, False)
    better = Measures(ones, ones, np.array([True]), 8, False)
    np.testing.assert_allclose(compared(better, here, 0.025), (4.0, 4.0, 4.0))
    spread = Measures(np.linspace(0.2, 1.8, 8)[:, None], ones, np.array([True]), 8, False)
    gain, low, high = compared(spread, here, 0.025)
    error = np.std(spread.error, ddof=1) / np.sqrt(8)  # of the mean, which is 1
    np.testing.assert_allclose(gain, 4.0)
    np.testing.assert_allclose(np.log((high / gain, gain / low)), 2.365 * error, rtol=0.05)
    assert np.isnan(compared(better._replace(latent=True), here, 0.025)[0])


def test_estimators_share_draws_only_where_their_proposals_are_equal():
    first, second = (
        sf.Method(NormalProposal(jnp.full(2, m), jnp.ones(2)), sf.NoiseExpectation())
        for m in (0.0, 1.0)
    )
    groups = grouped({"a": first, "b": second, "c": first, "d": sf.ESTIMATORS["cvsi"]})
    assert [[name for name, _ in group.methods] for group in groups] == [["a", "c"], ["b"], ["d"]]
