"""The fit of the proposal, and all densities, once more in NumPy and SciPy."""

import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats

import steinflow as sf
from steinflow.proposals import NormalProposal, UniformProposal
from steinflow.proposals.fitted import tempered
from steinflow.proposals.truncated_gaussian import normal_actions
from steinflow.proposals.truncated_normal import quantile

LOW, HIGH = np.array([-1.0, 0.0]), np.array([1.0, 3.0])
BOX, REAL = sf.Box(LOW, HIGH), sf.RealSpace()


def tempered_by_hand(value, log_prior):
    """Weights at the temperature that bisection finds, and what they are worth."""

    def at(inverse):
        w = np.exp(log_prior + inverse * (value - value.max()))
        w /= w.sum()
        return w, 1 / np.sum(w**2)

    enough = 0.3 * at(0.0)[1] + 0.7
    if at(1.0)[1] >= enough:
        return at(1.0)
    warm, cold = -np.log1p(np.ptp(value)) - 5, 0.0
    for _ in range(12):
        middle = (warm + cold) / 2
        warm, cold = (middle, cold) if at(np.exp(middle))[1] >= enough else (warm, middle)
    return at(np.exp(warm))


def fitted_by_hand(action, slope, v, x, level, box):
    """Mean and scale of one dimension."""
    alpha, sigma = level
    center, tilt = v @ action, v @ slope
    spread = v @ (action - center) ** 2
    bend = -(v @ ((action - center) * (slope - tilt)))
    likelihood, width = (alpha / sigma) ** 2, sigma / alpha
    precision = min(max(bend / spread if spread > 0 else 0.0, 0.0), 1e6 * likelihood)
    left = slope - (tilt - precision * (action - center))
    chance = np.sum((v * left) ** 2) / tilt**2
    tilt *= max(0.0, 1 - 2 * chance)
    met = precision**2 * spread + tilt**2
    share = met / (met + v @ left**2)
    tilt, precision = share * tilt, share * precision
    total = precision + likelihood
    mean = (tilt + precision * center + likelihood * x / alpha) / total
    sure = 1 / (1 + (chance / 1e-4) ** 2) if box else 0.0
    reach = (6 + 14 * sure) * width
    mean = min(max(mean, x / alpha - reach), x / alpha + reach)
    if box:
        middle, half = (box[0] + box[1]) / 2, (box[1] - box[0]) / 2
        excess = max(1.0, abs(mean - middle) / ((1.5 + 3.5 * sure) * half))
        mean, total = middle + (mean - middle) / excess, total * (1 + (excess - 1) * sure)
    return mean, total**-0.5


@pytest.mark.parametrize("noise", [0.0, 0.3, 30.0])  # a sure fit, a good one, none
@pytest.mark.parametrize("tilt", [0.5, 40.0, -900.0])  # inside, outside, far outside
@pytest.mark.parametrize("level", [(0.8, 0.6), (0.95, 0.05), (0.2, 0.9)])
@pytest.mark.parametrize("support", [BOX, REAL])
def test_the_fit_is_that_of_its_formulas(noise, tilt, level, support):
    rng, x = np.random.default_rng(4), np.array([0.4, 1.1])
    action = rng.uniform(LOW, HIGH, (12, 2))
    slope = np.array([tilt, -0.3 * tilt]) - np.array([3.0, -2.0]) * action
    slope += noise * rng.normal(size=(12, 2))
    weight = rng.dirichlet(np.full(12, 0.4))
    known = map(jnp.asarray, (action, slope, weight, x))
    found = sf.FittedProposal().fit(*known, sf.Level(*level), support)
    box = [(LOW[j], HIGH[j]) if support.has_walls else None for j in (0, 1)]
    wanted = [
        fitted_by_hand(action[:, j], slope[:, j], weight, x[j], level, box[j]) for j in (0, 1)
    ]
    assert_allclose(np.array([found.mean, found.scale]), np.transpose(wanted), rtol=1e-9)


@pytest.mark.parametrize("scale", [0.1, 10.0, 1e9])
def test_the_temperature_is_the_least_at_which_draws_are_worth_enough(scale):
    rng = np.random.default_rng(5)
    value, log_prior = scale * rng.normal(size=64), 0.3 * rng.normal(size=64)
    found = np.asarray(tempered(jnp.asarray(value), jnp.asarray(log_prior), 0.3))
    wanted, worth = tempered_by_hand(value, log_prior)
    assert_allclose(found, wanted, rtol=1e-9)
    if scale < 1.0:  # worth more: no other temperature than Q's own
        exact = np.exp(log_prior + value - value.max())
        assert_allclose(found, exact / exact.sum())
    else:
        flat = np.exp(log_prior).sum() ** 2 / np.exp(2 * log_prior).sum()
        assert_allclose(worth, 0.3 * flat + 0.7, rtol=0.02)


def test_impossible_draws_weigh_nothing():
    value = jnp.array([0.0, -jnp.inf, -jnp.inf, 1.0])
    for turn in ((1, 1), (1, 2), (2, 2)):
        found = sf.FittedProposal().weigh(value, jnp.zeros(4), jnp.array([1.0, 0, 0, 0]), turn)
        assert_allclose(found[1:3], 0.0)
        assert_allclose(found.sum(), 1.0)


