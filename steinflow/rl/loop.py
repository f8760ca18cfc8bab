"""The training loop: environments on the host, many updates in one compiled call."""

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from steinflow.rl import checkpoint
from steinflow.rl.agent import AgentState, Learner, Sizes, UpdateInfo, act, initial, learn_all
from steinflow.rl.checkpoint import Arrays, RunError
from steinflow.rl.config import TrainConfig
from steinflow.rl.critic import Batch
from steinflow.rl.datasets import digest_of, steps_from
from steinflow.rl.environments import Factory, put_back, side_by_side, snapshots_of
from steinflow.rl.evaluate import seeds_of
from steinflow.rl.memory import require_replay_room, require_room
from steinflow.rl.metrics import Record
from steinflow.rl.normaliser import Normaliser
from steinflow.rl.replay import Replay, Steps
from steinflow.rl.reward_normaliser import RewardNormaliser
from steinflow.rl.signals import guarded

EPISODES = ("obs", "returns", "lengths")  # of the episodes that go on


class Trainer:
    """All that a training run holds; `advance` takes one step in every environment.

    Every random number follows from the seed and a count of steps or updates, so that a run that
    is restored goes on as if nothing had happened.
    """

    def __init__(self, config: TrainConfig, make: Factory) -> None:
        self.config, self.shape = config, (config.seeds, config.num_envs)
        self.rings = config.seeds * config.num_envs
        self.envs = side_by_side(
            make, self.rings, AutoresetMode.SAME_STEP, config.env_workers, config.drop_nan,
            config.env_timeout,
        )  # fmt: skip
        try:
            self.begin()
        except BaseException:
            self.envs.close()
            raise

    def begin(self) -> None:
        """New agents, an empty replay, first episodes."""
        config, about = self.config, self.envs.about
        self.learner = Learner(config, Sizes(about.width, about.actions.low.size))
        sizes = self.learner.sizes
        self.chunk, self.rounds = cadence(config)
        require_room(self.learner, self.rounds)
        require_replay_room(config, sizes)
        seeds = jnp.arange(config.seeds) + config.seed
        self.states: AgentState = jax.vmap(lambda seed: initial(self.learner, seed))(seeds)
        self.replay = Replay(*self.shape, config.buffer_size, *sizes)
        self.normaliser = Normaliser(config.seeds, sizes.obs) if config.normalise else None
        self.rewards = RewardNormaliser(*self.shape, config.gamma, config.return_bound)
        self.digest = ""  # of the data
        self.data = self.from_data()
        self.count = 0  # steps of every environment, those without it included
        self.returns, self.lengths = np.zeros(self.rings), np.zeros(self.rings, np.int64)
        self.dropped = np.zeros(config.seeds, np.int64)  # episodes
        self.infos: list[UpdateInfo] = []
        self.seconds, self.clock = 0.0, time.monotonic()
        self.obs = self.reset()

    def from_data(self) -> Replay | None:
        """The offline data, whose observations and rewards begin the statistics."""
        if not self.config.data:
            return None
        about = self.envs.about
        steps = steps_from(self.config.data, about.width, about.actions, about.id)
        if self.normaliser:
            self.normaliser.absorb(steps.obs)
        if self.config.normalise_rewards:
            self.rewards.absorb(steps.reward, steps.terminated)
        self.digest = digest_of(steps)
        return Replay.of(steps, self.config.seeds)

    @property
    def offline(self) -> bool:
        """Whether it learns from the data alone."""
        return self.step < self.config.offline_steps

    @property
    def step(self) -> int:
        """Environment steps (frames) a seed, and those of learning from the data alone."""
        return self.count * self.config.frames

    @property
    def learned(self) -> bool:
        """Whether there was an update."""
        return bool(self.states.updates.any())

    @property
    def elapsed(self) -> float:
        """Seconds of training, those before a resume included."""
        return self.seconds + time.monotonic() - self.clock

    def reset(self) -> NDArray[np.float32]:
        """Begin episodes; their seeds follow from the run's seeds and the step."""
        base_seeds = range(self.config.seed, self.config.seed + self.config.seeds)
        seeds = [
            s for seed in base_seeds for s in seeds_of(seed, self.config.num_envs, 16 + self.count)
        ]
        with guarded("The environment's reset", self.config.env_timeout):
            return self.envs.reset(seeds)

    def advance(self) -> list[Record]:
        """One step in every environment, and the updates that are due after it."""
        if self.offline:
            self.count += 1
            if self.learn_if_due() and not np.all(np.isfinite(self.infos[-1].critic_loss)):
                raise DivergedError(
                    "Learning has diverged: the critics' loss is not finite. Lower the learning "
                    "rates, or set --clip-norm."
                )
            return []
        action = self.actions()
        if not np.isfinite(action).all():
            raise DivergedError(
                "The policy gives actions that are not finite: learning has diverged. Lower the "
                "learning rates, set --clip-norm, or raise the temperature."
            )
        with guarded("The environment's step", self.config.env_timeout):
            step = self.envs.step(action)
        steps = Steps(self.obs, action, step.reward, step.next_obs, step.terminated, step.truncated)
        self.replay.add(steps, step.valid)
        if self.normaliser:
            self.normaliser.update(step.next_obs.reshape(*self.shape, -1))
        if self.config.normalise_rewards:
            ends = (step.terminated | step.dropped).reshape(self.shape)
            valid = step.valid.reshape(self.shape)
            self.rewards.update(step.reward.reshape(self.shape), ends, valid)
        self.obs, self.count = step.obs, self.count + 1
        self.returns += step.valid * step.reward
        self.lengths += step.valid
        records = self.drop(step.dropped) if step.dropped.any() else []
        records += self.ended((step.terminated | step.truncated) & ~step.dropped)
        self.learn_if_due()
        return records

    def learn_if_due(self) -> bool:
        """The updates of a chunk of steps, at its end; whether they were due."""
        begun = self.step >= self.config.warmup_steps and (self.replay.fewest > 0 or self.offline)
        due = begun and self.count % self.chunk == 0
        if due:
            self.learn()
        return due

    def drop(self, which: NDArray[np.bool_]) -> list[Record]:
        """Forget the episodes in which something was not finite; how many there were so far."""
        records = []
        for i in map(int, np.flatnonzero(which)):
            k = i // self.config.num_envs
            self.replay.drop(i, self.lengths[i])
            self.returns[i], self.lengths[i] = 0.0, 0
            self.dropped[k] += 1
            records.append({
                "step": self.step, "seed": self.config.seed + k,
                "seconds": round(self.elapsed, 3), "dropped_episodes": int(self.dropped[k]),
            })  # fmt: skip
        return records

    def actions(self) -> NDArray[np.float32]:
        """What all environments do, [n, d]: uniform at first, then as the policies say."""
        dim = self.learner.sizes.action
        if self.step < self.config.warmup_steps:
            base_seeds = range(self.config.seed, self.config.seed + self.config.seeds)
            each = [np.random.default_rng((seed, self.count, 1)) for seed in base_seeds]
            actions = [rng.uniform(-1.0, 1.0, (self.config.num_envs, dim)) for rng in each]
            return np.concatenate(actions).astype(np.float32)
        observations = self.normalised(self.obs.reshape(*self.shape, -1))
        actions = act(self.learner, self.states, jnp.asarray(self.count), observations)
        return np.asarray(actions).reshape(self.rings, dim)

    def normalised(self, obs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Observations as the networks see them."""
        return self.normaliser(obs) if self.normaliser else obs

    def scale(self) -> NDArray[np.float32]:
        """The return of every seed that is 1 in its critics' units, [k]."""
        config = self.config
        scale = self.rewards.scale if config.normalise_rewards else np.ones(config.seeds)
        return (scale / config.reward_scale).astype(np.float32)

    def learn(self) -> None:
        """The updates after a chunk of steps."""
        config = self.config
        shape = (self.rounds, config.policy_delay, config.batch_size)
        batch = self.batch()
        rescaled: dict[str, Any] = {n: self.normalised(batch[n]) for n in ("obs", "next_obs")}
        scale = self.scale()
        rescaled["reward"] = batch["reward"] / scale.reshape(-1, *(1,) * len(shape))
        batches = Batch(**batch | rescaled)
        states = self.states._replace(scale=jnp.asarray(scale))
        self.states, info = learn_all(self.learner, states, batches)
        self.infos.append(info)

    def batch(self) -> dict[str, Any]:
        """The transitions of a call, from the replay, the data, or both. No step of the replay is
        drawn more often than where learning begins after `warmup` steps."""
        config = self.config
        online = (1.0 - config.data_share) * min(1.0, self.replay.fewest / max(1, config.warmup))
        from_data = 0 if self.data is None else round((1.0 - online) * config.batch_size)
        parts = []
        for replay, size, purpose in (
            (self.data, from_data, (1,)), (self.replay, config.batch_size - from_data, ())
        ):  # fmt: skip
            if replay is not None and size:
                shape = (self.rounds, config.policy_delay, size)
                parts.append(replay.sample(
                    config.seed, self.count, shape, config.n_step, config.gamma, purpose
                ))  # fmt: skip
        merged = {name: np.concatenate([p[name] for p in parts], axis=3) for name in parts[0]}
        order = interleaved(from_data, config.batch_size - from_data)
        return {name: np.take(values, order, axis=3) for name, values in merged.items()}

    def ended(self, which: NDArray[np.bool_]) -> list[Record]:
        """Records of the episodes that ended with this step."""
        records = []
        for i in np.flatnonzero(which):
            seed = self.config.seed + int(i) // self.config.num_envs
            records.append({
                "step": self.step, "seed": seed, "seconds": round(self.elapsed, 3),
                "episode_return": float(self.returns[i]), "episode_length": int(self.lengths[i]),
            })  # fmt: skip
            self.returns[i], self.lengths[i] = 0.0, 0
        return records

    def losses(self) -> list[Record]:
        """Records of the updates since the last call: means over them."""
        if not self.infos:
            return []
        history: dict[str, list[NDArray[Any]]] = defaultdict(list)
        for info in self.infos:
            for name, value in (info._asdict() | info.actor._asdict()).items():
                if name not in ("actor", "loss"):
                    history[name].append(np.asarray(value))
            history["actor_loss"].append(np.asarray(info.actor.loss))
        self.infos = []
        means = {name: np.mean(values, axis=0) for name, values in history.items()}
        common = {"step": self.step, "seconds": round(self.elapsed, 3)}
        return [
            {**common, "seed": self.config.seed + k}
            | {name: float(value[k]) for name, value in means.items()}
            for k in range(self.config.seeds)
        ]

    def arrays_to_save(self, seed: int, complete: bool, snapshots: Sequence[Arrays] = ()) -> Arrays:
        """The arrays of a checkpoint of one seed; complete: with all that going on needs, the
        states of all environments among it where there are any."""
        agent = jax.tree.map(lambda leaf: leaf[seed], self.states)
        arrays = checkpoint.named("agent", agent)
        if self.normaliser:
            arrays |= prefixed("normaliser.", self.normaliser.of_seed(seed))
        if not complete:
            return arrays
        rows = slice(seed * self.config.num_envs, (seed + 1) * self.config.num_envs)
        arrays |= prefixed("replay.", self.replay.of_seed(seed))
        arrays |= prefixed("rewards.", self.rewards.of_seed(seed))
        arrays |= {name: getattr(self, name)[rows] for name in EPISODES}
        for number, state in enumerate(snapshots[rows]):
            arrays |= prefixed(f"env.{number}.", state)
        return arrays

    def restore(self, step: int, saved: list[Arrays], seconds: float) -> bool:
        """Go on from checkpoints of all seeds; whether the environments could go on as well."""
        self.count, self.seconds = step // self.config.frames, seconds
        self.clock = time.monotonic()
        like = [jax.tree.map(lambda leaf, k=k: leaf[k], self.states) for k in range(len(saved))]
        states = [checkpoint.filled("agent", a, b) for a, b in zip(like, saved, strict=True)]
        self.states = jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)
        for seed, arrays in enumerate(saved):
            self.replay.restore(seed, part("replay.", arrays))
            self.rewards.restore(seed, part("rewards.", arrays))
            if self.normaliser:
                self.normaliser.restore(seed, part("normaliser.", arrays))
        return self.restore_environments(saved)

    def restore_environments(self, saved: list[Arrays]) -> bool:
        """Put environments back where they were, or begin new episodes."""
        numbers = range(self.config.num_envs)
        states = [part(f"env.{n}.", arrays) for arrays in saved for n in numbers]
        if not self.go_on(states):
            return False
        for name in EPISODES:
            setattr(self, name, np.concatenate([arrays[name] for arrays in saved]))
        return True

    def go_on(self, states: list[Arrays]) -> bool:
        """Put environments back into states, or, where not all of it comes back, begin episodes."""
        self.obs = self.reset()
        if put_back(self.envs, states):
            return True
        self.obs = self.reset() if all(states) else self.obs
        self.returns[:], self.lengths[:] = 0.0, 0
        self.replay.end()
        return False

    @contextmanager
    def lent(self) -> Iterator[None]:
        """The environments do something else meanwhile, and then go on where they were."""
        states = snapshots_of(self.envs)
        saved = {name: getattr(self, name).copy() for name in EPISODES}
        try:
            yield
        finally:
            if self.go_on(states):
                for name, values in saved.items():
                    setattr(self, name, values)


