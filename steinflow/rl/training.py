"""`steinflow train`: learn, evaluate, and keep what going on needs."""

import importlib
import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jax
import numpy as np

from steinflow.io.files import clear_temporaries, explained, write_json
from steinflow.io.progress import Progress
from steinflow.rl import checkpoint
from steinflow.rl.alone import alone
from steinflow.rl.checkpoint import Arrays, RunError
from steinflow.rl.config import TrainConfig
from steinflow.rl.environments import Factory, factory_of
from steinflow.rl.evaluate import Evaluator
from steinflow.rl.files import manifest, same_options, write_config
from steinflow.rl.loop import DivergedError, Trainer
from steinflow.rl.metrics import Metrics, Record, tracker
from steinflow.rl.run import Run, folder_of
from steinflow.rl.signals import asked_to_stop

EVALUATION = 20_000  # added to the first seed: that of the evaluations while training


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
        track: names of trackers: tensorboard, wandb, trackio.
        callbacks: called with each record of metrics.jsonl.

    Returns:
        The run, on disk.

    Raises:
        ValueError: an option, an environment or a space that does not fit.
        RunError: the environment failed, no checkpoint is whole, or another process trains in the
            folder; what was learned is kept.
        StudyError: the folder cannot be written.
    """
    kwargs = plain(env_kwargs or {})
    name = env if isinstance(env, str) else named(env)
    path = Path(out or Path("runs") / default_name(name, config))
    make = factory_of(env, kwargs, config.action_repeat)
    starters = [tracker(word) for word in track]
    with explained(path), jax.enable_x64(False), alone(path) as claim:
        session = Session(config, name, kwargs, make, path, resume, quiet)
        try:
            session.begin(resume, claim)
            with ExitStack() as ends:
                told = [ends.enter_context(start(path, asdict(config))) for start in starters]
                session.go([*told, *callbacks])
        finally:
            session.close()
    return Run(path)


def plain(env_kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of an environment as config.toml gives them back.

    Raises:
        ValueError: one of them is no number, word, list or table.
    """
    try:
        found: dict[str, Any] = json.loads(json.dumps(dict(env_kwargs)))
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"env_kwargs cannot be kept in a run: {error}. Put them into a function that makes the "
            "environment, and pass that as env."
        ) from error
    return found


def named(factory: Factory) -> str | None:
    """module:name of a function or class that can be imported."""
    module, name = getattr(factory, "__module__", ""), getattr(factory, "__qualname__", "")
    try:
        found = getattr(importlib.import_module(module), name, None)
    except (ImportError, ValueError):
        return None
    return f"{module}:{name}" if found is factory and module != "__main__" else None


def default_name(env: str | None, config: TrainConfig) -> str:
    """ENV-POLICY-ESTIMATOR."""
    short = (env or "custom").replace(":", "-").replace("/", "-")
    how = "gaussian" if config.policy == "gaussian" else f"{config.policy}-{config.estimator}"
    return f"{short}-{how}"


