"""The commands that train, evaluate, show and export agents: one dataclass each."""

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

import tyro
from tyro.conf import OmitArgPrefixes

from steinflow.checks import lookup
from steinflow.io.paths import expanded
from steinflow.io.words import pairs_of, values_of
from steinflow.rl import options
from steinflow.rl.config import TrainConfig
from steinflow.rl.presets import PRESETS

if TYPE_CHECKING:
    from steinflow.rl.run import Run


@dataclass(frozen=True)
class RunOptions:
    """The run's folder, its environment, and what is shown."""

    out: Path | None = None
    """the run's folder (runs/ENV-POLICY-ESTIMATOR, -OBJECTIVE where it is not score, and
    -offline where data alone teaches it)"""
    resume: bool = False
    """go on from the newest whole checkpoint with the run's own options, of which flags can change
    a few; or begin if there is none"""
    preset: str = ""
    """published settings: rfm, sdac, qne or diffusion-ql; flags win over them"""
    config: Path | None = None
    """a TOML file with these options; flags win over it"""
    env_kwargs: tuple[str, ...] = ()
    """arguments of the environment, NAME=VALUE each; max_episode_steps is its time limit"""
    track: tuple[str, ...] = ()
    """trackers beside metrics.jsonl: tensorboard, wandb, trackio"""
    quiet: bool = False
    """no progress"""


@dataclass(frozen=True, kw_only=True)
class TrainLine:
    """Train a policy on an environment."""

    env: tyro.conf.Positional[str] = "Pendulum-v1"
    """a Gymnasium id, module:Id, module:Class, or module:function"""
    main: OmitArgPrefixes[options.MainOptions]
    run: OmitArgPrefixes[RunOptions]
    policy: OmitArgPrefixes[options.PolicyOptions]
    estimator: OmitArgPrefixes[options.EstimatorOptions]
    critic: OmitArgPrefixes[options.CriticOptions]
    update: OmitArgPrefixes[options.UpdateOptions]
    exploration: OmitArgPrefixes[options.ExplorationOptions]
    data: OmitArgPrefixes[options.DataOptions]
    environment: OmitArgPrefixes[options.EnvironmentOptions]
    evaluation: OmitArgPrefixes[options.EvaluationOptions]
    logging: OmitArgPrefixes[options.LoggingOptions]


@dataclass(frozen=True)
class Train(RunOptions, TrainConfig):
    """The options of a training, in one."""

    env: tyro.conf.Positional[str] = "Pendulum-v1"


def line_of(given: dict[str, Any]) -> TrainLine:
    """The command line with these options as its defaults."""
    kinds = get_type_hints(TrainLine)
    del kinds["env"]
    groups = {
        name: kind(**{f.name: given[f.name] for f in fields(kind) if f.name in given})
        for name, kind in kinds.items()
    }
    return TrainLine(env=given.get("env", TrainLine.env), **groups)


def train_of(line: TrainLine) -> Train:
    """The options of all groups in one.

    Raises:
        ValueError: an option is out of its range, or does not go with another.
    """
    groups = [getattr(line, field.name) for field in fields(line) if field.name != "env"]
    return Train(env=line.env, **{n: value for group in groups for n, value in vars(group).items()})


