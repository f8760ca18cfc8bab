"""All densities and quantiles once more in SciPy, and the weights of a mixture of stages."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats

import steinflow as sf
from steinflow.points import Point
from steinflow.proposals import NormalProposal
from steinflow.proposals.normal import normal_actions
from steinflow.stages import Stage, log_priors, over_points
from steinflow.truncated_normal import quantile

LOW, HIGH = np.array([-1.0, 0.0]), np.array([1.0, 3.0])
BOX, REAL = sf.Box(LOW, HIGH), sf.RealSpace()


@pytest.mark.parametrize("support", [BOX, REAL])
def test_densities_and_ratios(support):
    """log_prob is normalised; log_ratio is the likelihood over it, up to a constant."""
    x, level, rng = np.array([0.3, 2.0]), sf.Level(0.8, 0.5), np.random.default_rng(1)
    action = rng.uniform(LOW, HIGH, (9, 2))
    likelihood = -0.5 * np.sum(((x - 0.8 * action) / 0.5) ** 2, -1)

    def log_normal(mean, scale):
        if not support.has_bounds:
            return stats.norm.logpdf(action, mean, scale).sum(-1)
        ends = (LOW - mean) / scale, (HIGH - mean) / scale
        return stats.truncnorm.logpdf(action, *ends, mean, scale).sum(-1)

    normal = NormalProposal(jnp.array([0.9, -0.5]), jnp.array([0.4, 2.0]))
    ours = log_normal(np.array([0.9, -0.5]), np.array([0.4, 2.0]))
    prior = log_normal(x / 0.8, np.full(2, 0.5 / 0.8))
    plain = sf.TruncatedGaussianProposal() if support.has_bounds else sf.GaussianProposal()
    cases = [(normal, ours), (plain, prior), (sf.TruncatedGaussianProposal(), prior)]
    for proposal, wanted in cases:
        place = jnp.asarray(action), Point(jnp.asarray(x), level, support)
        assert_allclose(proposal.log_prob(*place), wanted, rtol=1e-10)
        ratio = np.asarray(proposal.log_ratio(*place)) - (likelihood - wanted)
        assert np.ptp(ratio) < 1e-10


def test_draws_are_quantiles():
    uniform, x, level = np.random.default_rng(2).uniform(size=(50, 2)), np.ones(2), (0.5, 0.4)
    real, box = (
        (jnp.asarray(uniform), Point(jnp.asarray(x), sf.Level(*level), support))
        for support in (REAL, BOX)
    )
    mean, scale = x / 0.5, np.full(2, 0.4 / 0.5)
    plain = stats.norm.ppf(uniform, mean, scale)
    assert_allclose(sf.GaussianProposal().actions(*real), plain)
    assert_allclose(sf.GaussianProposal().actions(*box), plain)
    assert_allclose(sf.TruncatedGaussianProposal().actions(*real), plain)
    ours, spread = np.array([4.0, -2.0]), np.array([0.5, 1.0])
    normal = NormalProposal(jnp.asarray(ours), jnp.asarray(spread))
    for proposal, m, s in ((sf.TruncatedGaussianProposal(), mean, scale), (normal, ours, spread)):
        wanted = stats.truncnorm.ppf(uniform, (LOW - m) / s, (HIGH - m) / s, m, s)
        assert_allclose(proposal.actions(*box), wanted, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_a_draw_at_a_bound_keeps_its_digits(side):
    """From a normal 100 deviations outside a bound at 0, in single precision."""
    uniform = np.random.default_rng(3).uniform(size=(50, 1))
    ends, draws = sorted((0.0, side)), []
    for t in (jnp.float32, jnp.float64):
        box, mean = sf.Box(*(jnp.asarray(end, t) for end in ends)), jnp.full(1, -0.01 * side, t)
        draws.append(normal_actions(jnp.asarray(uniform, t), mean, jnp.asarray(1e-4, t), box))
    assert draws[0].dtype == jnp.float32 and np.abs(draws[1]).max() < 1e-5
    assert_allclose(*draws, rtol=0.02, atol=1e-9)


def test_quantiles_far_to_the_right_of_a_middle_that_is_inside():
    far = quantile(
        jnp.asarray([1.0 - 2.0**-50, 2.0**-50]), jnp.asarray([0.0, -40.0]), jnp.asarray([40.0, 0.0])
    )
    assert_allclose(far, stats.norm.isf(2.0**-51) * np.array([1.0, -1.0]), rtol=1e-12)


@pytest.mark.parametrize("turns", [1, 2])
def test_draws_are_weighed_by_the_mixture_of_all_proposals(turns):
    """Two points, whose likelihoods drew 3 each, and whose normals drew 5 each."""
    rng, xs = np.random.default_rng(3), np.array([[0.3, 2.0], [-0.2, 0.9]])
    alpha, sigma = np.array([0.8, 0.4]), np.array([0.5, 0.6])
    points = Point(jnp.asarray(xs), sf.Level(jnp.asarray(alpha), jnp.asarray(sigma)), BOX)
    mean, scale = rng.uniform(LOW, HIGH, (2, 2)), np.array([[0.4, 2.0], [0.1, 1.0]])
    action = rng.uniform(LOW, HIGH, (16, 2))[: 6 if turns == 1 else 16]
    first = jax.vmap(sf.FittedProposal().first, (over_points(points),))(points)
    stages = [Stage(first, jnp.asarray(action[:6]))]
    distributions = [(3, xs[k] / alpha[k], np.full(2, sigma[k] / alpha[k])) for k in range(2)]
    if turns == 2:
        normals = NormalProposal(jnp.asarray(mean), jnp.asarray(scale))
        stages.append(Stage(normals, jnp.asarray(action[6:])))
        distributions += [(5, mean[k], scale[k]) for k in range(2)]
    density = sum(
        n * stats.truncnorm.pdf(action, (LOW - m) / s, (HIGH - m) / s, m, s).prod(-1)
        for n, m, s in distributions
    )
    result = log_priors(stages, points)
    assert result.shape == (2, len(action))
    for k in range(2):
        likelihood = -0.5 * np.sum(((xs[k] - alpha[k] * action) / sigma[k]) ** 2, -1)
        assert_allclose(result[k], likelihood - np.log(density), rtol=1e-9)