class DivergedError(RunError):
    """The networks are of no use any more."""


def interleaved(first: int, second: int) -> NDArray[np.int64]:
    """Places of two kinds of rows, evenly mixed: updates of the policy take the first ones."""
    places = [(np.arange(count) + 0.5) / max(count, 1) for count in (first, second)]
    return np.argsort(np.concatenate(places), kind="stable")


def cadence(config: TrainConfig) -> tuple[int, int]:
    """Steps of an environment between two calls, and rounds of updates in a call: as near to
    `chunk` as gives whole rounds at `updates_per_step`, which may be missed by a 32nd."""
    due = config.updates_per_step * config.num_envs / config.policy_delay  # rounds a step
    longest = max(config.chunk, 32)
    if due * longest < 1.0:
        return round(1.0 / due), 1
    share = Fraction(due).limit_denominator(longest)
    times = max(1, round(config.chunk / share.denominator))
    return times * share.denominator, times * share.numerator


def require_updates(config: TrainConfig) -> None:
    """Raise if a run ends before its first update.

    Raises:
        ValueError: with the options to change.
    """
    chunk, envs = cadence(config)[0], config.num_envs
    first = envs * chunk * max(1, -(-config.warmup_steps // (envs * chunk)))
    if config.offline_steps and config.offline_steps < first * config.action_repeat:
        raise ValueError(
            f"With {config.offline_steps:,} offline steps nothing is learned: the first update "
            f"follows step {first * config.action_repeat:,}. Raise --offline-steps."
        )
    if config.whole_steps < first:
        raise ValueError(
            f"With {config.all_steps:,} steps nothing is learned: the first update follows step "
            f"{first:,}, after --warmup {config.warmup:,}. Raise --steps, or lower --warmup."
        )


def prefixed(prefix: str, arrays: Arrays) -> Arrays:
    """The same arrays under longer names."""
    return {prefix + name: array for name, array in arrays.items()}


def part(prefix: str, arrays: Arrays) -> Arrays:
    """The arrays whose names begin so, without it."""
    return {n.removeprefix(prefix): array for n, array in arrays.items() if n.startswith(prefix)}
