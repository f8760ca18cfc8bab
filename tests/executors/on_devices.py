"""A small study's rows and four agents after 200 updates, by the devices of this process."""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from steinflow.rl.agent import Learner, Sizes, act, initial, learn_all
from steinflow.rl.config import TrainConfig
from steinflow.rl.critic import Batch
from steinflow.study.conditions import StudyConfig, settle
from steinflow.study.run import drawn, run

SEEDS, SIZES = 4, Sizes(3, 2)
STUDY = StudyConfig(
    preset="box",
    trials=18,
    query_points=4,
    num_draws=(8, 64),
    dims=(2,),
    taus=(0.1,),
    alphas=(0.8,),
)


def agents() -> dict[str, np.ndarray]:
    """All parameters of all seeds, and how they act."""
    # warm: where one draw has all weight, what is fitted to it makes rounding large
    config = TrainConfig(hidden=(16, 16), num_levels=2, flow_steps=3, temperature=0.5)
    learner = Learner(config, SIZES)
    rng = np.random.default_rng(0)
    shape = (SEEDS, 100, 2, 32)  # rounds of two updates of the critics
    obs, action = rng.normal(size=(*shape, 3)), rng.uniform(-1, 1, (*shape, 2))
    reward = -np.sum((action - 0.5) ** 2, axis=-1)
    fields = [np.asarray(f, np.float32) for f in (obs, action, reward, obs, np.zeros(shape))]
    states = jax.vmap(lambda seed: initial(learner, seed))(jnp.arange(SEEDS))
    states, _ = learn_all(learner, states, Batch(*fields))
    used = len(states.updates.sharding.device_set)
    result = {f"leaf {k}": np.asarray(leaf) for k, leaf in enumerate(jax.tree.leaves(states))}
    seen = np.asarray(rng.normal(size=(SEEDS, 5, 3)), np.float32)
    return result | {"used": used, "action": np.asarray(act(learner, states, jnp.asarray(0), seen))}


def main(out: Path) -> None:
    out.mkdir()
    with jax.enable_x64(False):
        np.savez(out / "agents.npz", **agents())
    with jax.enable_x64(True):
        np.savetxt(out / "shares.txt", [len(share) for share in drawn(settle(STUDY), 2).draws])
    run(STUDY, quiet=True).write_parquet(out / "rows.parquet")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
