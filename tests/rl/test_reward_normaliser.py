"""Running statistics of discounted returns against lists of them."""

import numpy as np
import pytest

from steinflow.rl.reward_normaliser import RewardNormaliser

RNG = np.random.default_rng(2)


def steps(count, seeds=2, envs=3):
    """Rewards, terminations, and which steps are any."""
    shape = (count, seeds, envs)
    flags = RNG.uniform(size=shape)
    return RNG.normal(0.3, 1.0, shape).astype(np.float32), flags < 0.2, flags < 0.9


def fed(given, gamma=0.9, bound=5.0):
    _, seeds, envs = given[0].shape
    normaliser = RewardNormaliser(seeds, envs, gamma, bound)
    for step in zip(*given, strict=True):
        normaliser.update(*step)
    return normaliser


@pytest.mark.parametrize("bound", [0.0, 5.0])
def test_the_scale_is_that_of_all_discounted_returns(bound):
    given = rewards, terminated, valid = steps(50)
    for seed, result in enumerate(fed(given, bound=bound).scale):
        every = []
        for env in range(3):
            going = 0.0
            for t in np.flatnonzero(valid[:, seed, env]):
                going = 0.9 * going + float(rewards[t, seed, env])
                every.append(going)
                if terminated[t, seed, env]:
                    going = 0.0
        wanted = [np.std(every), np.max(np.abs(every)) / bound if bound else 0.0]
        assert np.isclose(result, max(wanted), rtol=1e-12)


def test_a_bound_below_the_spread_decides():
    given = steps(50)
    largest = fed(given, bound=1.0).running.largest
    assert np.allclose(fed(given, bound=1.0).scale, largest)


def test_rewards_in_other_units_scale_with_them():
    rewards, *flags = steps(200)
    one, other = fed((rewards, *flags)).scale, fed((rewards * np.float32(2.0**10), *flags)).scale
    assert np.array_equal(other, 2.0**10 * one)
    assert np.array_equal(fed((0.0 * rewards, *flags)).scale, [1.0, 1.0])


def test_one_huge_reward_leaves_the_scale_to_the_others():
    rewards = RNG.uniform(0.5, 1.0, (10_000, 1, 1)).astype(np.float32)
    flags = np.zeros(rewards.shape, bool), np.ones(rewards.shape, bool)
    before = fed((rewards, *flags), gamma=0.99).scale
    rewards[5_000] = 1e6
    assert before < fed((rewards, *flags), gamma=0.99).scale < 4.0 * before
    rewards[5_000:5_100] = 1e6  # not rare any more
    assert fed((rewards, *flags), gamma=0.99).scale > 1e5


def test_a_rare_reward_among_zeros_counts():
    rewards = np.zeros((2_000, 1, 1), np.float32)
    rewards[1_500] = 7.0
    flags = np.zeros(rewards.shape, bool), np.ones(rewards.shape, bool)
    assert np.isclose(fed((rewards, *flags)).scale, 7.0 / 5.0)


def test_what_a_checkpoint_keeps_goes_on_as_before():
    given = steps(60)
    whole, half = fed(given), fed([part[:30] for part in given])
    other = RewardNormaliser(2, 3, 0.9, 5.0)
    for seed in (0, 1):
        other.restore(seed, half.of_seed(seed))
    for step in zip(*(part[30:] for part in given), strict=True):
        other.update(*step)
    for mine, its in zip(other.running, whole.running, strict=True):
        assert np.array_equal(mine, its)
