"""The replay buffer and n-step returns."""

import numpy as np

from steinflow.rl.critic import Batch
from steinflow.rl.replay import NSteps, Replay


def numbered(n_step, rewards, terminated, gamma=0.5):
    """The transitions of one episode whose observations count its steps."""
    steps, found, last = NSteps(n_step, gamma), [], len(rewards) - 1
    for t, reward in enumerate(rewards):
        ends = t == last
        obs, after = np.float32([t]), np.float32([t + 1])
        action = np.float32([0.0])
        found += steps.step(obs, action, reward, after, ends and terminated, ends)
    return [(float(b.obs[0]), float(b.reward), float(b.next_obs[0]), float(b.discount))
            for b in found]  # fmt: skip


def test_one_step_returns():
    assert numbered(1, [3.0, 4.0], True) == [(0, 3, 1, 0.5), (1, 4, 2, 0)]


def test_a_truncated_episode_keeps_its_discount():
    assert numbered(1, [3.0, 4.0], False) == [(0, 3, 1, 0.5), (1, 4, 2, 0.5)]


def test_n_step_returns_and_the_shorter_ones_at_the_end():
    assert numbered(2, [1.0, 2.0, 4.0], True) == [(0, 2, 2, 0.25), (1, 4, 3, 0), (2, 4, 3, 0)]
    assert numbered(2, [1.0, 2.0, 4.0], False)[-2:] == [(1, 4, 3, 0.25), (2, 4, 3, 0.5)]


def test_the_oldest_transition_goes_first_and_batches_repeat():
    replay = Replay(seeds=2, capacity=3, obs_dim=1, action_dim=1)
    for t in range(5):
        obs = np.full((2, 1), t, np.float32)
        replay.add(Batch(obs, obs, obs[:, 0], obs, obs[:, 0]))
    assert sorted(replay.arrays["reward"][0]) == [2, 3, 4]
    a, b = replay.sample(7, 3, (4, 5)), replay.sample(7, 3, (4, 5))
    assert a.obs.shape == (2, 4, 5, 1) and np.array_equal(a.reward, b.reward)
    assert np.array_equal(a.reward[1], replay.sample(8, 3, (4, 5)).reward[0])  # a seed of its own
    assert set(np.unique(a.reward)) <= {2, 3, 4}
