"""The one place where variance is measured, against samples whose answer is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import ndtr

from steinflow.study.cell import randomness
from steinflow.study.conditions import Grid
from steinflow.study.measure import Truth, cosine, coverage, measure, network_cosine
from steinflow.study.uncertainty import (
    change_error,
    least_variance,
    resampling,
    simultaneous,
    squared_bias,
    standard_error,
    statistics,
)


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
    found = measured(estimate, noise, truth)
    for value, se, expected in (
        (found.bias2, found.bias2_se, 0.09),
        (found.variance, found.variance_se, 0.05),
        (found.mse, found.mse_se, 0.14),
    ):
        assert abs(value - expected) < 4 * se, (value, se)
        assert 0 < se < 0.01
    assert abs(found.eed - 2.0 / 0.14) < 0.5


@pytest.mark.parametrize("centred", [False, True])  # where there is no bias, too
def test_every_measure_by_hand(centred):
    """Point by point and trial by trial, in NumPy."""
    rng, (trials, points, dim) = np.random.default_rng(5), (6, 4, 3)
    exact, ours, noise = rng.normal(size=(points, dim)), *rng.normal(size=(2, trials, points, dim))
    trace = rng.uniform(1.0, 2.0, points)
    ours = ours - (ours.mean(0) - exact) * centred
    truth = Truth(jnp.asarray(exact), jnp.asarray(trace), jnp.eye(12), jnp.asarray(exact))
    found = measured(ours, noise, truth)._asdict()
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
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert np.isclose(found[name], value, rtol=1e-10, atol=1e-12), name


def test_a_length_of_nothing_has_no_direction():
    nothing, one = jnp.zeros((2, 1)), jnp.ones((2, 1))
    assert cosine(nothing, one).tolist() == [0.0] and cosine(one, one) == pytest.approx(1.0)


def test_the_standard_errors_are_those_of_repetition(key):
    """bias², variance, MSE, cosine: 1,000 small experiments; bias² is unbiased at 0 bias."""

    def repeat(key):
        truth, estimate, noise = known(key, 30)
        return measured(estimate, noise, truth), measured(noise, noise, truth)

    biased, unbiased = jax.jit(jax.vmap(repeat))(jax.random.split(key, 1000))
    for found in (biased, unbiased):
        for name in ("bias2", "variance", "mse", "cosine"):
            spread = float(jnp.std(getattr(found, name)))
            stated = float(jnp.sqrt(jnp.mean(getattr(found, f"{name}_se") ** 2)))
            # the floor under the variance of bias^2 errs on the safe side at zero bias
            most = 1.6 if name == "bias2" else 1.15
            assert 0.85 < stated / spread < most, (name, stated / spread)
    mean, spread = unbiased.bias2.mean(), unbiased.bias2.std() / np.sqrt(1000)
    assert abs(mean) < 4 * spread and jnp.any(unbiased.bias2 < 0)  # never clipped


def test_an_exact_estimator_is_capped_and_has_no_variance():
    truth, _, noise = known(jax.random.key(0), 5)
    exact = jnp.broadcast_to(truth.score, noise.shape)
    found = measured(exact, noise, truth)
    assert found.eed == 1e4 and found.variance == 0 and found.mse == 0


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

    found = network_cosine(other, noise, Truth(jnp.ones((4, 2)), jnp.ones(4), gram, prediction))
    for k in range(6):
        flat = [
            jnp.concatenate([g.ravel() for g in jax.grad(loss)(weights, goal[k])])
            for goal in (other, noise)
        ]
        assert abs(found[k] - cosine(*flat)) < 1e-10


def test_coverage_counts_by_effective_sample_size():
    truth = Truth(jnp.zeros((2, 1)), jnp.ones(2), jnp.eye(2), jnp.zeros((2, 1)))
    estimate = jnp.array([[[0.0, 3.0], [1.0, 1.0]]])
    ess = jnp.array([[1.5, 300.0], [1.5, 30.0]])
    found = coverage(estimate, jnp.ones((1, 2, 2)), ess, truth)
    assert found.total.tolist() == [2, 0, 0, 0, 1, 0, 0, 1]
    assert found.covered.tolist() == [2, 0, 0, 0, 1, 0, 0, 0]


def test_an_estimate_without_error_is_covered_where_it_is_the_truth():
    truth = Truth(jnp.full((3, 1), 5.0), jnp.full(3, 16.0), jnp.eye(3), jnp.zeros((3, 1)))
    gaps, slack = jnp.array([0.99, 1.01, -0.99]), 1e-9 * (5.0 + 4.0)
    estimate = 5.0 + slack * gaps[None, None]
    found = coverage(estimate, jnp.zeros((1, 1, 3)), jnp.array([[1.0, 1.0, 2.5]]), truth)
    assert found.total.tolist() == [2, 1, 0, 0, 0, 0, 0, 0]
    assert found.covered.tolist() == [1, 1, 0, 0, 0, 0, 0, 0]
    wide = coverage(5.0 + 1.95 * gaps[None, None], jnp.ones((1, 1, 3)), jnp.ones((1, 3)), truth)
    assert wide.covered[0] == 2  # 1.95 * 1.01 > 1.96


def test_bootstrap_statistics_agree_with_the_measures(key):
    truth, estimate, noise = known(key, 40, points=5)
    how = resampling(40, seed=0)
    found = statistics(
        np.asarray(noise), np.asarray(estimate), np.asarray(truth.score), how, (1.0, 1.0)
    )
    ours = measured(estimate, noise, truth)
    assert np.isclose(found.variance_gradient[0], ours.variance)
    assert np.isclose(found.bias2_gradient[0], ours.bias2)
    assert np.isclose(found.cosine[0], ours.cosine_to_noise)
    # replicates are centred on the estimate: corrections of bootstrap bias are right
    for name in (
        "variance_noise",
        "variance_gradient",
        "covariance",
        "bias2_gradient",
        "bias2_noise",
    ):
        values = getattr(found, name)
        assert abs(values[1:].mean() - values[0]) < 4 * values[1:].std() / np.sqrt(1000) * 2, name


@pytest.mark.parametrize("trials", [12, 60])
def test_simultaneous_intervals_cover_together(trials):
    """Five means at once: all five covered in 95 % of 600 experiments, give or take."""
    rng, hits = np.random.default_rng(1), 0
    how = resampling(trials, seed=3)
    for _ in range(600):
        data = rng.standard_normal((trials, 5))
        found = simultaneous({k: how @ data[:, k] for k in range(5)}, trials)
        hits += all(interval.low <= 0 <= interval.high for interval in found.values())
    assert 0.92 <= hits / 600 <= 0.975


@pytest.mark.parametrize("bias", [0.0, 0.1, 0.5])
def test_replicates_of_a_squared_bias_vary_as_it_does(bias):
    """With a bias that is nothing beside the noise, too, and where one trial is far off."""
    rng, how = np.random.default_rng(2), resampling(50, seed=1)
    found, spread, centre = [], [], []
    for _ in range(300):
        errors = bias + rng.standard_t(5, (50, 4, 2))
        s = statistics(errors, errors, np.zeros((4, 2)), how, (1.0, 1.0))
        found.append(s.bias2_noise[0])
        spread.append(s.bias2_noise[1:].std())
        centre.append(s.bias2_noise[1:].mean())
    assert abs(np.mean(found) - 2 * bias**2) < 4 * np.std(found) / np.sqrt(300)
    assert np.max(np.abs(np.subtract(centre, found))) < np.std(found) / 2
    assert 0.85 < np.sqrt(np.mean(np.square(spread))) / np.std(found) < 1.15


def test_intervals_keep_to_the_bounds():
    rng, how = np.random.default_rng(3), resampling(30, seed=2)
    near = how @ rng.beta(0.02, 2.0, 30)
    values = {"near the end": near, "at it": np.ones_like(near), "constant": near * 0 + 0.3}
    plain, kept = simultaneous(values, 30), simultaneous(values, 30, (0.0, 1.0))
    assert plain["near the end"].low < 0.0 <= kept["near the end"].low
    for one in kept.values():
        assert 0.0 <= one.low <= one.estimate <= one.high <= 1.0
    twice = simultaneous({k: 2 * v - 1 for k, v in values.items()}, 30, (-1.0, 1.0))
    for name, one in twice.items():
        assert np.allclose(one, 2 * np.array(kept[name]) - 1, atol=1e-9)
    for name in ("at it", "constant"):
        assert max(kept[name]) - min(kept[name]) < 1e-15
    middle = {"middle": how @ rng.uniform(0.4, 0.6, 30)}  # where the scale is about linear
    one, other = simultaneous(middle, 30)["middle"], simultaneous(middle, 30, (0.0, 1.0))["middle"]
    assert np.allclose(one, other, atol=1e-3)


def test_the_error_of_the_best_c_is_that_of_the_jackknife():
    """In the data and in a resample."""
    rng, trials = np.random.default_rng(4), 80
    noise = rng.standard_t(4, (trials, 3, 2))
    gradient = 0.5 * noise + rng.standard_normal((trials, 3, 2))
    how = resampling(trials, seed=5)
    found = statistics(noise, gradient, np.ones((3, 2)), how, (1.0, 1.0)).best_c_error

    def best(kept):
        one, other = (values[kept] - values[kept].mean(0) for values in (noise, gradient))
        return -np.sum(one * (other - one)) / np.sum((other - one) ** 2)

    for row in (0, 1, 2):
        drawn = np.repeat(np.arange(trials), np.rint(trials * how[row]).astype(int))
        without = [best(np.delete(drawn, k)) for k in range(trials)]
        error = np.sqrt((trials - 1) * np.var(without))
        assert found[row] == pytest.approx(error, rel=0.08)


def test_the_error_of_a_squared_bias_is_how_it_varies():
    """Alone, and its change between two numbers of draws that share their trials."""
    rng, how = np.random.default_rng(9), resampling(60, seed=2)
    found, said = [], []
    for _ in range(400):
        most = 0.4 + rng.standard_normal((60, 3, 2))
        least = 0.3 + 0.8 * most + 0.3 * rng.standard_normal((60, 3, 2))
        pairs = [squared_bias(errors, how) for errors in (most, least)]
        found.append([pairs[0].value[0], pairs[1].value[0] - pairs[0].value[0]])
        alone = standard_error(pairs[0].influence, how)
        change = change_error(least, most, how)
        said.append([alone[0], change[0], np.mean(alone), np.mean(change)])
    assert np.allclose(np.mean(found, 0), [0.32, 2 * (0.62**2 - 0.4**2)], rtol=0.05)
    wanted, said = np.std(found, axis=0), np.mean(said, axis=0)
    assert np.allclose(said[:2], wanted, rtol=0.15) and np.allclose(said[2:], wanted, rtol=0.2)


def test_studentized_intervals_by_hand():
    rng, how = np.random.default_rng(6), resampling(20, seed=1)
    data = rng.exponential(size=(20, 3))
    data[:, 2] = 0.25  # varies in no resample
    values = {k: how @ data[:, k] for k in range(3)}
    errors = {k: np.sqrt(how @ data[:, k] ** 2 - values[k] ** 2) for k in range(2)}
    errors[2] = np.zeros(1001)
    t = [(values[k][1:] - values[k][0]) / errors[k][1:] for k in range(2)]
    high = np.quantile(np.maximum(*t), 0.975, method="higher")
    low = np.quantile(np.minimum(*t), 0.025, method="lower")
    found = simultaneous(values, 20, None, errors)
    for k in range(2):
        mean, error = values[k][0], errors[k][0]
        assert np.allclose(found[k], (mean, mean - high * error, mean - low * error))
    assert np.allclose(found[2], 0.25)
    bounded = simultaneous(values, 20, (0.0, 0.9), errors)
    assert np.allclose(bounded[0], np.clip(found[0], 0.0, 0.9)) and found[0].high > 0.9


@pytest.mark.parametrize("trials", [2, 3, 30])
def test_what_rests_on_one_trial_is_not_known(trials):
    """A resample without it does not vary at all; at two trials half of them are one trial."""
    rng, how = np.random.default_rng(8), resampling(trials, seed=1)
    noise, gradient = np.zeros((2, trials, 3, 2))
    noise[0], gradient[0] = rng.standard_normal((2, 3, 2))
    found = statistics(noise, gradient, np.ones((3, 2)), how, (1.0, 1.0))
    c = least_variance(found.variance_noise, found.variance_gradient, found.covariance)
    assert np.isfinite(found.best_c_error).all()
    interval = simultaneous({0: c}, trials, (0.0, 1.0), {0: found.best_c_error})[0]
    assert interval.high - interval.low > 0.2 and 0.0 <= interval.low <= interval.high <= 1.0
    bias = found.bias2_noise, found.bias2_noise_error
    other = np.linspace(0.0, 1.0, 1001), np.full(1001, np.nan)  # and what is no number
    for one in simultaneous(
        {0: bias[0], 1: other[0]}, trials, None, {0: bias[1], 1: other[1]}
    ).values():
        assert not np.isfinite(one.low) and not np.isfinite(one.high)


def test_studentized_intervals_cover_where_rare_trials_count_most():
    """Three means of squares of t(5) at once, which plain ones leave out in a fifth."""
    rng, hits = np.random.default_rng(7), {"plain": 0, "studentized": 0}
    trials, how = 60, resampling(60, seed=3)
    for _ in range(300):
        data = rng.standard_t(5, (trials, 3)) ** 2
        values = {k: how @ data[:, k] for k in range(3)}
        errors = {
            k: np.sqrt((how @ data[:, k] ** 2 - values[k] ** 2) / (trials - 1)) for k in range(3)
        }
        for name, known in (("plain", None), ("studentized", errors)):
            found = simultaneous(values, trials, None, known).values()
            hits[name] += all(one.low <= 5 / 3 <= one.high for one in found)
    assert hits["plain"] < 0.87 * 300 < 0.9 * 300 < hits["studentized"] < 0.98 * 300, hits


def test_query_points_are_a_design_and_seeds_differ_in_their_draws():
    grid = Grid("paper", trials=3, query_points=64, num_draws=(8,))
    one, two = (randomness(jax.random.key(seed), grid, 2) for seed in (0, 1))
    assert np.array_equal(one.action, two.action) and np.array_equal(one.noise, two.noise)
    assert not np.any(one.draws[0] == two.draws[0])
    net = np.hstack([one.action, ndtr(one.noise)])
    assert all(sorted(column) == list(range(64)) for column in (64 * net).astype(int).T)
