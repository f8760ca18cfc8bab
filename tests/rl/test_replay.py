"""The replay buffer and n-step returns."""

import numpy as np
import pytest

from steinflow.rl.replay import Replay, Steps


def numbered(n, rewards, terminated, gamma=0.5):
    """The transitions of one episode whose observations count its steps, and the next one's."""
    replay, last = Replay(1, 1, 100, 1, 1), len(rewards) - 1
    for t, reward in enumerate([*rewards, 9.0]):
        ends = np.array([t == last])
        obs = np.float32([[t]])
        replay.add(Steps(obs, obs, np.float32([reward]), obs + 1, ends & terminated, ends))
    batch = replay.sample(0, 0, (200,), n, gamma)
    parts = [
        batch["obs"][0, :, 0],
        batch["reward"][0],
        batch["next_obs"][0, :, 0],
        batch["discount"][0],
    ]
    return sorted({tuple(map(float, row)) for row in zip(*parts, strict=True)})[:-1]


def test_one_step_returns():
    assert numbered(1, [3.0, 4.0], True) == [(0, 3, 1, 0.5), (1, 4, 2, 0)]


def test_a_truncated_episode_keeps_its_discount():
    assert numbered(1, [3.0, 4.0], False) == [(0, 3, 1, 0.5), (1, 4, 2, 0.5)]


def test_n_step_returns_and_the_shorter_ones_at_the_end():
    assert numbered(2, [1.0, 2.0, 4.0], True) == [(0, 2, 2, 0.25), (1, 4, 3, 0), (2, 4, 3, 0)]
    assert numbered(2, [1.0, 2.0, 4.0], False)[-2:] == [(1, 4, 3, 0.25), (2, 4, 3, 0.5)]
    assert numbered(3, [1.0, 2.0, 4.0], True)[0] == (0, 3, 3, 0)


@pytest.mark.parametrize("n", [1, 3, 7])
def test_n_step_returns_against_a_loop(n):
    """Two environments, episodes of random lengths that terminate or are truncated."""
    rng, gamma, count = np.random.default_rng(n), 0.9, 60
    rewards = rng.normal(size=(count, 2)).astype(np.float32)
    terminated = rng.uniform(size=(count, 2)) < 0.1
    truncated = (rng.uniform(size=(count, 2)) < 0.1) & ~terminated
    replay = Replay(1, 2, 2 * count, 1, 1)
    for t in range(count):
        obs = np.float32([[t], [1000 + t]])
        replay.add(Steps(obs, obs, rewards[t], obs + 0.5, terminated[t], truncated[t]))
    result = replay.sample(0, 0, (300,), n, gamma)
    for i in range(300):
        env, start = divmod(int(result["obs"][0, i, 0]), 1000)
        total, discount, t = 0.0, 1.0, start
        while True:
            total += discount * rewards[t, env]
            discount *= gamma
            if terminated[t, env] or truncated[t, env] or t - start == n - 1 or t == count - 1:
                break
            t += 1
        assert np.isclose(result["reward"][0, i], total, atol=1e-5)
        assert np.isclose(result["discount"][0, i], 0.0 if terminated[t, env] else discount)
        assert result["next_obs"][0, i, 0] == 1000 * env + t + 0.5


def filled(seeds, envs, capacity, count):
    """Steps whose reward is their number."""
    replay = Replay(seeds, envs, capacity, 1, 1)
    no = np.zeros(seeds * envs, bool)
    for t in range(count):
        obs = np.full((seeds * envs, 1), t, np.float32)
        replay.add(Steps(obs, obs, obs[:, 0], obs, no, no))
    return replay


