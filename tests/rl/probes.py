"""Probe environments whose Q is known, and one whose value is wrong if truncation terminates."""

import gymnasium as gym
import numpy as np


class Probe(gym.Env):
    """Episodes of one step: obs is -1 or 1 where it matters."""

    observation_space = gym.spaces.Box(-1.0, 1.0, (1,))
    action_space = gym.spaces.Box(np.float32([-1.0]), np.float32([1.0]))
    random, ends = False, (True, False)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.obs = float(self.np_random.choice([-1.0, 1.0])) if self.random else 0.0
        return np.float32([self.obs]), {}

    def step(self, action):
        return np.float32([self.obs]), self.reward(float(action[0])), *self.ends, {}


class Constant(Probe):
    """Q = 1."""

    def reward(self, action):
        return 1.0


class Seen(Probe):
    """Q = obs."""

    random = True

    def reward(self, action):
        return self.obs


class Delayed(Probe):
    """Two steps, and the reward with the second: Q = gamma, then 1."""

    def step(self, action):
        first, self.obs = self.obs == 0.0, 1.0
        return np.float32([1.0]), float(not first), not first, False, {}


class Done(Probe):
    """Q = action."""

    def reward(self, action):
        return action


class Matched(Probe):
    """Q = -|action - obs|; the best action is obs."""

    random = True

    def reward(self, action):
        return -abs(action - self.obs)


class Endless(Probe):
    """Reward 1 for ever, cut after every step: Q = 1/(1 - gamma), not 1."""

    ends = (False, True)

    def reward(self, action):
        return 1.0
