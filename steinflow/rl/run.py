"""A run that is on disk: its policy, its metrics, its evaluation."""

from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
from jaxtyping import Array, Key
from numpy.typing import NDArray

from steinflow.checks import (
    as_numbers,
    lookup,
    require_at_least,
    require_key,
    require_seed,
    require_shape,
)
from steinflow.io.paths import expanded
from steinflow.io.texts import parse_json, read_text
from steinflow.rl import checkpoint, metrics
from steinflow.rl.agent import AgentState, Learner, Sizes, choose, initial
from steinflow.rl.checkpoint import Arrays, RunError
from steinflow.rl.critic import least_of
from steinflow.rl.evaluate import Evaluator, Returns
from steinflow.rl.factories import Factory, factory_of
from steinflow.rl.files import read_config
from steinflow.rl.loop import part
from steinflow.rl.normaliser import Normaliser
from steinflow.rl.spaces import actions_from

WHICH = {"best": "best", "last": "last"}


class Run:
    """A training run, or one seed of it.

    Attributes:
        path: its folder.
        seeds: those of it, or the one that was asked for; a range.
        config: its options.
    """

    def __init__(self, path: str | Path) -> None:
        given = expanded(path)
        one = given.name.startswith("seed-") and (given.parent / "config.toml").exists()
        self.path = given.parent if one else given
        self.config, self.env, self.env_kwargs = read_config(self.path / "config.toml")
        self.seeds = range(self.config.seed, self.config.seed + self.config.seeds)
        if one:
            self.seeds = own_seed(given.name, self.seeds)
        if not self.seeds:
            raise RunError(f"{given} is no seed of this run. Seeds are in {self.path}.")
        self.spaces = self.manifest()["spaces"]
        self.actions = actions_from(self.spaces)
        self.learner = Learner(self.config, Sizes(self.spaces["obs"], self.spaces["action"]))
        self.agents = cache(self.read_agents)

    def __repr__(self) -> str:
        seeds = ", ".join(map(str, self.seeds))
        return f"Run({str(self.path)!r}: {self.config.policy} on {self.env}, seeds {seeds})"

    def manifest(self) -> dict[str, Any]:
        """manifest.json."""
        path = self.path / "manifest.json"
        try:
            manifest = parse_json(read_text(path))
            spaces = manifest["spaces"]
            if actions_from(spaces).low.size != spaces["action"] or not spaces["obs"] >= 1:
                raise ValueError("widths and bounds of its spaces do not fit")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunError(f"Could not read {path}: {error}. Give the folder of a run.") from error
        return manifest

    def metrics(self) -> pl.DataFrame:
        """All records of its seeds, in their order (docs/metrics.md)."""
        records = metrics.read(self.path / "metrics.jsonl")
        selected = [record for record in records if record.get("seed") in self.seeds]
        return pl.DataFrame(selected, infer_schema_length=None)

    def arrays(self, seed: int, which: str) -> Arrays:
        """A checkpoint of one seed; best is by its evaluations."""
        folder = folder_of(self.path, seed)
        if lookup("checkpoint", which, WHICH) == "best" and (folder / "best.safetensors").exists():
            return checkpoint.read(folder / "best.safetensors")[0]
        messages: list[str] = []
        _, checkpoints = checkpoint.newest([folder], messages)
        return checkpoints[0][0]

    def read_agents(self, which: str) -> tuple[AgentState, Normaliser | None]:
        """The agents of all seeds, with a leading axis."""
        saved = [self.arrays(seed, which) for seed in self.seeds]
        with jax.enable_x64(False):
            like = jax.eval_shape(partial(initial, self.learner), jnp.zeros((), jnp.int32))
        states = [checkpoint.filled("agent", like, arrays) for arrays in saved]
        statistics = Normaliser(len(saved), self.learner.sizes.obs)
        normaliser = statistics if self.config.normalise else None
        for number, arrays in enumerate(saved):
            if normaliser:
                normaliser.restore(number, part("normaliser.", arrays))
        return jax.tree.map(lambda *leaves: np.stack(leaves), *states), normaliser

    def policy(
        self, obs: Any, key: Key[Array, ""], which: str = "best", greedy: bool = True
    ) -> NDArray[Any]:
        """Actions of its first seed, as the environment takes them.

        Args:
            obs: an observation, [o], or several, [b, o].
            key: for the proposals of the policy.
            which: checkpoint, best or last.
            greedy: the best proposal by Q; else one with probability ∝ exp(Q/tau).

        Returns:
            [*action shape], or [b, *action shape], in the dtype of the environment's actions.

        Raises:
            ValueError: obs is not of that width, or key is no random key.
        """
        return self.actions.scaled(self.unit(obs, key, which, greedy))

    def unit(
        self, obs: Any, key: Key[Array, ""], which: str = "best", greedy: bool = True
    ) -> NDArray[np.float32]:
        """The same actions in [-1, 1]^d, [d] or [b, d]."""
        observations = self.observations(obs)
        require_key(key)
        states, normaliser = self.agents(which)
        rows = np.atleast_2d(observations)
        rows = normaliser(rows[None])[0] if normaliser else rows
        one = jax.tree.map(lambda leaf: leaf[0], states)
        with jax.enable_x64(False):
            actions = np.asarray(chosen(self.learner, one, key, rows, greedy))
        return actions if observations.ndim == 2 else actions[0]

    def observations(self, obs: Any) -> NDArray[np.float32]:
        """Observations, [o] or [b, o].

        Raises:
            ValueError: they are something else.
        """
        wide = self.learner.sizes.obs
        shapes = f"[{wide}] or [b, {wide}]"
        array = as_numbers(
            f"obs must be {shapes}, and it", obs,
            "Of (obs, info) = env.reset() give obs; of a Dict or Tuple give "
            "gymnasium.spaces.flatten(env.observation_space, obs).",
        )  # fmt: skip
        if array.ndim not in (1, 2) or array.shape[-1] != wide:
            raise ValueError(f"obs must be {shapes}, got {list(array.shape)}.")
        return array

    def q(self, obs: Any, action: Any, which: str = "best") -> NDArray[np.float64]:
        """The least of its first seed's critics, in units of return.

        Args:
            obs: an observation, [o], or several, [b, o].
            action: an action in the environment's units, [*action shape], or one for each
                observation, [b, *action shape].
            which: checkpoint, best or last.

        Returns:
            A number, [], or one for each observation, [b].

        Raises:
            ValueError: obs or action is not of that shape.
        """
        given, shape = self.observations(obs), self.actions.low.shape
        batch, rows = given.shape[:-1], np.atleast_2d(given)
        taken = as_numbers("action", action, "Give [b, *action shape].")
        require_shape("action", taken, [(*batch, *shape)], "One for each observation.")
        taken = taken.reshape(-1, *shape)
        states, normaliser = self.agents(which)
        rows = normaliser(rows[None])[0] if normaliser else rows
        critics = jax.tree.map(lambda leaf: leaf[0], states.critics)
        with jax.enable_x64(False):
            points = jnp.asarray(self.actions.unit(taken))
            values = least_of(critics, jnp.asarray(rows), points[:, None])
        return np.asarray(values.reshape(batch), np.float64) * float(states.scale[0])

    def factory(self, env: str | Factory | None = None, **more: Any) -> Factory:
        """What makes its environment, with more arguments than it was trained with.

        Raises:
            ValueError: it was trained on a function without a name, and none is given.
        """
        if env is None and self.env is None:
            raise ValueError("The run's environment was a function. Pass it again as env.")
        given, repeat = self.env if env is None else env, self.config.action_repeat
        return factory_of(given or "", self.env_kwargs | more, repeat)

    def evaluate(
        self,
        episodes: int = 10,
        seed: int = 10_000,
        which: str = "best",
        env: str | Factory | None = None,
        max_steps: int | None = None,
        envs: int | None = None,
    ) -> Returns:
        """Undiscounted returns of whole episodes with the best of M actions, [seeds, episodes].

        Args:
            episodes: of each seed.
            seed: of the environments, the same for every seed of the run.
            which: checkpoint, best or last.
            env: the environment, where it has no name in the run.
            max_steps: after which an episode is cut (the run's eval_max_steps).
            envs: environments that are open at once (the run's eval_envs).

        Raises:
            ValueError: an argument is out of range, or the environment cannot be made.
            RunError: the environment failed, or no checkpoint is whole.
        """
        require_at_least("episodes", episodes, 1, "It is a count.")
        require_seed("seed", seed)
        states, normaliser = self.agents(which)
        longest = self.config.eval_max_steps if max_steps is None else max_steps
        some = self.config.eval_envs if envs is None else envs
        config = replace(self.config, eval_max_steps=longest, eval_envs=some)
        evaluator = Evaluator(self.factory(env), config, len(self.seeds), episodes)
        try:
            with jax.enable_x64(False):
                return evaluator.run(self.learner, states, normaliser, seed)
        finally:
            evaluator.close()


def own_seed(name: str, seeds: range) -> range:
    """The seed that a folder `seed-3` holds, if it is one of these."""
    digits = name.removeprefix("seed-")
    seed = int(digits) if digits.isdecimal() and len(digits) < 12 else -1
    return range(seed, seed + 1) if seed in seeds and name == f"seed-{seed}" else range(0)


chosen = jax.jit(choose, static_argnames=("learner", "greedy"))


def folder_of(path: Path, seed: int) -> Path:
    """Where the checkpoints of a seed lie."""
    return path / f"seed-{seed}" / "checkpoints"


def load(path: str | Path) -> Run:
    """A run by its folder, or one seed of it (RUN/seed-0).

    Raises:
        RunError: there is no run, or it is damaged.
    """
    return Run(path)