def test_the_oldest_step_goes_first_and_batches_repeat():
    replay = filled(2, 1, 3, 5)
    a, b = replay.sample(7, 3, (4, 5)), replay.sample(7, 3, (4, 5))
    assert a["obs"].shape == (2, 4, 5, 1) and np.array_equal(a["reward"], b["reward"])
    assert np.array_equal(
        a["reward"][1], replay.sample(8, 3, (4, 5))["reward"][0]
    )  # a seed of its own
    assert set(np.unique(replay.sample(7, 3, (100,))["reward"])) == {2, 3, 4}


def test_a_sum_never_goes_past_the_newest_step():
    batch = filled(1, 1, 3, 5).sample(0, 0, (100,), n=3, gamma=1.0)
    sums = {
        tuple(row) for row in np.stack([batch["obs"][0, :, 0], batch["reward"][0]], -1).tolist()
    }
    assert sums == {(2, 2 + 3 + 4), (3, 3 + 4), (4, 4)}


def test_an_environment_that_only_reset_adds_nothing():
    replay = filled(1, 2, 10, 2)
    one = np.ones((2, 1), np.float32)
    no = np.zeros(2, bool)
    replay.add(Steps(one, one, one[:, 0], one, no, no), np.array([True, False]))
    assert replay.added.tolist() == [3, 2]


def test_a_ring_comes_back_from_what_a_checkpoint_keeps():
    replay, other = filled(2, 2, 8, 7), filled(2, 2, 8, 0)
    for seed in (0, 1):
        other.restore(seed, replay.of_seed(seed))
    a, b = replay.sample(0, 1, (50,)), other.sample(0, 1, (50,))
    assert all(np.array_equal(a[name], b[name]) for name in a)


def test_returns_of_several_steps_are_those_of_a_loop_in_plain_python(tmp_path):
    """--n-step 3 --buffer-size 50 --env-kwargs length=7, and rings that wrap around."""
    for n, capacity, length, gamma in [(3, 50, 7, 0.9), (5, 16, 3, 0.5), (2, 9, 20, 0.99)]:
        rng, replay, steps = np.random.default_rng(n), Replay(1, 1, capacity, 1, 1), []
        for t in range(120):
            reward, terminated = float(rng.integers(1, 99)), bool(rng.integers(9) == 0)
            truncated = (t + 1) % length == 0 and not terminated
            steps.append((t, reward, terminated, truncated))
            obs, ends = np.float32([[t]]), (np.array([terminated]), np.array([truncated]))
            replay.add(Steps(obs, obs, np.float32([reward]), obs + 0.5, *ends))
        kept = steps[-capacity:]
        right = {}
        for first, (t, *_) in enumerate(kept):
            total, discount = 0.0, 1.0
            for step, reward, terminated, truncated in kept[first : first + n]:
                total, discount = total + discount * reward, discount * gamma
                last = step
                if terminated or truncated:
                    break
            right[t] = (total, last + 0.5, 0.0 if terminated else discount)
        batch = replay.sample(0, 0, (2_000,), n, gamma)
        seen = batch["obs"][0, :, 0].astype(int)
        assert set(seen) == set(right)
        for name, column in (("reward", 0), ("next_obs", 1), ("discount", 2)):
            result = batch[name][0].reshape(-1)
            assert np.allclose(result, [right[t][column] for t in seen], rtol=1e-5)


def test_an_episode_that_is_dropped_is_not_sampled():
    replay, no = Replay(1, 1, 6, 1, 1), np.zeros(1, bool)

    def add(t):
        obs = np.float32([[t]])
        replay.add(Steps(obs, obs, np.float32([t]), obs, no, no))

    def held():
        return set(replay.sample(0, 0, (300,))["reward"][0].astype(int))

    for t in range(8):
        add(t)
    replay.drop(0, 3)
    assert held() == {2, 3, 4}  # what they were written over does not come back
    assert replay.fewest == 3
    for t in (20, 21, 22, 23):
        add(t)
    assert held() == {3, 4, 20, 21, 22, 23}
    replay.drop(0, 99)
    assert replay.fewest == 0
    add(30)
    assert held() == {30}