@dataclass(frozen=True)
class Eval:
    """Evaluate runs: mean return of whole episodes with the best of M actions."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """folders of runs, or of single seeds (RUN/seed-0)"""
    episodes: int = 10
    """of each seed"""
    seed: int = 10_000
    """of the environments"""
    eval_max_steps: int | None = None
    """steps after which an episode is cut (as the run was trained with)"""
    eval_envs: int | None = None
    """environments that are open at once; 0: one an episode (as the run was trained with)"""
    out: Path | None = None
    """the file that is written (RUN/eval.json)"""


@dataclass(frozen=True)
class Play:
    """Record a video of one episode: mp4 and gif, without a display."""

    run: tyro.conf.Positional[Path]
    """folder of a run, or of a single seed (RUN/seed-0)"""
    seed: int = 10_000
    """of the environment"""
    which: str = "best"
    """checkpoint: best or last"""
    max_steps: int = 5_000
    """the video ends after so many steps, if the episode goes on"""
    out: Path | None = None
    """folder of the videos (RUN/videos)"""


@dataclass(frozen=True)
class Record:
    """Record episodes of a policy as a Minari dataset, for train --data."""

    run: tyro.conf.Positional[Path]
    """folder of a run, or of a single seed (RUN/seed-0)"""
    episodes: int = 10
    """of its first seed"""
    which: str = "best"
    """checkpoint: best or last; or random, for uniform actions"""
    seed: int = 30_000
    """of the environment and the policy"""
    max_steps: int = 10_000
    """an episode that goes on after so many is truncated"""
    out: Path | None = None
    """folder of the dataset (RUN/data-WHICH)"""
    quiet: bool = False
    """no progress"""


@dataclass(frozen=True)
class Plot:
    """Draw learning curves of runs over steps and over wall time."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """folders of runs"""
    out: Path | None = None
    """folder of the figures (the first run's figures/)"""


@dataclass(frozen=True)
class Export:
    """Write a policy for others: safetensors, JSON, a model card and StableHLO."""

    run: tyro.conf.Positional[Path]
    """folder of a run, or of a single seed (RUN/seed-0)"""
    which: str = "best"
    """checkpoint: best or last"""
    out: Path | None = None
    """folder of the export (RUN/export)"""


def options_of_preset(name: str) -> dict[str, Any]:
    """What a preset says; nothing without a name.

    Raises:
        ValueError: no preset has that name.
    """
    return lookup("preset", name, PRESETS) if name else {}


def options_of_run(line: TrainLine) -> dict[str, Any]:
    """The options of the run that is in the folder; nothing where there is none.

    Raises:
        RunError: its config.toml cannot be read.
    """
    from steinflow.rl.files import read_config
    from steinflow.rl.training import default_name

    path = expanded(line.run.out or Path("runs") / default_name(line.env, train_of(line)))
    if not (path / "config.toml").exists():
        return {}
    config, env, env_kwargs = read_config(path / "config.toml")
    return asdict(config) | {"env": env or line.env, "env_kwargs": pairs_of(env_kwargs)}


def train(command: Train) -> int:
    """Train, and say where the run is."""
    from steinflow.rl.training import train as train_run

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
    dropped = dropped_in(run) if config.drop_nan else 0
    more = f" ({dropped:,} episodes dropped)" if dropped else ""
    print(f"Trained {config.whole_steps:,} steps{more}. Next: steinflow eval {run.path}")
    return 0


def dropped_in(run: "Run") -> int:
    """Episodes of all seeds that were dropped."""
    rows = run.metrics()
    if "dropped_episodes" not in rows.columns:
        return 0
    return int(rows.group_by("seed").agg(rows["dropped_episodes"].max())["dropped_episodes"].sum())


def evaluate(command: Eval) -> int:
    """Evaluate the best and the last checkpoint of every run, and write eval.json."""
    from steinflow.io.files import explained, write_json
    from steinflow.rl.evaluate import with_error
    from steinflow.rl.run import WHICH, load

    if not command.runs or (command.out and len(command.runs) > 1):
        raise ValueError("Give one run, or several without --out: steinflow eval RUN...")
    for path in command.runs:
        run, results, lines = load(path), dict[str, Any](), list[str]()
        episodes = f"{command.episodes} episodes, seed {command.seed}"
        for which in WHICH:
            result = run.evaluate(
                command.episodes, command.seed, which,
                max_steps=command.eval_max_steps, envs=command.eval_envs,
            )  # fmt: skip
            mean, error = pooled(result.returns)
            results[which] = {
                "mean": mean, "standard_error": error, "returns": result.returns.tolist(),
                "lengths": result.lengths.tolist(),
            }  # fmt: skip
            text = f"mean return {with_error(mean, error)} ({episodes})"
            if which == "last":
                same = results["last"] == results["best"]
                text = "last checkpoint: " + ("the same returns as the best" if same else text)
            lines.append(text)
        target = command.out or path / "eval.json"
        about = {"format_version": 1, "protocol": "best of M, undiscounted",
                 "seeds": list(run.seeds), "episodes": command.episodes,
                 "seed": command.seed}  # fmt: skip
        with explained(target.parent):
            write_json(target, about | results)
        print("\n".join(lines), flush=True)  # once it is written: a terminal may refuse it
    return 0


def pooled(returns: Any) -> tuple[float, float]:
    """Mean over seeds and episodes; the error is that over seeds if there are several."""
    import numpy as np

    means = returns.mean(axis=1)
    sample = means if len(means) > 1 else returns[0]
    error = sample.std(ddof=1) / np.sqrt(sample.size) if sample.size > 1 else float("nan")
    return float(means.mean()), float(error)


def play(command: Play) -> int:
    """Record an episode."""
    from steinflow.io.files import explained
    from steinflow.rl.play import play as record
    from steinflow.rl.run import load

    run = load(command.run)
    out = command.out or run.path / "videos"
    with explained(out):
        film, picture, total = record(run, out, command.seed, command.which, command.max_steps)
    print(f"return {total:.1f} (seed {command.seed}): {film} and {picture.name}")
    return 0


def record(command: Record) -> int:
    """Record episodes."""
    from steinflow.rl.record import record as write
    from steinflow.rl.run import load

    run = load(command.run)
    out = command.out or run.path / f"data-{command.which}"
    returns = write(run, out, command.episodes, command.which, command.seed, command.max_steps,
                    quiet=command.quiet)  # fmt: skip
    error = returns.std(ddof=1) / len(returns) ** 0.5 if len(returns) > 1 else float("nan")
    from steinflow.rl.evaluate import with_error

    print(f"Mean return {with_error(returns.mean(), error)} ({len(returns)} episodes): {out}")
    how = "--offline-steps 20000 --objective diffusion-ql --policy diffusion --sampler ddpm"
    print(f"Next: steinflow train {run.env or 'ENV'} --data {out} {how} --out RUN")
    return 0


def plot(command: Plot) -> int:
    """Draw learning curves."""
    from steinflow.io.files import explained
    from steinflow.rl.curves import curve_of, save
    from steinflow.rl.curves import plot as draw
    from steinflow.rl.run import load

    if not command.runs:
        raise ValueError("Give at least one run: steinflow plot RUN...")
    figure = draw([curve_of(load(path)) for path in command.runs])
    out = command.out or command.runs[0] / "figures"
    with explained(out):
        paths = save(figure, out)
    print(*paths, sep="\n")
    return 0


def export(command: Export) -> int:
    """Export a policy."""
    from steinflow.io.files import explained
    from steinflow.rl.export import export as write
    from steinflow.rl.run import load

    run = load(command.run)
    out = command.out or run.path / "export"
    with explained(out):
        paths = write(run, out, command.which)
    print(*paths, sep="\n")
    return 0
