"""The last fit on a box as a control variate: its mean is known, and the draws err on it alike."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

import steinflow as sf
from steinflow.draws import draw_shared, prefix, shared, weights
from steinflow.draws.base import Surrogate
from steinflow.draws.surrogate import with_surrogate
from steinflow.estimators.controlled import controlled
from steinflow.proposals import AbstractProposal, FittedProposal
from steinflow.proposals.normal import NormalProposal
from steinflow.proposals.reshaped import reshaped
from steinflow.targets import GaussianMixture, Multimodal

BOX = sf.Box(-1.0, 1.0)
ESTIMATOR = sf.SteinPolynomial(3)


def by_hand(total, own, nodes, share, log_weight, w):
    """The terms, and b; arrays [d, k] and [d, n] as of `controlled`."""
    v = np.exp(log_weight - log_weight.max())
    v /= v.sum()
    error = v * (own - np.sum(share.T * nodes, axis=1)[:, None])
    away = w * (total - (total @ w)[:, None])
    square = max(np.sum(error**2), np.sum(error.sum(axis=1) ** 2) / 2)
    product = np.sum(away * error)
    met = product**2 / (square * np.sum(away**2))
    free = min(1 / np.sum(v**2), 1 / np.sum(w**2)) - 2
    b = np.clip(product / square, 0, 1) * np.clip(1 - (1 - met) / (met * free), 0, 1)
    lost = np.sum(error[:, w < 1e-70], axis=1)[:, None]
    return total - b * (np.where(w < 1e-70, 0.0, error / np.maximum(w, 1e-70)) + lost), b


@pytest.mark.parametrize("surprise", [0.0, 3.0])
@pytest.mark.parametrize("alike", [0.0, 0.5, 1.0, 3.0, -1.0])
def test_the_correction_is_that_of_the_formulas(alike, surprise):
    """Whatever of the terms is the surrogate's; also where draws count for it and not for us."""
    rng, d, k = np.random.default_rng(5), 3, 40
    own, log_weight = rng.normal(size=(d, k)), rng.normal(size=k)
    w = np.exp(log_weight + 0.3 * rng.normal(size=k))
    w[:3] = 0.0, 1e-9, 1e-3
    w /= w.sum()
    total = 2.0 + alike * own + 0.3 * rng.normal(size=(d, k))
    nodes, share = rng.normal(size=(d, 8)), rng.dirichlet(np.ones(8), d).T
    expected = own @ np.exp(log_weight) / np.sum(np.exp(log_weight)) + 0.1 + surprise
    nodes += (expected - np.sum(share.T * nodes, axis=1))[:, None]
    wanted, b = by_hand(total, own, nodes, share, log_weight, w)
    surrogate = Surrogate(jnp.asarray(log_weight), None, None, jnp.asarray(share))
    found = controlled(*map(jnp.asarray, (total, own, nodes)), surrogate, jnp.asarray(w))
    assert_allclose(found, wanted, rtol=1e-9)
    least, most = (0.4, 1.0) if alike > 0.0 and not surprise else (0.0, 0.1)
    assert least <= b <= most


def drawn(key, target, x, num_draws=64, proposal=None):
    """The draws of `auto` at three levels, for the first of them."""
    levels = sf.Level(*(jnp.asarray(each) for each in ([0.7, 0.5, 0.3], [0.3, 0.5, 0.7])))
    xs = levels.alpha[:, None] * x
    given = levels, proposal or FittedProposal(), num_draws, True, True
    return draw_shared(key, target, xs, *given)(jnp.asarray(0)), sf.Level(0.7, 0.3)


def test_the_surrogate_is_the_law_that_was_fitted_last(key):
    """Draws weighed for it have its means."""
    draws, _ = drawn(key, Multimodal(0.5, support=BOX), jnp.array([0.4, -0.2]), 2**14)
    own = draws._replace(log_weight=draws.surrogate.log_weight)
    for power in (1, 2, 3):
        there = jnp.sum(draws.surrogate.share * draws.surrogate.nodes.action**power, axis=0)
        assert_allclose(weights(own) @ draws.action**power, there, atol=5e-3)
    assert_allclose(jnp.sum(draws.surrogate.share, axis=0), 1.0)


class Numbered(FittedProposal):
    """Its fits have the number of their turn, over 10, as their mean."""

    def weigh(self, value, log_prior, own, turn):
        TURNS.append(turn[0])
        return super().weigh(value, log_prior, own, turn)

    def fit(self, *given):
        fitted = super().fit(*given)
        return NormalProposal(jnp.full_like(fitted.mean, 0.1 * TURNS[-1]), fitted.scale)

    def ahead(self, *given):
        return None


TURNS = list[int]()