class Session:
    """One process that trains a run, new or resumed."""

    def __init__(
        self,
        config: TrainConfig,
        env: str | None,
        env_kwargs: dict[str, Any],
        make: Factory,
        path: Path,
        resume: bool,
        quiet: bool,
    ) -> None:
        self.config, self.path, self.quiet = config, path, quiet
        self.env, self.env_kwargs = env, env_kwargs
        self.there = (path / "config.toml").exists()
        if self.there and not resume:
            raise ValueError(f"{path} has a run already. Add --resume, or give another --out.")
        if self.there:
            same_options(path, config, env, env_kwargs)
        self.folders = [folder_of(path, config.seed + k) for k in range(config.seeds)]
        self.trainer = Trainer(config, make)
        self.evaluator = Evaluator(make, config.seeds, config.eval_episodes, config.env_timeout)
        self.best, self.owed = np.full(config.seeds, -np.inf), False
        self.metrics = Metrics(path / "metrics.jsonl", [])

    def begin(self, resume: bool, claim: Callable[[], None]) -> None:
        """Make the folder, or go on from what is there."""
        path = self.path
        for folder in self.folders:
            folder.mkdir(parents=True, exist_ok=True)
        claim()
        if not self.there and (path / "config.toml").exists():
            raise RunError(f"Another process has begun a run in {path}. Give another --out.")
        if not self.there:
            write_json(path / "manifest.json", manifest(spaces_of(self.trainer)))
        write_config(path / "config.toml", self.config, self.env, self.env_kwargs)
        for folder in self.folders:
            clear_temporaries(folder)
        for name in ("config.toml", "manifest.json", "metrics.jsonl"):  # theirs alone, in `path`
            for half in path.glob(f".{name}.*"):
                half.unlink(missing_ok=True)
        if self.there and checkpoint.common(self.folders):
            self.resume()
        elif resume:
            self.metrics.forget_after(-1)
            self.tell(f"{path} has no checkpoint yet; beginning anew.")

    def resume(self) -> None:
        """Go on from the newest whole checkpoints."""
        said: list[str] = []
        step, found = checkpoint.newest(self.folders, said)
        for sentence in said:
            self.tell(sentence)
        about = [header for _, header in found]
        whole = self.trainer.restore(step, [arrays for arrays, _ in found], about[0]["seconds"])
        self.best = np.array([header["best"] for header in about], float)
        self.owed = any(header.get("owed") for header in about)  # a signal ended the evaluation
        for folder in self.folders:
            checkpoint.forget_after(folder, step)
        self.metrics.forget_after(step, self.owed)
        self.tell(f"Going on from step {step:,}" + ("." if whole else ", with new episodes."))

    def tell(self, sentence: str) -> None:
        """Say something on standard error."""
        if not self.quiet:
            Progress(1, 0, False, "train").line(sentence)

    def go(self, listeners: list[Callable[[Record], None]]) -> None:
        """Train until the last step, a failure or a signal; in every case with a checkpoint."""
        self.metrics.listeners = listeners
        trainer, config = self.trainer, self.config
        shown: dict[str, float] = {}
        with (
            Progress(config.steps, trainer.step, self.quiet, "train", "steps") as progress,
            asked_to_stop() as stop,
        ):
            while (self.owed or trainer.step < config.steps) and not stop:
                before, records = trainer.step, list[Record]()
                try:
                    if not self.owed:
                        records = trainer.advance()
                        now = trainer.step
                        if now // config.log_every > before // config.log_every:
                            records += trainer.losses()
                        due = now // config.eval_every > before // config.eval_every
                        self.owed = due or now >= config.steps
                    if due := self.owed:
                        self.evaluate(records, stop)
                except Exception as error:
                    raise self.kept_from(error, records) from error
                except KeyboardInterrupt:
                    self.metrics.say(records)
                    self.save()
                    raise
                self.metrics.say(records)
                for record in records:
                    shown |= record
                if due:
                    self.save()
                text = described(shown)
                progress.advance(text, trainer.step - before, text + ", " if text else "")
            if stop:
                self.save()
                raise KeyboardInterrupt

    def kept_from(self, error: Exception, records: list[Record]) -> Exception:
        """What to raise for a failure, with a checkpoint of what was learned before it."""
        self.metrics.say(records)
        self.owed = False  # it would fail again
        where = f"At step {self.trainer.step:,}: {error}"
        if isinstance(error, DivergedError):
            return RunError(f"{where} The last checkpoint in {self.path} is from before that.")
        self.save(environments=False)
        if not isinstance(error, RunError):
            return error
        return RunError(f"{where} What was learned is in {self.path}; --resume goes on from there.")

    def close(self) -> None:
        """Free the environments."""
        self.evaluator.close()
        self.trainer.envs.close()

    def evaluate(self, records: list[Record], stop: Sequence[int]) -> None:
        """Add records of an evaluation of all seeds; the best agents are kept."""
        trainer, config = self.trainer, self.config
        seed = config.seed + EVALUATION
        began = time.monotonic()
        records += trainer.losses()
        found = self.evaluator.run(trainer.learner, trainer.states, trainer.normaliser, seed, stop)
        spent = round(time.monotonic() - began, 3)
        for k, mean in enumerate(found.mean):
            if mean > self.best[k]:
                self.best[k], before = mean, self.best[k]
                try:
                    self.write(k, self.folders[k] / "best.safetensors", trainer.kept(k, False))
                except BaseException:
                    self.best[k] = before
                    raise
            records.append({
                "step": trainer.step, "seed": config.seed + k,
                "seconds": round(trainer.elapsed, 3), "eval_seconds": spent,
                "eval_return": float(mean), "eval_return_se": float(found.standard_error[k]),
                "eval_length": float(found.lengths[k].mean()),
            })  # fmt: skip
        self.owed = False

    def save(self, environments: bool = True) -> None:
        """Checkpoints of all seeds."""
        self.metrics.say(self.trainer.losses())
        for k, folder in enumerate(self.folders):
            arrays = self.trainer.kept(k, True, environments)
            self.write(k, checkpoint.path_of(folder, self.trainer.step), arrays)
        for folder in self.folders:  # all are there before one is removed
            checkpoint.prune(folder, self.config.keep)

    def write(self, k: int, path: Path, arrays: Arrays) -> None:
        """A checkpoint, if there is room for it."""
        need = sum(array.nbytes for array in arrays.values())
        free = shutil.disk_usage(path.parent).free
        if need > free:
            raise RunError(
                f"A checkpoint needs {need / 1e6:.0f} MB, but {free / 1e6:.0f} are free. The last "
                "one is kept. Free some space, or choose a smaller --buffer-size."
            )
        about = {"step": self.trainer.step, "seconds": round(self.trainer.elapsed, 3),
                 "best": float(self.best[k]), "owed": self.owed}  # fmt: skip
        checkpoint.write(path, arrays, about)


def spaces_of(trainer: Trainer) -> dict[str, Any]:
    """Widths and bounds, for those who use a run without its environment."""
    envs, sizes = trainer.envs, trainer.learner.sizes
    sides = {"low": envs.low.tolist(), "high": envs.high.tolist()}
    return {"obs": sizes.obs, "action": sizes.action, **sides}


def described(shown: Mapping[str, Any]) -> str:
    """The newest numbers, for the progress."""
    parts = {"return": "eval_return", "episode": "episode_return", "ESS": "ess",
             "C": "coefficient"}  # fmt: skip
    found = [f"{word} {shown[name]:.3g}" for word, name in parts.items() if name in shown]
    return " ".join(found)
