"""Bootstrap over trials, and whether simultaneous intervals cover."""

import numpy as np
import pytest

from steinflow.study.uncertainty import (
    change_error,
    least_variance,
    resampling,
    simultaneous,
    squared_bias,
    standard_error,
    statistics,
)


@pytest.mark.parametrize("trials", [12, 60])
def test_simultaneous_intervals_cover_together(trials):
    """Five means at once: all five covered in 95 % of 600 experiments, give or take."""
    rng, hits = np.random.default_rng(1), 0
    how = resampling(trials, seed=3)
    for _ in range(600):
        data = rng.standard_normal((trials, 5))
        intervals = simultaneous({k: how @ data[:, k] for k in range(5)}, trials)
        hits += all(interval.low <= 0 <= interval.high for interval in intervals.values())
    assert 0.92 <= hits / 600 <= 0.975


@pytest.mark.slow
@pytest.mark.parametrize("bias", [0.0, 0.1, 0.5])
def test_replicates_of_a_squared_bias_vary_as_it_does(bias):
    """With a bias that is nothing beside the noise, too, and where one trial is far off."""
    rng, how = np.random.default_rng(2), resampling(50, seed=1)
    result, spread, centre = [], [], []
    for _ in range(300):
        errors = bias + rng.standard_t(5, (50, 4, 2))
        s = statistics(errors, errors, np.zeros((4, 2)), how, (1.0, 1.0))
        result.append(s.bias2_noise[0])
        spread.append(s.bias2_noise[1:].std())
        centre.append(s.bias2_noise[1:].mean())
    assert abs(np.mean(result) - 2 * bias**2) < 4 * np.std(result) / np.sqrt(300)
    assert np.max(np.abs(np.subtract(centre, result))) < np.std(result) / 2
    assert 0.85 < np.sqrt(np.mean(np.square(spread))) / np.std(result) < 1.15


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
    result = statistics(noise, gradient, np.ones((3, 2)), how, (1.0, 1.0)).best_c_error

    def best(kept):
        one, other = (values[kept] - values[kept].mean(0) for values in (noise, gradient))
        return -np.sum(one * (other - one)) / np.sum((other - one) ** 2)

    for row in (0, 1, 2):
        drawn = np.repeat(np.arange(trials), np.rint(trials * how[row]).astype(int))
        without = [best(np.delete(drawn, k)) for k in range(trials)]
        error = np.sqrt((trials - 1) * np.var(without))
        assert result[row] == pytest.approx(error, rel=0.08)


def test_the_error_of_a_squared_bias_is_how_it_varies():
    """Alone, and its change between two numbers of draws that share their trials."""
    rng, how = np.random.default_rng(9), resampling(60, seed=2)
    result, said = [], []
    for _ in range(400):
        most = 0.4 + rng.standard_normal((60, 3, 2))
        least = 0.3 + 0.8 * most + 0.3 * rng.standard_normal((60, 3, 2))
        pairs = [squared_bias(errors, how) for errors in (most, least)]
        result.append([pairs[0].value[0], pairs[1].value[0] - pairs[0].value[0]])
        alone = standard_error(pairs[0].influence, how)
        change = change_error(least, most, how)
        said.append([alone[0], change[0], np.mean(alone), np.mean(change)])
    assert np.allclose(np.mean(result, 0), [0.32, 2 * (0.62**2 - 0.4**2)], rtol=0.05)
    wanted, said = np.std(result, axis=0), np.mean(said, axis=0)
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
    intervals = simultaneous(values, 20, None, errors)
    for k in range(2):
        mean, error = values[k][0], errors[k][0]
        assert np.allclose(intervals[k], (mean, mean - high * error, mean - low * error))
    assert np.allclose(intervals[2], 0.25)
    bounded = simultaneous(values, 20, (0.0, 0.9), errors)
    assert np.allclose(bounded[0], np.clip(intervals[0], 0.0, 0.9)) and intervals[0].high > 0.9


@pytest.mark.parametrize("trials", [2, 3, 30])
def test_what_rests_on_one_trial_is_not_known(trials):
    """A resample without it does not vary at all; at two trials half of them are one trial."""
    rng, how = np.random.default_rng(8), resampling(trials, seed=1)
    noise, gradient = np.zeros((2, trials, 3, 2))
    noise[0], gradient[0] = rng.standard_normal((2, 3, 2))
    result = statistics(noise, gradient, np.ones((3, 2)), how, (1.0, 1.0))
    c = least_variance(result.variance_noise, result.variance_gradient, result.covariance)
    assert np.isfinite(result.best_c_error).all()
    interval = simultaneous({0: c}, trials, (0.0, 1.0), {0: result.best_c_error})[0]
    assert interval.high - interval.low > 0.2 and 0.0 <= interval.low <= interval.high <= 1.0
    bias = result.bias2_noise, result.bias2_noise_error
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
            intervals = simultaneous(values, trials, None, known).values()
            hits[name] += all(one.low <= 5 / 3 <= one.high for one in intervals)
    assert hits["plain"] < 0.87 * 300 < 0.9 * 300 < hits["studentized"] < 0.98 * 300, hits
