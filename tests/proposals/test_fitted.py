"""The proposal that is fitted to gradients: by hand, and what its draws are worth."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

import steinflow as sf
from steinflow.draws import Draws, uniforms, weights
from steinflow.points import Point
from steinflow.proposals import NormalProposal
from steinflow.proposals.fitted import tempered, within_reach
from steinflow.score import shared_draws
from steinflow.targets import Boltzmann, GaussianMixture, Multimodal
from tests.helpers import exact_score

LOW, HIGH = np.array([-1.0, 0.0]), np.array([1.0, 3.0])
BOX, REAL = sf.Box(LOW, HIGH), sf.RealSpace()
SUPPORTS = {"box": BOX, "real": REAL}
LEVEL, X = sf.Level(0.7, 0.4), jnp.array([0.9, -0.5])
SHARE, REACH = sf.FittedProposal().ess_share, sf.FittedProposal().reach


def draws_of(action, gradient, value, log_prior):
    known = [jnp.asarray(v) for v in (action, value, gradient)]
    return Draws(*known, None, jnp.asarray(log_prior), jnp.zeros(len(value)) > 0)


def tempered_by_hand(value, log_prior):
    """Weights at the lowest temperature of the ladder that will do, and what they are worth."""

    def at(inverse):
        w = np.exp(log_prior + inverse * (value - value.max()))
        w /= w.sum()
        return w, 1 / np.sum(w**2)

    enough = 1.0 + SHARE * (at(0.0)[1] - 1.0)
    for rung in range(16):
        result = at((100 * (1 + np.ptp(value))) ** (-rung / 15))
        if result[1] >= enough:
            break
    return result


def fitted_by_hand(action, gradient, v, x, level, box):
    """Mean and scale of one dimension."""
    alpha, sigma = level
    center, tilt = v @ action, v @ gradient
    spread = v @ (action - center) ** 2
    fall = -(v @ ((action - center) * (gradient - tilt)))
    likelihood = (alpha / sigma) ** 2
    precision = max(fall / spread, 0.0)
    total = precision + likelihood
    mean = (tilt + precision * center + likelihood * x / alpha) / total
    scale = total**-0.5
    if box is None:
        reach = REACH * sigma / alpha
        return min(max(mean, x / alpha - reach), x / alpha + reach), scale
    bound = min(max(mean, box[0]), box[1])
    steep = abs(mean - bound) / scale**2  # the gradient at the bound
    if abs(mean - bound) > REACH * scale:
        scale = REACH / steep
        mean = bound + np.sign(mean - bound) * REACH * scale
    return mean, scale


@pytest.mark.parametrize("noise", [0.0, 0.3, 30.0])  # a sure fit, a good one, none
@pytest.mark.parametrize("tilt", [0.5, 40.0, -900.0])  # inside, outside, far outside
@pytest.mark.parametrize("level", [(0.8, 0.6), (0.95, 0.05), (0.2, 0.9)])
@pytest.mark.parametrize("name", SUPPORTS)
def test_the_fit_is_that_of_its_formulas(fit, noise, tilt, level, name):
    rng, x = np.random.default_rng(4), np.array([0.4, 1.1])
    action = rng.uniform(LOW, HIGH, (12, 2))
    gradient = np.array([tilt, -0.3 * tilt]) - np.array([3.0, -2.0]) * action
    gradient += noise * rng.normal(size=(12, 2))
    value, log_prior = rng.normal(size=(2, 12))
    v, _ = tempered_by_hand(value, log_prior)
    point = Point(jnp.asarray(x), jax.tree.map(jnp.asarray, sf.Level(*level)), SUPPORTS[name])
    result = fit(draws_of(action, gradient, value, log_prior), point)
    box = [(LOW[j], HIGH[j]) if name == "box" else None for j in (0, 1)]
    wanted = [fitted_by_hand(action[:, j], gradient[:, j], v, x[j], level, box[j]) for j in (0, 1)]
    assert_allclose(np.array([result.mean, result.scale]), np.transpose(wanted), rtol=1e-7)


@pytest.fixture(scope="module")
def fit():
    """Compiled once a support."""
    return jax.jit(lambda draws, point: sf.FittedProposal().fit(draws, point))


@pytest.mark.parametrize("name", SUPPORTS)
def test_the_fit_is_exact_for_a_normal_with_independent_dimensions(fit, name):
    """From nine draws the posterior itself, before it is cut to the support."""
    support = SUPPORTS[name]
    precision, mean, tau = jnp.array([3.0, 0.5]), jnp.array([0.2, 0.4]), 0.5
    target = GaussianMixture(mean[None], precision[None], [0.0], tau, support)
    point = Point(X, jax.tree.map(jnp.asarray, LEVEL), support)
    plain = sf.TruncatedGaussianProposal() if support.has_bounds else sf.GaussianProposal()
    action = plain.actions(uniforms(jax.random.key(1), 9, 2, jnp.float64), point)
    gradient = jax.vmap(jax.grad(target.value))(action) / tau
    value = jax.vmap(target.value)(action) / tau
    fitted = fit(draws_of(action, gradient, value, jnp.zeros(9)), point)
    total = precision / tau + (0.7 / 0.4) ** 2
    center = (precision * mean / tau + 0.7 * X / 0.4**2) / total
    assert_allclose(fitted.scale, total**-0.5, rtol=1e-9)
    assert_allclose(fitted.mean, center, rtol=1e-9)


@pytest.mark.parametrize("scale", [0.1, 10.0, 1e9])
def test_the_temperature_is_the_least_at_which_draws_are_worth_enough(scale):
    rng = np.random.default_rng(5)
    value, log_prior = scale * rng.normal(size=64), 0.3 * rng.normal(size=64)
    result = np.asarray(tempered(jnp.asarray(value), jnp.asarray(log_prior), SHARE, 16))
    wanted, worth = tempered_by_hand(value, log_prior)
    assert_allclose(result, wanted, rtol=1e-9)
    assert_allclose(1.0 / np.sum(result**2), worth, rtol=1e-9)
    if scale < 1.0:  # worth more: no other temperature than Q's own
        exact = np.exp(log_prior + value - value.max())
        assert_allclose(result, exact / exact.sum())
    else:
        flat = np.exp(log_prior).sum() ** 2 / np.exp(2 * log_prior).sum()
        least = SHARE * flat + 1.0 - SHARE
        assert least <= worth < 3.0 * least  # the next rung is worth less


def test_impossible_draws_weigh_nothing_and_bad_ones_no_more_than_others():
    value = jnp.array([0.0, -jnp.inf, -jnp.inf, 1.0])
    result = tempered(value, jnp.zeros(4), SHARE, 16)
    assert_allclose(result[1:3], 0.0)
    assert_allclose(result.sum(), 1.0)
    for nothing in (jnp.full(4, -jnp.inf), value.at[0].set(jnp.nan)):
        assert_allclose(tempered(nothing, jnp.zeros(4), SHARE, 16), 0.25)


@pytest.mark.parametrize("mean", [-9.0, -1.05, 0.2, 4.0, 300.0])
def test_a_mean_out_of_reach_keeps_the_gradient_at_the_bound(mean):
    point = Point(jnp.zeros(1), LEVEL, sf.Box(-1.0, 1.0))
    result = within_reach(jnp.array([mean]), jnp.array([0.1]), REACH, point)
    bound = np.clip(mean, -1.0, 1.0)
    before, after = (mean - bound) / 0.01, (float(result.mean[0]) - bound) / result.scale[0] ** 2
    assert_allclose(after, before, rtol=1e-12, atol=1e-12)
    assert abs(result.mean[0] - bound) <= REACH * result.scale[0] * (1 + 1e-12)
    if abs(mean - bound) <= REACH * 0.1:
        assert_allclose((result.mean[0], result.scale[0]), (mean, 0.1))
    real = within_reach(jnp.array([mean]), jnp.array([0.1]), REACH, point._replace(support=REAL))
    width = 0.4 / 0.7  # x is 0
    assert_allclose(real.mean, np.clip(mean, -REACH * width, REACH * width))
    assert real.scale[0] == 0.1


def test_the_sizes_add_up():
    for count in range(2, 40):
        first, fitted = sf.FittedProposal().sizes(count)
        assert first + fitted == count and 0 <= first - fitted <= 1
    assert sf.FittedProposal().sizes(1) == (1,)


class Wrong(sf.FittedProposal):
    """Fits that are in the wrong place."""

    def fit(self, draws, point):
        return NormalProposal(point.x / point.level.alpha + 1.0, jnp.full(2, 0.3))


@pytest.mark.parametrize("flat", [True, False], ids=["flat", "multimodal"])
@pytest.mark.parametrize("name", SUPPORTS)
def test_a_wrong_fit_costs_draws_but_biases_nothing(name, flat):
    """Weights of the mixture of all proposals of two levels have mean p/q; for flat Q the
    weighted mean is the likelihood's."""
    support = SUPPORTS[name]
    target = Multimodal(0.5, support=support)
    if flat:
        target = Boltzmann(lambda a: 0.0 * a[0], 1.0, support)
    alpha = jnp.array([0.7, 0.4])
    levels, xs = sf.Level(alpha, jnp.array([0.4, 0.6])), jnp.stack([X, 0.5 * X])
    method = sf.Method(Wrong(), sf.NoiseExpectation())
    shared = lambda: shared_draws(jax.random.key(2), target, xs, levels, method, 2**14)  # noqa: E731
    draws, _ = jax.jit(shared)()
    for k in range(2):
        level = sf.Level(levels.alpha[k], levels.sigma[k])
        each = draws._replace(log_prior=draws.log_prior[k])
        w, u = weights(each), (level.alpha * draws.action - xs[k]) / level.sigma**2
        score = w @ u
        error = jnp.sqrt((w**2) @ (u - score) ** 2)
        if flat:
            box = sf.Box(-1e3, 1e3) if name == "real" else support
            tiny = GaussianMixture(jnp.zeros((1, 2)), jnp.full((1, 2), 1e-9), [0.0], 1.0, box)
            exact = exact_score(tiny, xs[k], level)
        else:
            exact = exact_score(target, xs[k], level)
        assert jnp.all(jnp.abs(score - exact) < 4 * error + 1e-6), (score, exact, error)


