"""Offline data: episodes that others have recorded, or `steinflow record`.

Minari datasets (https://minari.farama.org) by folder or name, and files of D4RL's layout
(https://arxiv.org/abs/2004.07219). What does not fit is a sentence, before anything is trained.
"""

import hashlib
import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from steinflow.io.files import UserNotice
from steinflow.io.paths import expanded
from steinflow.rl.replay import Steps
from steinflow.rl.spaces import NUMBERS, Actions

SUFFIXES = (".hdf5", ".h5")
BLOCK = 65_536  # steps that are read at once
TOLERANCE = 1e-4  # of actions beyond their bounds, in widths of the box
D4RL = ("observations", "actions", "rewards", "terminals")
MORE = ("timeouts", "next_observations")


class DataError(ValueError):
    """A dataset that cannot be learned from, and what to do about it."""


class Episode(NamedTuple):
    """One episode as it is stored."""

    obs: NDArray[Any]  # [t + 1, ...]
    action: NDArray[Any]  # [t, ...]
    reward: NDArray[Any]  # [t]
    terminated: NDArray[Any]  # [t]
    truncated: NDArray[Any]  # [t]


def steps_from(source: str, width: int, actions: Actions, env: str = "") -> Steps:
    """All steps of a dataset, in the order of its episodes, checked.

    Args:
        source: a Minari dataset (its folder, or its name where it is on this machine), or a file of
            D4RL's layout.
        width: of the environment's observations.
        actions: its box.
        env: the id of the environment, where it has one.

    Returns:
        Steps, [n] each, actions in [-1, 1]^d.

    Raises:
        DataError: there is no such dataset, it cannot be read, or it does not fit.
    """
    path = expanded(source)
    if (path.parent / "metadata.json").is_file():  # a file within Minari's folder
        path = path.parent
    if path.suffix in SUFFIXES and path.is_file():
        steps = from_file(path, width, actions)
    else:
        steps = from_minari(path if path.exists() else None, source, width, actions, env)
    require_finite(source, steps)
    return steps


@contextmanager
def readable(source: str) -> Iterator[None]:
    """Turn what goes wrong in a library that reads a file into a sentence."""
    try:
        yield
    except (DataError, ModuleNotFoundError):
        raise
    except ImportError as error:  # Minari's own, which says what to install
        raise DataError(f"{source} cannot be read: {error}") from error
    except Exception as error:  # HDF5, Arrow and JSON fail each in their own way
        text = " ".join(str(error).split())
        raise DataError(
            f"{source} cannot be read: {text}. Its file may be cut: copy or record it again."
        ) from error


def from_minari(path: Path | None, source: str, width: int, actions: Actions, env: str) -> Steps:
    """The steps of a Minari dataset."""
    from minari import MinariDataset, load_dataset

    if path is None:
        try:
            dataset = load_dataset(source)
        except json.JSONDecodeError as error:
            raise DataError(f"{source} cannot be read: {error}. Get it again.") from error
        except (FileNotFoundError, ValueError, TypeError) as error:
            raise DataError(
                f"There is no dataset {source}. Give the folder of one, the name of one that "
                f"`minari list local` shows, or a file that ends with {' or '.join(SUFFIXES)}."
            ) from error
    else:
        folder = path / "data" if (path / "data" / "metadata.json").is_file() else path
        if not (folder / "metadata.json").is_file():
            raise DataError(
                f"{path} has no metadata.json. Give the folder of a Minari dataset, or a file of "
                f"D4RL's layout that ends with {' or '.join(SUFFIXES)}."
            )
        with readable(source):
            dataset = MinariDataset(folder)
    known = getattr(dataset.env_spec, "id", "")
    if env and known and bare(known) != bare(env):
        raise DataError(
            f"{source} is of {known}, not of {env}. Give the environment that it is of."
        )
    with readable(source):
        episodes = dataset.storage.get_episodes(dataset.episode_indices)
        filling = Filling(source, int(dataset.total_steps), width, actions)
        for episode in episodes:
            filling.add(Episode(
                *(episode[name] for name in (
                    "observations", "actions", "rewards", "terminations", "truncations"
                ))
            ))  # fmt: skip
    return filling.done()


