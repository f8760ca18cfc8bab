"""Kind: JAX's own debugging switches, which users set."""

import jax
import pytest

from steinflow.rl.config import TrainConfig
from steinflow.rl.training import train
from tests.rl.strange import SMALL, Point


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["gaussian", "flow"])
def test_training_stops_at_no_nan_that_is_hidden(policy, tmp_path):
    """JAX_DEBUG_NANS=1; further: with score targets."""
    options = {"policy": policy, "num_draws": 4, "flow_steps": 2, "num_levels": 2}
    with jax.debug_nans(True):
        run = train(TrainConfig(**SMALL | options), Point, tmp_path / "run")
        assert run.policy([0.0, 0.0], jax.random.key(0)).shape == (1,)
