"""The one place where variance is measured, against samples whose answer is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import ndtr

from steinflow.study.cell import randomness
from steinflow.study.conditions import Grid
from steinflow.study.measure import Truth, cosine, coverage, measure, network_cosine
from steinflow.study.uncertainty import resampling, statistics


def known(key, trials, points=3, dim=2):
    """Gaussian estimates with bias (0.3, 0) and variance 0.04 + 0.01 at scores of ones."""
    truth = Truth(
        jnp.ones((points, dim)), jnp.full(points, 2.0), jnp.eye(points * dim),
        jnp.zeros((points, dim)),
    )  # fmt: skip
    spread = jnp.array([0.2, 0.1])
    noise = 1 + jax.random.normal(key, (trials, points, dim)) * spread
    return truth, noise + jnp.array([0.3, 0.0]), noise


def measured(estimate, noise, truth):
    """Measures of estimates [t, x, d]."""
    first = [jnp.moveaxis(jnp.asarray(v), -1, 0) for v in (estimate, noise)]
    return measure(*first, truth)


def test_bias_variance_and_mse_of_known_estimates(key):
    truth, estimate, noise = known(key, 20_000)
    measures = measured(estimate, noise, truth)
    for value, se, expected in (
        (measures.bias2, measures.bias2_se, 0.09),
        (measures.variance, measures.variance_se, 0.05),
        (measures.mse, measures.mse_se, 0.14),
    ):
        assert abs(value - expected) < 4 * se, (value, se)
        assert 0 < se < 0.01
    assert abs(measures.eed - 2.0 / 0.14) < 0.5


@pytest.mark.parametrize("centred", [False, True])  # where there is no bias, too
def test_every_measure_by_hand(centred):
    """Point by point and trial by trial, in NumPy."""
    rng, (trials, points, dim) = np.random.default_rng(5), (6, 4, 3)
    exact, ours, noise = rng.normal(size=(points, dim)), *rng.normal(size=(2, trials, points, dim))
    trace = rng.uniform(1.0, 2.0, points)
    ours = ours - (ours.mean(0) - exact) * centred
    truth = Truth(jnp.asarray(exact), jnp.asarray(trace), jnp.eye(12), jnp.asarray(exact))
    measures = measured(ours, noise, truth)._asdict()
    covariances = [np.cov(ours[:, x].T) for x in range(points)]
    bias = (ours - exact).mean(0)
    variance = np.array([np.trace(s) for s in covariances])
    losses = np.sum((ours - exact) ** 2, -1)
    spreads = []
    for m, s in zip(bias, covariances, strict=True):
        whole = np.trace(s @ s)
        least = 2 * whole / trials / (trials - 1)
        spreads.append(max(4 * m @ s @ m / trials - 2 * whole / trials**2, least))

    def between(a, b):
        inner = np.sum(a * b, -1)
        return inner / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)

    def apart(values):  # of a mean over trials that are independent at each point
        return np.sqrt(np.sum(np.var(values, axis=0, ddof=1) / trials)) / points

    deviation = np.sum((ours - ours.mean(0)) ** 2, -1) * trials / (trials - 1)
    align, beside = between(ours, exact), between(ours, noise)
    length = np.linalg.norm(ours, axis=-1).mean()
    expected = {
        "bias2": np.mean(np.sum(bias**2, -1) - variance / trials),
        "bias2_se": np.sqrt(np.sum(spreads)) / points,
        "variance": variance.mean(), "variance_se": apart(deviation),
        "mse": losses.mean(), "mse_se": apart(losses),
        "eed": trace.sum() / losses.mean(0).sum(),
        "cosine": align.mean(), "cosine_se": align.mean(1).std(ddof=1) / np.sqrt(trials),
        "norm_ratio": length / np.linalg.norm(exact, axis=-1).mean(),
        "cosine_to_noise": beside.mean(),
        "cosine_to_noise_se": beside.mean(1).std(ddof=1) / np.sqrt(trials),
        "norm_over_noise": length / np.linalg.norm(noise, axis=-1).mean(),
    }  # fmt: skip
    assert measures.keys() == expected.keys()
    for name, value in expected.items():
        assert np.isclose(measures[name], value, rtol=1e-10, atol=1e-12), name


def test_a_length_of_nothing_has_no_direction():
    nothing, one = jnp.zeros((2, 1)), jnp.ones((2, 1))
    assert cosine(nothing, one).tolist() == [0.0] and cosine(one, one) == pytest.approx(1.0)


def test_the_standard_errors_are_those_of_repetition(key):
    """bias², variance, MSE, cosine: 1,000 small experiments; bias² is unbiased at 0 bias."""

    def repeat(key):
        truth, estimate, noise = known(key, 30)
        return measured(estimate, noise, truth), measured(noise, noise, truth)

    biased, unbiased = jax.jit(jax.vmap(repeat))(jax.random.split(key, 1000))
    for measures in (biased, unbiased):
        for name in ("bias2", "variance", "mse", "cosine"):
            spread = float(jnp.std(getattr(measures, name)))
            stated = float(jnp.sqrt(jnp.mean(getattr(measures, f"{name}_se") ** 2)))
            # the floor under the variance of bias^2 errs on the safe side at zero bias
            most = 1.6 if name == "bias2" else 1.15
            assert 0.85 < stated / spread < most, (name, stated / spread)
    mean, spread = unbiased.bias2.mean(), unbiased.bias2.std() / np.sqrt(1000)
    assert abs(mean) < 4 * spread and jnp.any(unbiased.bias2 < 0)  # never clipped


def test_an_exact_estimator_is_capped_and_has_no_variance():
    truth, _, noise = known(jax.random.key(0), 5)
    exact = jnp.broadcast_to(truth.score, noise.shape)
    measures = measured(exact, noise, truth)
    assert measures.eed == 1e4 and measures.variance == 0 and measures.mse == 0


def test_network_cosine_equals_that_of_real_parameter_gradients(key):
    """Against autodiff of the two losses through the same small network."""
    from steinflow.study.cell import policy_network

    xs = jax.random.normal(key, (4, 2))
    gram, prediction = policy_network(xs)
    noise = jax.random.normal(jax.random.key(1), (6, 4, 2))
    other = noise + jax.random.normal(jax.random.key(2), (6, 4, 2))
    rng = np.random.default_rng(0)
    sizes = [(32, 2), (32, 32), (2, 32)]
    weights = [jnp.asarray(rng.standard_normal(s) / np.sqrt(s[1])) for s in sizes]

    def loss(weights, goal):
        def network(x):
            return weights[2] @ jnp.tanh(weights[1] @ jnp.tanh(weights[0] @ x))

        return jnp.sum((jax.vmap(network)(xs) - goal) ** 2)

    result = network_cosine(other, noise, Truth(jnp.ones((4, 2)), jnp.ones(4), gram, prediction))
    for k in range(6):
        flat = [
            jnp.concatenate([g.ravel() for g in jax.grad(loss)(weights, goal[k])])
            for goal in (other, noise)
        ]
        assert abs(result[k] - cosine(*flat)) < 1e-10


def test_coverage_counts_by_effective_sample_size():
    truth = Truth(jnp.zeros((2, 1)), jnp.ones(2), jnp.eye(2), jnp.zeros((2, 1)))
    estimate = jnp.array([[[0.0, 3.0], [1.0, 1.0]]])
    ess = jnp.array([[1.5, 300.0], [1.5, 30.0]])
    result = coverage(estimate, jnp.ones((1, 2, 2)), ess, truth)
    assert result.total.tolist() == [2, 0, 0, 0, 1, 0, 0, 1]
    assert result.covered.tolist() == [2, 0, 0, 0, 1, 0, 0, 0]


def test_an_estimate_without_error_is_covered_where_it_is_the_truth():
    truth = Truth(jnp.full((3, 1), 5.0), jnp.full(3, 16.0), jnp.eye(3), jnp.zeros((3, 1)))
    gaps, slack = jnp.array([0.99, 1.01, -0.99]), 1e-9 * (5.0 + 4.0)
    estimate = 5.0 + slack * gaps[None, None]
    result = coverage(estimate, jnp.zeros((1, 1, 3)), jnp.array([[1.0, 1.0, 2.5]]), truth)
    assert result.total.tolist() == [2, 1, 0, 0, 0, 0, 0, 0]
    assert result.covered.tolist() == [1, 1, 0, 0, 0, 0, 0, 0]
    wide = coverage(5.0 + 1.95 * gaps[None, None], jnp.ones((1, 1, 3)), jnp.ones((1, 3)), truth)
    assert wide.covered[0] == 2  # 1.95 * 1.01 > 1.96


def test_bootstrap_statistics_agree_with_the_measures(key):
    truth, estimate, noise = known(key, 40, points=5)
    how = resampling(40, seed=0)
    result = statistics(
        np.asarray(noise), np.asarray(estimate), np.asarray(truth.score), how, (1.0, 1.0)
    )
    ours = measured(estimate, noise, truth)
    assert np.isclose(result.variance_gradient[0], ours.variance)
    assert np.isclose(result.bias2_gradient[0], ours.bias2)
    assert np.isclose(result.cosine[0], ours.cosine_to_noise)
    # replicates are centred on the estimate: corrections of bootstrap bias are right
    for name in (
        "variance_noise",
        "variance_gradient",
        "covariance",
        "bias2_gradient",
        "bias2_noise",
    ):
        values = getattr(result, name)
        assert abs(values[1:].mean() - values[0]) < 4 * values[1:].std() / np.sqrt(1000) * 2, name


def test_query_points_are_a_design_and_seeds_differ_in_their_draws():
    grid = Grid("paper", trials=3, query_points=64, num_draws=(8,))
    one, two = (randomness(jax.random.key(seed), grid, 2) for seed in (0, 1))
    assert np.array_equal(one.action, two.action) and np.array_equal(one.noise, two.noise)
    assert not np.any(one.draws[0] == two.draws[0])
    net = np.hstack([one.action, ndtr(one.noise)])
    assert all(sorted(column) == list(range(64)) for column in (64 * net).astype(int).T)