def bare(name: str) -> str:
    """The id of an environment without its version: dynamics of two versions are close enough for
    data of the one to be of use for the other."""
    return name.rpartition("-v")[0] or name


def from_file(path: Path, width: int, actions: Actions) -> Steps:
    """The steps of a file of D4RL's layout: flat arrays, episodes one after another.

    With `next_observations` an episode also ends where that of a step is not the observation after
    it. Without them it is, and the last step of an episode that was cut is left out, since what
    followed it is not known.
    """
    import h5py

    with readable(str(path)), h5py.File(path, "r") as file:
        lacking = [name for name in D4RL if name not in file]
        if lacking:
            raise DataError(
                f"{path} has no {', '.join(lacking)}. D4RL's layout needs {', '.join(D4RL)}."
            )
        if "timeouts" not in file and "next_observations" not in file:
            raise DataError(
                f"{path} has neither timeouts nor next_observations, so that the end of an episode "
                "that was cut cannot be told. Add one of the two."
            )
        count = len(file["rewards"])
        names = [name for name in (*D4RL, *MORE) if name in file]
        lengths = {name: len(file[name]) for name in names}
        if set(lengths.values()) != {count} or not count:
            raise DataError(f"{path} has parts of different lengths, {lengths}. Record it again.")
        terminated = np.asarray(file["terminals"]).reshape(count).astype(bool)
        cut = np.zeros(count, bool)
        if "timeouts" in file:
            cut |= np.asarray(file["timeouts"]).reshape(count).astype(bool)
        followed = "next_observations" in file
        filling = Filling(str(path), count, width, actions)
        for first in range(0, count, BLOCK):
            rows = slice(first, min(first + BLOCK, count))
            after = file["next_observations"] if followed else file["observations"]
            shift = 0 if followed else 1
            next_obs = after[rows.start + shift : rows.stop + shift]
            if len(next_obs) < rows.stop - rows.start:  # the last step of all
                next_obs = np.concatenate([next_obs, after[-1:]])
            filling.put(
                f"A block of {path} from step {first:,} on", file["observations"][rows],
                file["actions"][rows], np.asarray(file["rewards"][rows]).reshape(-1), next_obs,
                terminated[rows], cut[rows],
            )  # fmt: skip
    steps = filling.done()
    if followed:
        jumps = np.any(steps.next_obs[:-1] != steps.obs[1:], axis=1)
        steps.truncated[:-1] |= jumps
        steps.truncated[-1] = True
        steps.truncated[:] &= ~steps.terminated
        return steps
    unknown = cut & ~terminated
    unknown[-1] = not terminated[-1]
    ends = np.append(unknown[1:], False) & ~terminated & ~unknown
    steps.truncated[:] = ends
    known = steps.each(lambda array: without(array, unknown))
    if not len(known.reward):
        raise DataError(
            f"{path} has no step whose next observation is known. Record some episodes."
        )
    return known


def without(array: NDArray[Any], left_out: NDArray[np.bool_]) -> NDArray[Any]:
    """The entries that are not left out, in the memory of the array."""
    remaining = array[~left_out]
    array[: len(remaining)] = remaining
    return array[: len(remaining)]