@pytest.mark.parametrize("prior", [5.0, 0.5])
def test_the_last_fit_weighs_by_the_true_weights_and_some_of_its_own_draws(prior):
    """Five times as many where it is the only one."""
    rng = np.random.default_rng(6)
    value, log_prior = rng.normal(size=(2, 12))
    own = np.repeat([0.25, 0.0], [4, 8])
    weight = np.exp(value + log_prior)
    weight /= weight.sum()
    ess = 1 / np.sum(weight**2)
    for turn, even in (((1, 1), prior), ((2, 2), prior / 5)):
        known = map(jnp.asarray, (value, log_prior, own))
        found = sf.FittedProposal(prior=prior).weigh(*known, turn)
        assert_allclose(found, (ess * weight + even * own) / (ess + even))


def test_a_fit_to_one_action_is_its_gradient():
    same = jnp.full((3, 1), 0.3)
    arguments = jnp.full(3, 1 / 3), jnp.zeros(1), sf.Level(0.5, 0.5), REAL
    fitted = sf.FittedProposal().fit(same, jnp.full((3, 1), 2.0), *arguments)
    assert_allclose(np.array([fitted.mean, fitted.scale]), [[2.0], [1.0]])


def test_how_many_are_uniform():
    fitted = sf.FittedProposal()
    assert [fitted.num_uniform(n, BOX) for n in (511, 512, 1023, 1024)] == [0, 64, 127, 128]
    assert fitted.num_uniform(1024, REAL) == 0


@pytest.mark.parametrize("support", [BOX, REAL])
def test_densities_and_ratios(support):
    """log_prob is normalised; log_ratio is the likelihood over it, up to a constant."""
    x, level, rng = np.array([0.3, 2.0]), sf.Level(0.8, 0.5), np.random.default_rng(1)
    action = rng.uniform(LOW, HIGH, (9, 2))
    likelihood = -0.5 * np.sum(((x - 0.8 * action) / 0.5) ** 2, -1)

    def log_normal(mean, scale):
        if not support.has_walls:
            return stats.norm.logpdf(action, mean, scale).sum(-1)
        ends = (LOW - mean) / scale, (HIGH - mean) / scale
        return stats.truncnorm.logpdf(action, *ends, mean, scale).sum(-1)

    own = NormalProposal(jnp.array([0.9, -0.5]), jnp.array([0.4, 2.0]))
    ours = log_normal(np.array([0.9, -0.5]), np.array([0.4, 2.0]))
    prior = log_normal(x / 0.8, np.full(2, 0.5 / 0.8))
    plain = sf.TruncatedGaussianProposal() if support.has_walls else sf.GaussianProposal()
    cases = [(own, ours), (plain, prior), (sf.TruncatedGaussianProposal(), prior)]
    if support.has_walls:
        cases.append((UniformProposal(), np.full(9, -np.log(6.0))))
    for proposal, wanted in cases:
        place = jnp.asarray(action), jnp.asarray(x), level, support
        assert_allclose(proposal.log_prob(*place), wanted, rtol=1e-10)
        ratio = np.asarray(proposal.log_ratio(*place)) - (likelihood - wanted)
        assert np.ptp(ratio) < 1e-10


def test_draws_are_quantiles():
    uniform, x, level = np.random.default_rng(2).uniform(size=(50, 2)), np.ones(2), (0.5, 0.4)
    place = jnp.asarray(uniform), jnp.asarray(x), sf.Level(*level)
    mean, scale = x / 0.5, np.full(2, 0.4 / 0.5)
    plain = stats.norm.ppf(uniform, mean, scale)
    assert_allclose(sf.GaussianProposal().actions(*place, REAL), plain)
    assert_allclose(sf.GaussianProposal().actions(*place, BOX), plain)
    assert_allclose(sf.TruncatedGaussianProposal().actions(*place, REAL), plain)
    assert_allclose(UniformProposal().actions(*place, BOX), LOW + (HIGH - LOW) * uniform)
    ours, spread = np.array([4.0, -2.0]), np.array([0.5, 1.0])
    own = NormalProposal(jnp.asarray(ours), jnp.asarray(spread))
    for proposal, m, s in ((sf.TruncatedGaussianProposal(), mean, scale), (own, ours, spread)):
        wanted = stats.truncnorm.ppf(uniform, (LOW - m) / s, (HIGH - m) / s, m, s)
        assert_allclose(proposal.actions(*place, BOX), wanted, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_a_draw_at_a_wall_keeps_its_digits(side):
    """From a normal 100 deviations outside a wall at 0, in single precision."""
    uniform = np.random.default_rng(3).uniform(size=(50, 1))
    ends, own = sorted((0.0, side)), []
    for t in (jnp.float32, jnp.float64):
        box, mean = sf.Box(*(jnp.asarray(end, t) for end in ends)), jnp.full(1, -0.01 * side, t)
        own.append(normal_actions(jnp.asarray(uniform, t), mean, jnp.asarray(1e-4, t), box))
    assert own[0].dtype == jnp.float32 and np.abs(own[1]).max() < 1e-5
    assert_allclose(*own, rtol=0.02, atol=1e-9)


def test_quantiles_far_to_the_right_of_a_middle_that_is_inside():
    far = quantile(
        jnp.asarray([1.0 - 2.0**-50, 2.0**-50]), jnp.asarray([0.0, -40.0]), jnp.asarray([40.0, 0.0])
    )
    assert_allclose(far, stats.norm.isf(2.0**-51) * np.array([1.0, -1.0]), rtol=1e-12)
