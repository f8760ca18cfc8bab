"""How many updates a step."""

import pytest

from steinflow.rl.config import TrainConfig
from steinflow.rl.loop import cadence


@pytest.mark.parametrize("chunk", [1, 16, 50])
@pytest.mark.parametrize("envs", [1, 5, 8])
@pytest.mark.parametrize("delay", [1, 2, 3])
@pytest.mark.parametrize("updates", [0.01, 0.123, 0.25, 1.0, 3.0, 3.7])
def test_updates_a_step_are_kept_to(chunk, envs, delay, updates):
    config = TrainConfig(
        updates_per_step=updates, policy_delay=delay, num_envs=envs, chunk=chunk
    )  # fmt: skip
    steps, rounds = cadence(config)
    exact = updates in (1.0, 3.0)
    assert rounds * delay / (steps * envs) == pytest.approx(updates, rel=1e-9 if exact else 1 / 31)
    assert steps < max(chunk, 32) + chunk or rounds == 1
