"""`steinflow train`: learn, evaluate, and keep what going on needs."""

import importlib
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jax

from steinflow.checks import require_kind
from steinflow.io.files import explained
from steinflow.io.paths import expanded
from steinflow.rl.checkpoint import RunError
from steinflow.rl.config import TrainConfig
from steinflow.rl.factories import Factory, factory_of
from steinflow.rl.loop import require_updates
from steinflow.rl.metrics import Record, Reporter, tracker
from steinflow.rl.run import Run
from steinflow.rl.run_lock import run_lock
from steinflow.rl.session import Session
from steinflow.rl.signals import message_of


def train(
    config: TrainConfig,
    env: str | Factory,
    out: str | Path | None = None,
    *,
    env_kwargs: Mapping[str, Any] | None = None,
    resume: bool = False,
    quiet: bool = True,
    track: Sequence[str] = (),
    callbacks: Sequence[Callable[[Record], None]] = (),
) -> Run:
    """Train policies on an environment.

    Args:
        config: every option.
        env: a registered id, `module:Id`, `module:function`, or a function that makes one.
        out: the run's folder (runs/ENV-POLICY-ESTIMATOR).
        env_kwargs: arguments of the environment.
        resume: go on from the newest whole checkpoints, or begin where there are none; the
            options must be the same, but for the number of steps and a few others.
        quiet: no progress.
        track: names of trackers: tensorboard, wandb, trackio; one that fails is left out.
        callbacks: called with each record of metrics.jsonl.

    Returns:
        The run, on disk.

    Raises:
        ValueError: an option, an environment or a space that does not fit.
        RunError: the environment failed, no checkpoint is whole, or another process trains in the
            folder; what was learned is kept.
        StudyError: the folder cannot be written.
    """
    require_kind("config", config, TrainConfig, "Write steinflow.rl.TrainConfig(steps=...).")
    require_kind("env_kwargs", env_kwargs or {}, Mapping, "Write {'length': 5}.")
    require_kind("callbacks", callbacks, Sequence, "Write [callback].")
    require_updates(config)
    kwargs = plain(env_kwargs or {})
    make = factory_of(env, kwargs, config.action_repeat)
    name = env if isinstance(env, str) else named(env)
    path = expanded(out or Path("runs") / default_name(name, config))
    starters = [(word, tracker(word)) for word in ([track] if isinstance(track, str) else track)]
    with explained(path), jax.enable_x64(False), run_lock(path) as claim:
        session = Session(config, name, kwargs, make, path, resume, quiet)
        try:
            session.begin(resume, claim)
            with ExitStack() as ends:
                options = asdict(config), session.step
                reporters = [
                    Reporter(word, ends.enter_context(start(path, *options)))
                    for word, start in starters
                ]
                session.write_options()
                session.go([*reporters, *map(Called, callbacks)])
        finally:
            session.close()
    return Run(path)


class Called:
    """A callback; an OSError of it is not the run's folder's."""

    def __init__(self, callback: Callable[[Record], None]) -> None:
        self.callback = callback

    def __call__(self, record: Record) -> None:
        try:
            self.callback(record)
        except OSError as error:
            raise RunError(f"A callback failed: {message_of(error)}. Mend it.") from error


def plain(env_kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of an environment as config.toml gives them back.

    Raises:
        ValueError: one of them is no number, word, list or table.
    """
    try:
        arguments: dict[str, Any] = json.loads(json.dumps(dict(env_kwargs)))
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"env_kwargs cannot be kept in a run: {error}. Put them into a function that makes the "
            "environment, and pass that as env."
        ) from error
    return arguments


def named(factory: Factory) -> str | None:
    """module:name of a function or class that can be imported."""
    module, name = getattr(factory, "__module__", ""), getattr(factory, "__qualname__", "")
    try:
        attribute = getattr(importlib.import_module(module), name, None)
    except (ImportError, ValueError):
        return None
    return f"{module}:{name}" if attribute is factory and module != "__main__" else None


def default_name(env: str | None, config: TrainConfig) -> str:
    """ENV-POLICY-ESTIMATOR, or ENV-POLICY-OBJECTIVE, and whether data alone teaches it."""
    short = (env or "custom").replace(":", "-").replace("/", "-")
    learned = config.estimator if config.objective == "score" else config.objective
    how = "gaussian" if config.policy == "gaussian" else f"{config.policy}-{learned}"
    return f"{short}-{how}" + ("-offline" if config.offline_steps and not config.steps else "")
