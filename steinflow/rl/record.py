"""Recording episodes of a policy as a Minari dataset."""

import shutil
import tempfile
from pathlib import Path
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from steinflow.checks import lookup, require_at_least, require_seed
from steinflow.io.files import explained
from steinflow.io.progress import Progress
from steinflow.rl.adapter import Adapted
from steinflow.rl.evaluate import LONGEST
from steinflow.rl.factories import Factory
from steinflow.rl.run import Run
from steinflow.rl.signals import guarded

UNIFORM = 3  # purpose of random numbers, apart from the environment's own
AGAIN = 1_000_003  # added to the seed of an episode that is done again
ACTORS = {"best": "best", "last": "last", "random": "random"}


def record(
    run: Run,
    out: Path,
    episodes: int,
    which: str = "best",
    seed: int = 30_000,
    max_steps: int = LONGEST,
    env: str | Factory | None = None,
    quiet: bool = True,
) -> NDArray[np.float64]:
    """Record episodes of the run's first seed into a folder that Minari reads.

    Actions are those that the policy takes in training: one of its proposals with probability
    ∝ exp(Q/tau). Observations are vectors of float32.

    Args:
        run: what was trained.
        out: a folder that is not there yet.
        episodes: how many.
        which: checkpoint, best or last; or random, for uniform actions.
        seed: of the environment and the policy, below 2^31 less the number of episodes.
        max_steps: an episode that goes on after so many is truncated.
        env: where the run's own has no name.
        quiet: no progress.

    Returns:
        The undiscounted returns, [episodes].

    Raises:
        ValueError: an argument is out of range, or the folder is there.
        RunError: the environment failed; nothing is left behind.
    """
    lookup("checkpoint", which, ACTORS)
    require_at_least("episodes", episodes, 1, "It is a count.")
    require_at_least("max_steps", max_steps, 1, "It is a count.")
    require_seed("seed", seed)
    require_seed("seed + episodes", seed + episodes)
    out = out.absolute()  # Minari joins a relative one twice
    if out.exists():
        raise ValueError(f"{out} is there already. Choose another --out.")
    made = Adapted(run.factory(env)(), run.config.drop_nan)
    try:
        with explained(out):
            out.parent.mkdir(parents=True, exist_ok=True)
            half = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}."))
            try:
                returns = fill(made, run, half, episodes, which, seed, max_steps, quiet, out.name)
                half.chmod(0o755)
                half.rename(out)
            except BaseException:
                shutil.rmtree(half, ignore_errors=True)
                raise
    finally:
        made.close()
    return returns


def fill(
    env: Adapted, run: Run, folder: Path, episodes: int, which: str, seed: int, max_steps: int,
    quiet: bool, name: str,
) -> NDArray[np.float64]:  # fmt: skip
    """The dataset of the episodes, written into an empty folder."""
    import minari
    from minari.data_collector import EpisodeBuffer
    from minari.dataset.minari_storage import MinariStorage

    spec = getattr(env.env, "spec", None)
    try:
        spec and spec.to_json()
    except Exception:  # noqa: BLE001 - one that is made of functions has no JSON
        spec = None
    storage = MinariStorage.new(
        folder / "data", env.observation_space, env.env.action_space, env_spec=spec
    )
    returns = np.zeros(episodes)
    with Progress(episodes, 0, quiet, "record", "episodes") as progress:
        for number in range(episodes):
            data = episode(env, run, which, seed + number, max_steps)
            storage.update_episodes([EpisodeBuffer(seed=seed + number, **data)])
            returns[number] = np.sum(data["rewards"])
            progress.advance(f"return {returns[number]:.3g}")
    storage.update_metadata({
        "dataset_id": f"steinflow/{''.join(c if c.isalnum() else '-' for c in name)}-v0",
        "minari_version": minari.__version__, "algorithm_name": f"steinflow, {which}",
    })  # fmt: skip
    return returns


def episode(env: Adapted, run: Run, which: str, seed: int, max_steps: int) -> dict[str, Any]:
    """One episode, in the parts that Minari names."""
    patience, rng = run.config.env_timeout, np.random.default_rng((seed, UNIFORM))
    with guarded("The environment's reset", patience):
        obs, _ = env.reset(seed=seed)
    observations, actions, rewards, ends = [obs], [], [], []
    for count in range(1, max_steps + 1):
        if which == "random":
            unit = rng.uniform(-1.0, 1.0, env.actions.low.size).astype(np.float32)
        else:
            key = jax.random.fold_in(jax.random.key(seed), count)
            unit = run.unit(obs, key, which, greedy=False)
        with guarded("The environment's step", patience):
            obs, reward, terminated, truncated, _ = env.step(unit)
        if np.isnan(reward):  # of an episode that --drop-nan drops: another one
            return episode(env, run, which, seed + AGAIN, max_steps)
        observations.append(obs)
        actions.append(env.actions.scaled(unit))
        rewards.append(reward)
        ends.append((terminated, truncated or (count == max_steps and not terminated)))
        if any(ends[-1]):
            break
    terminations, truncations = (np.array(side, bool) for side in zip(*ends, strict=True))
    return {
        "observations": np.stack(observations), "actions": np.stack(actions),
        "rewards": np.array(rewards, np.float64), "terminations": terminations,
        "truncations": truncations,
    }  # fmt: skip
