"""States of environments, taken and put back."""

import gymnasium as gym
import numpy as np
import pytest

from steinflow.rl.environment_state import set_state, state_of


@pytest.mark.parametrize("name", ["Pendulum-v1", "Hopper-v5", "HalfCheetah-v5"])
def test_an_environment_goes_on_from_its_state(name):
    one, other = gym.make(name), gym.make(name)
    one.reset(seed=1), other.reset(seed=2)
    one.action_space.seed(0)
    for _ in range(7):
        one.step(one.action_space.sample())
    set_state(other, state_of(one))
    for _ in range(60):
        action = one.action_space.sample()
        mine, its = one.step(action), other.step(action)
        assert np.array_equal(mine[0], its[0]) and mine[1:4] == its[1:4]
        if mine[2] or mine[3]:
            assert np.array_equal(one.reset()[0], other.reset()[0])
    assert state_of(gym.make("CartPole-v1")) is None  # its state is not there before a reset