def test_it_is_the_last_fit_and_not_the_second_beside_it(monkeypatch, key):
    used = list[AbstractProposal]()

    def with_it(draws, level, support, fitted, log_mixture):
        used.append(fitted)
        return with_surrogate(draws, level, support, fitted, log_mixture)

    monkeypatch.setattr(shared, "with_surrogate", with_it)
    target, x = Multimodal(0.5, support=BOX), jnp.array([0.4, -0.2])
    drawn(key, target, x, proposal=Numbered())
    assert_allclose(used[-1].mean, 0.2)
    draws, level = drawn(key, target, x)
    pair, even = used[-1], jnp.zeros(draws.value.size)
    first, second, both = (
        with_surrogate(draws, level, BOX, law, even).surrogate.log_weight
        for law in (pair.first, pair.second, pair)
    )
    assert jnp.all(first == both) and not jnp.all(second == both)


def test_the_slope_of_a_surrogate_is_that_of_a_q_which_would_make_it_the_posterior(key):
    """log q less the log likelihood, differentiated; the factors of its intervals are constants."""
    draws, level = drawn(key, Multimodal(0.5, support=BOX), jnp.array([0.4, -0.2]))
    normal = NormalProposal(jnp.array([0.3, -0.8]), jnp.array([0.2, 0.5]))
    even = jnp.full(draws.value.size, 1.0 / draws.value.size)
    law = reshaped(normal, draws.action, 3.0 * draws.action, even, BOX)
    log_mixture = jnp.linspace(0.0, 1.0, draws.value.size)
    found = with_surrogate(draws, level, BOX, law, log_mixture).surrogate

    def q(action):
        likelihood = -0.5 * jnp.sum(((draws.x - level.alpha * action) / level.sigma) ** 2)
        return -0.5 * jnp.sum(((action - normal.mean) / normal.scale) ** 2) - likelihood

    assert_allclose(found.slope, jax.vmap(jax.grad(q))(draws.action), rtol=1e-10)
    assert_allclose(found.nodes.slope, jax.vmap(jax.grad(q))(found.nodes.action), rtol=1e-10)
    log_q = law.log_prob(draws.action, draws.x, level, BOX)
    assert_allclose(found.log_weight, log_q - log_mixture, rtol=1e-12)


@pytest.mark.parametrize("proposal", [FittedProposal(reshaped=False), sf.GaussianProposal()])
def test_without_a_reshaped_fit_there_is_no_surrogate(key, proposal):
    target = Multimodal(0.5, support=BOX)
    assert drawn(key, target, jnp.array([0.4, -0.2]), proposal=proposal)[0].surrogate is None
    real = Multimodal(0.5)
    assert drawn(key, real, jnp.array([0.4, -0.2]))[0].surrogate is None
    assert drawn(key, target, jnp.array([0.4, -0.2]), 13)[0].surrogate is None  # fitted once


def test_fewer_of_the_draws_do_without_it(key):
    """Their weights are no longer those that its means belong to."""
    draws, level = drawn(key, Multimodal(0.5, support=BOX), jnp.array([0.4, -0.2]))
    assert draws.surrogate is not None
    fewer = prefix(draws, 16)
    assert fewer.surrogate is None and ESTIMATOR.terms(fewer, level).shape == (16, 2)


def errors(key, target, x, num_draws):
    """Squared errors, with the surrogate and without it, of 64 trials."""
    exact = target.exact_score(0.7 * x, sf.Level(0.7, 0.3))

    @jax.jit
    def both(key):
        draws, level = drawn(key, target, x, num_draws)
        without = draws._replace(surrogate=None)
        found = [weights(each) @ ESTIMATOR.terms(each, level) for each in (draws, without)]
        return jnp.sum((jnp.stack(found) - exact) ** 2, axis=1), found[0] - exact

    return [np.asarray(each) for each in jax.lax.map(both, jax.random.split(key, 64))]


def test_it_takes_error_off_what_is_nearly_a_product(key):
    """Multimodal Q is a sum over dimensions; draws are few."""
    square, _ = errors(key, Multimodal(0.5, 4, support=BOX), jnp.linspace(-0.6, 0.5, 4), 64)
    gain = square[:, 1] - square[:, 0]
    assert gain.mean() > 3 * gain.std() / 8 and gain.mean() > 0.15 * square[:, 1].mean()


def test_it_adds_no_bias(key):
    target = GaussianMixture(
        jnp.array([[0.5, -0.4], [-0.6, 0.3]]), jnp.array([[9.0, 4.0], [5.0, 12.0]]),
        jnp.zeros(2), 0.5, BOX,
    )  # fmt: skip
    square, away = errors(key, target, jnp.array([0.1, 0.2]), 256)
    assert np.all(np.abs(away.mean(axis=0)) < 4 * away.std(axis=0) / 8)
    assert square[:, 0].mean() < 1.1 * square[:, 1].mean()


def test_a_surrogate_that_is_far_off_is_not_followed(key):
    """Of another place altogether."""
    draws, level = drawn(key, Multimodal(0.5, support=BOX), jnp.array([0.4, -0.2]), 256)
    plain = weights(draws) @ ESTIMATOR.terms(draws._replace(surrogate=None), level)
    elsewhere = -500.0 * jnp.sum((draws.action + 0.9) ** 2, axis=-1)
    far = draws.surrogate._replace(log_weight=elsewhere)
    found = weights(draws) @ ESTIMATOR.terms(draws._replace(surrogate=far), level)
    assert_allclose(found, plain, rtol=0.05)
