"""Bayesian quadrature: better where Q is smooth and draws are few, and never much worse."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import steinflow as sf
from steinflow.draws import draw
from steinflow.estimators import quadrature
from steinflow.estimators.quadrature import EQUATIONS
from steinflow.gaussian_process import fit
from steinflow.proposals.fitted import NormalProposal
from tests.helpers import grid_posterior

LEVEL = sf.Level(jnp.asarray(0.4), jnp.asarray(0.6))
X = jnp.array([0.2, -0.1])
BOX = sf.Box(-1.0, 1.0)


@cache
def both(num_draws):
    """Scores with and without the process on the same draws, compiled once: rough or smooth Q."""

    def scores(key, rough, tau):
        target = sf.Boltzmann(lambda a: jnp.where(rough, kinks(a), waves(a)), tau, support=BOX)
        found = [
            sf.score_target(key, target, X, LEVEL, sf.auto(flag), num_draws=num_draws).score
            for flag in (True, False)
        ]
        return jnp.stack(found)

    return jax.jit(jax.vmap(scores, in_axes=(0, None, None)))


def errors(key, q, tau, num_draws, rounds=1):
    """Mean squared errors with and without the process, over 64 trials a round."""
    target = sf.Boltzmann(q, tau, support=BOX)
    nodes, p = grid_posterior(target, X, LEVEL, (-1.0, -1.0), (1.0, 1.0), 10)
    truth = (LEVEL.alpha * (p @ nodes) - X) / LEVEL.sigma**2
    keys = jax.random.split(key, (rounds, 64))
    scores = jnp.concatenate([both(num_draws)(some, q is kinks, tau) for some in keys])
    return jnp.mean(jnp.sum((scores - truth) ** 2, axis=-1), axis=0)


def score_of(key, target, level, num_draws, method):
    """A score, compiled as a whole: operation by operation it takes a minute."""
    found = jax.jit(
        lambda key: sf.score_target(key, target, X, level, method, num_draws=num_draws).score
    )
    return found(key)


def waves(a):
    """Several modes in the box."""
    return jnp.sin(4.0 * a[0]) * jnp.cos(3.0 * a[1]) + 0.5 * a[0]


def kinks(a):
    """As rough as a critic of rectified units, and rougher."""
    return jnp.sum(jnp.abs(jnp.sin(20.0 * a)))


def peak(a):
    """Narrow, on a slope."""
    return jnp.exp(-60.0 * jnp.sum((a - 0.3) ** 2)) + 0.5 * a[0]


@pytest.mark.parametrize(("num_draws", "gain"), [(8, 1.2), (32, 20.0)])
def test_it_gains_where_q_is_smooth(key, num_draws, gain):
    ours, without = errors(key, waves, 0.3, num_draws)
    assert without > gain * ours


@pytest.mark.parametrize("num_draws", [8, 32])
def test_it_costs_little_where_q_is_rough(key, num_draws):
    ours, without = errors(key, kinks, 0.1, num_draws, rounds=4)
    assert ours < 1.1 * without


def test_beyond_its_equations_it_is_the_inner_estimate(key, monkeypatch):
    """Few equations here: what it costs to compile grows with them."""
    assert EQUATIONS == (2, 100)
    monkeypatch.setattr(quadrature, "EQUATIONS", (2, 24))
    both.cache_clear()
    with_process, without = both(9)(key[None], False, 0.3)[0]
    np.testing.assert_array_equal(with_process, without)
    fewer, inner = both(8)(key[None], False, 0.3)[0]
    assert jnp.all(fewer != inner)
    both.cache_clear()


def test_linear_q_stays_exact(key):
    """Far from every draw the process is trusted with nothing: R^d, tau = 0.02, alpha = 0.1."""
    slope = jnp.array([1.0, -2.0])
    target, level = sf.Boltzmann(lambda a: slope @ a, 0.02), sf.Level(0.1, 0.9)
    found = score_of(key, target, level, 8, sf.auto())
    np.testing.assert_allclose(found, slope / 0.02 / 0.1, rtol=1e-9)


def test_impossible_actions_leave_the_inner_estimate(key):
    """Q = -inf on half of the box: no process through that."""
    target = sf.Boltzmann(lambda a: jnp.where(a[0] > 0, waves(a), -jnp.inf), 0.3, support=BOX)
    found = score_of(key, target, LEVEL, 16, sf.auto())
    inner = score_of(key, target, LEVEL, 16, sf.auto(False))
    np.testing.assert_allclose(found, inner, rtol=1e-14)
    assert jnp.all(jnp.isfinite(found))


def test_terms_keep_the_spread_of_the_inner_ones(key):
    """So that the standard error is that of the inner estimate."""
    target = sf.Boltzmann(waves, 0.3, support=BOX)
    inner = sf.SteinPolynomial()

    @jax.jit
    def shift_of(key):
        draws = draw(key, target, X, LEVEL, sf.FittedProposal(), 16, True, True)
        return sf.BayesianQuadrature(inner).terms(draws, LEVEL) - inner.terms(draws, LEVEL)

    shift = shift_of(key)
    np.testing.assert_allclose(shift, jnp.broadcast_to(shift[0], shift.shape), atol=1e-10)
    assert jnp.all(jnp.abs(shift[0]) > 1e-6)


def parts_of(key, target):
    """Draws, terms without and with the process, the process, and denser actions: compiled."""

    @jax.jit
    def parts(key):
        draws = draw(key, target, X, LEVEL, sf.FittedProposal(), 16, True, True)
        inner = sf.SteinPolynomial()
        outer = sf.BayesianQuadrature(inner).terms(draws, LEVEL)
        kept = draws._replace(curvature=None, dense=None)
        process = fit(draws.action, draws.value, draws.slope)
        return kept, inner.terms(draws, LEVEL), outer, process, draws.dense(1024)

    return parts(key)


def test_each_is_weighed_by_what_it_errs():
    """1/(1 + v ESS g^(1/4)), from its parts, where every part counts."""
    target = sf.Boltzmann(peak, 0.5, support=BOX)
    given = parts_of(jax.random.key(2), target)
    draws, inner, found, process, (action, log_prior) = given
    w = np.asarray(jax.nn.softmax(draws.log_weight))
    heavy = np.asarray(jax.nn.softmax(process.predict(action) + log_prior))
    theirs = heavy @ ((LEVEL.alpha * action - X) / LEVEL.sigma**2)
    picked = np.searchsorted(np.cumsum(heavy), (np.arange(32) + 0.5) / 32)
    misjudged = float(process.doubt)
    within = float(jnp.mean(process.uncertainty(action[picked])))
    beyond = 1.0 / (1.0 / np.sum(heavy**2) - 4.0)
    noise = np.asarray((LEVEL.alpha * draws.action - X) / LEVEL.sigma**2)
    spread = [np.sum(w @ (np.asarray(t) - w @ np.asarray(t)) ** 2) for t in (noise, inner)]
    gain = spread[0] / spread[1]
    odds = (within * misjudged + beyond) / np.sum(w**2) * gain**0.25
    assert misjudged > 1.3 and gain > 2.0 and beyond > 0.03 * within * misjudged
    assert 0.1 < odds < 10.0
    expected = w @ np.asarray(inner) + (theirs - w @ np.asarray(inner)) / (1.0 + odds)
    np.testing.assert_allclose(w @ np.asarray(found), expected, rtol=1e-6)


@pytest.mark.parametrize(("count", "size"), [(10, 640), (40, 2048)])
def test_it_is_integrated_by_64_actions_a_draw_and_at_most_2048(count, size):
    asked, target = [], sf.targets.Multimodal(1.0, 1)
    draws = draw(jax.random.key(0), target, X[:1], LEVEL, sf.GaussianProposal(), count)

    def dense(number):
        asked.append(number)
        return draws.dense(number)

    quadrature.integrated(draws._replace(dense=dense), LEVEL)
    assert asked == [size]


@pytest.mark.parametrize("proposal", [None, sf.FittedProposal()])
def test_dense_actions_stand_for_the_posterior(key, proposal):
    """Weighed by what they come with and by Q, they have its mean."""
    target = sf.Boltzmann(waves, 0.3, support=BOX)
    own = proposal or sf.TruncatedGaussianProposal()
    draws = draw(key, target, X, LEVEL, own, 16, True, True)
    action, log_prior = draws.dense(4096)
    w = jax.nn.softmax(jax.vmap(waves)(action) / 0.3 + log_prior)
    nodes, p = grid_posterior(target, X, LEVEL, (-1.0, -1.0), (1.0, 1.0), 10)
    np.testing.assert_allclose(w @ action, p @ nodes, atol=2e-3)
    np.testing.assert_allclose(w @ action**2, p @ nodes**2, atol=2e-3)
    if proposal is not None:  # half of them from what was fitted
        assert not np.allclose(action[:2048], action[2048:])


def test_dense_actions_of_another_proposal(key):
    """The ratio to a proposal that is not the likelihood counts, in one path as in the other."""
    target = sf.Boltzmann(waves, 0.3, support=BOX)
    own = NormalProposal(jnp.array([-0.5, 0.4]), jnp.array([0.8, 0.7]))
    draws = draw(key, target, X, LEVEL, own, 16, True, True)
    action, log_prior = draws.dense(4096)
    w = jax.nn.softmax(jax.vmap(waves)(action) / 0.3 + log_prior)
    nodes, p = grid_posterior(target, X, LEVEL, (-1.0, -1.0), (1.0, 1.0), 10)
    np.testing.assert_allclose(w @ action, p @ nodes, atol=1e-2)
