"""The environment of four goals."""

import numpy as np
from gymnasium.utils.env_checker import check_env

from steinflow.rl.multigoal import GOALS, MultiGoal


def test_multi_goal_is_an_environment_and_its_goals_end_episodes():
    env = MultiGoal(render_mode="rgb_array")
    check_env(env, skip_render_check=True)
    for number, goal in enumerate(GOALS):
        env.reset(seed=0)
        done, info = False, {}
        while not done:
            _, reward, done, _, info = env.step(np.float32(goal / 5.0))
        assert info["goal"] == number and reward > 8.0
    assert env.render().shape == (280, 280, 3)