class Filling:
    """Steps that are filled, a part at a time, so that nothing is held twice."""

    def __init__(self, source: str, count: int, width: int, actions: Actions) -> None:
        self.source, self.actions, self.width = source, actions, width
        dim = actions.low.size
        self.steps = Steps(
            np.zeros((count, width), np.float32), np.zeros((count, dim), np.float32),
            np.zeros(count, np.float32), np.zeros((count, width), np.float32),
            np.zeros(count, np.bool_), np.zeros(count, np.bool_),
        )  # fmt: skip
        self.filled = self.episodes = self.empty = 0

    def add(self, episode: Episode) -> None:
        """One more episode.

        Raises:
            DataError: its parts do not fit each other or the environment.
        """
        where = f"Episode {self.episodes} of {self.source}"
        self.episodes += 1
        obs, action = joined(episode.obs), np.asarray(episode.action)
        count = len(action)
        if not count:
            self.empty += 1
            return
        if len(obs) != count + 1:
            raise DataError(
                f"{where} has {count} actions and {len(obs)} observations; it needs one more than "
                "actions, the last one being what followed. Record it again."
            )
        self.put(where, obs[:-1], action, *episode[2:3], obs[1:], *episode[3:])
        last = self.filled - 1  # of an episode that was not ended, too
        self.steps.truncated[last] |= not self.steps.terminated[last]

    def put(
        self,
        where: str,
        obs: NDArray[Any],
        action: NDArray[Any],
        reward: NDArray[Any],
        next_obs: NDArray[Any],
        terminated: NDArray[Any],
        truncated: NDArray[Any],
    ) -> None:
        """Some more steps, [n] each.

        Raises:
            DataError: they do not fit each other or the environment.
        """
        count = len(action)
        rows = slice(self.filled, self.filled + count)
        numbers = all(part.dtype.kind in NUMBERS for part in (obs, next_obs, action, reward))
        if not numbers or obs.reshape(count, -1).shape[1] != self.width:
            raise DataError(
                f"{where} has observations {list(obs.shape[1:])} of {obs.dtype}, but the "
                f"environment's have {self.width} numbers. Give the environment that it is of."
            )
        if action.shape[1:] != self.actions.low.shape:
            raise DataError(
                f"{where} has actions {list(action.shape[1:])}, but the environment's are "
                f"{list(self.actions.low.shape)}. Give the environment that it is of."
            )
        lengths = {len(part) for part in (obs, action, reward, next_obs, terminated, truncated)}
        if lengths != {count} or rows.stop > len(self.steps.reward):
            raise DataError(f"{where} has parts of different lengths. Record it again.")
        unit = self.actions.unit(action)
        if not np.all(np.abs(unit) <= 1.0 + 2.0 * TOLERANCE):
            raise DataError(
                f"{where} has actions outside of the environment's bounds {self.actions.low} to "
                f"{self.actions.high}, or not finite. Give the environment that it is of."
            )
        columns = (obs.reshape(count, -1), np.clip(unit, -1.0, 1.0), reward,
               next_obs.reshape(count, -1), terminated, truncated)  # fmt: skip
        for array, values in zip(self.steps, columns, strict=True):
            array[rows] = values
        self.filled = rows.stop

    def done(self) -> Steps:
        """All of them.

        Raises:
            DataError: there is none.
        """
        if not self.filled:
            raise DataError(f"{self.source} has no step. Record some episodes.")
        if self.empty:
            warnings.warn(
                f"{self.empty} of {self.episodes} episodes of {self.source} have no step and are "
                "left out.", UserNotice, stacklevel=2,
            )  # fmt: skip
        return self.steps.each(lambda array: array[: self.filled])


def joined(obs: Any) -> NDArray[Any]:
    """Observations as numbers in a row, [t, o]: the parts of a Dict or Tuple one after another, as
    the agent sees them."""
    if isinstance(obs, dict):
        obs = tuple(obs[name] for name in sorted(obs))
    if isinstance(obs, tuple):
        return np.concatenate([joined(part) for part in obs], axis=1)
    array = np.asarray(obs)
    return array.reshape(len(array), -1)


def require_finite(source: str, steps: Steps) -> None:
    """Raise where an observation or a reward is none.

    Raises:
        DataError: with the first step.
    """
    for name in ("reward", "obs", "next_obs"):
        array = getattr(steps, name)
        sound = np.isfinite(array).reshape(len(array), -1).all(axis=1)
        if not sound.all():
            raise DataError(
                f"Step {int(np.argmin(sound)):,} of {source} has a {name} that is not finite "
                f"({int((~sound).sum()):,} steps in all). Leave its episode out."
            )


def returns_of(steps: Steps) -> NDArray[np.float64]:
    """Undiscounted returns of all episodes, [e]."""
    ends = np.flatnonzero(steps.terminated | steps.truncated) + 1
    sums = np.concatenate([[0.0], np.cumsum(steps.reward, dtype=np.float64)])
    return np.diff(sums[np.concatenate([[0], ends])])


def digest_of(steps: Steps) -> str:
    """What tells one dataset from another."""
    digest = hashlib.blake2b(digest_size=16)
    for array in steps:
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
