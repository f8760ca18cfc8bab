"""The commands that train, evaluate, show and export agents: one dataclass each."""

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import tyro

from steinflow.rl.config import TrainConfig


@dataclass(frozen=True)
class Train(TrainConfig):
    """Train a policy on an environment."""

    env: tyro.conf.Positional[str] = "Pendulum-v1"
    """a Gymnasium id, module:Id, or module:function"""
    env_kwargs: tuple[str, ...] = ()
    """arguments of the environment, NAME=VALUE each"""
    preset: str = ""
    """published settings: rfm, sdac or qne; flags win over them"""
    out: Path | None = None
    """the run's folder (runs/ENV-POLICY-ESTIMATOR)"""
    resume: bool = False
    """go on from the newest whole checkpoint"""
    track: tuple[str, ...] = ()
    """trackers beside metrics.jsonl: tensorboard, wandb, trackio"""
    config: Path | None = None
    """a TOML file with these options; flags win over it"""
    quiet: bool = False
    """no progress"""


@dataclass(frozen=True)
class Eval:
    """Evaluate runs: mean return of whole episodes with the best of M actions."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """folders of runs, or of single seeds (RUN/seed-0)"""
    episodes: int = 10
    """of each seed"""
    seed: int = 10_000
    """of the environments"""
    out: Path | None = None
    """the file that is written (RUN/eval.json)"""


def values_of(pairs: tuple[str, ...]) -> dict[str, Any]:
    """NAME=VALUE pairs; a value is JSON, or else a word.

    Raises:
        ValueError: a pair has no equals sign.
    """
    found: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise ValueError(f"{pair!r} is no NAME=VALUE. Write --env-kwargs render_mode=human.")
        try:
            found[name] = json.loads(text)
        except ValueError:
            found[name] = text
    return found


def train(command: Train) -> int:
    """Train, and say where the run is."""
    from steinflow.rl.train import train as train_run

    names = [field.name for field in fields(TrainConfig)]
    config = TrainConfig(**{name: getattr(command, name) for name in names})
    run = train_run(
        config,
        command.env,
        command.out,
        env_kwargs=values_of(command.env_kwargs),
        resume=command.resume,
        quiet=command.quiet,
        track=command.track,
    )
    print(f"Trained {config.steps:,} steps. Next: steinflow eval {run.path}")
    return 0


def evaluate(command: Eval) -> int:
    """Evaluate the best and the last checkpoint of every run, and write eval.json."""
    from steinflow.rl.run import WHICH, load
    from steinflow.study.store import explained, write_json

    for path in command.runs:
        run, found = load(path), {}
        for which in WHICH:
            result = run.evaluate(command.episodes, command.seed, which)
            mean, error = pooled(result.returns)
            found[which] = {
                "mean": mean, "standard_error": error, "returns": result.returns.tolist(),
                "lengths": result.lengths.tolist(),
            }  # fmt: skip
            episodes = f"{command.episodes} episodes, seed {command.seed}"
            text = f"mean return {mean:.1f} ± {error:.1f} ({episodes})"
            print(text if which == "best" else f"{which} checkpoint: {text}", flush=True)
        target = command.out or path / "eval.json"
        about = {"format_version": 1, "protocol": "best of M, undiscounted", "seeds": run.seeds,
                 "episodes": command.episodes, "seed": command.seed}  # fmt: skip
        with explained(target.parent):
            write_json(target, about | found)
    return 0


def pooled(returns: Any) -> tuple[float, float]:
    """Mean over seeds and episodes; the error is that over seeds if there are several."""
    import numpy as np

    means = returns.mean(axis=1)
    sample = means if len(means) > 1 else returns[0]
    error = sample.std(ddof=1) / np.sqrt(sample.size) if sample.size > 1 else float("nan")
    return float(means.mean()), float(error)