@pytest.mark.parametrize("name", SUPPORTS)
def test_a_normal_proposal_has_the_density_that_it_claims(key, name):
    support = SUPPORTS[name]
    point, proposal = Point(X, LEVEL, support), NormalProposal(jnp.array([0.6, 2.4]),
                                                               jnp.array([0.5, 0.9]))  # fmt: skip
    low, high = ((-3.0, -4.0), (4.0, 8.0)) if not support.has_bounds else (LOW, HIGH)
    axes = [np.linspace(lo, hi, 801) for lo, hi in zip(low, high, strict=True)]
    nodes = jnp.asarray(np.stack([m.ravel() for m in np.meshgrid(*axes, indexing="ij")], -1))
    ends = [np.where((np.arange(801) % 800) == 0, 0.5, 1.0) * (a[1] - a[0]) for a in axes]
    mass = jnp.asarray(np.outer(*ends).ravel()) * jnp.exp(proposal.log_prob(nodes, point))
    assert abs(float(mass.sum()) - 1) < 1e-4
    actions = proposal.actions(uniforms(key, 20_000, 2, jnp.float64), point)
    mean = mass @ nodes
    for values, truth in ((actions, mean), ((actions - mean) ** 2, mass @ (nodes - mean) ** 2)):
        z = (values.mean(0) - truth) / (values.std(0) / np.sqrt(20_000))
        assert jnp.all(jnp.abs(z) < 4)


@pytest.mark.parametrize("num_draws", [1, 2, 3, 5])
def test_few_draws_are_enough(key, num_draws):
    target = Multimodal(0.5, support=BOX)
    estimate = sf.score_target(key, target, X, LEVEL, num_draws=num_draws)
    assert jnp.all(jnp.isfinite(estimate.score))
    assert int(estimate.info.num_values) == int(estimate.info.num_grads) == num_draws
