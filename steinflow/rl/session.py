"""One process that trains a run: it learns, evaluates, and keeps what going on needs."""

import shutil
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from steinflow.io.files import clear_temporaries, write_json
from steinflow.io.progress import Progress
from steinflow.rl import checkpoint
from steinflow.rl.adapter import EnvironmentWarning
from steinflow.rl.checkpoint import Arrays, RunError
from steinflow.rl.config import TrainConfig
from steinflow.rl.datasets import returns_of
from steinflow.rl.environments import snapshots_of
from steinflow.rl.evaluate import Evaluator
from steinflow.rl.factories import Factory
from steinflow.rl.files import manifest, require_longer, same_data, same_options, write_config
from steinflow.rl.loop import DivergedError, Trainer
from steinflow.rl.metrics import Metrics, Record
from steinflow.rl.run import folder_of
from steinflow.rl.signals import asked_to_stop, message_of

EVALUATION = 20_000  # added to the first seed: that of the evaluations while training


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
        self.existed = (path / "config.toml").exists()
        if self.existed and not resume:
            raise ValueError(f"{path} has a run already. Add --resume, or give another --out.")
        self.folders = [folder_of(path, config.seed + k) for k in range(config.seeds)]
        if self.existed:
            same_options(path, config, env, env_kwargs)
            require_longer(path, config, max(checkpoint.common(self.folders), default=0))
        self.trainer = Trainer(config, make)
        try:
            if self.existed:
                same_data(path, self.trainer.digest)
            self.evaluator = self.evaluators(make)
        except BaseException:
            self.trainer.envs.close()
            raise
        self.step: int | None = None  # where it goes on from
        self.best, self.owed = np.full(config.seeds, -np.inf), False
        self.metrics = Metrics(path / "metrics.jsonl", [])

    def evaluators(self, make: Factory) -> Evaluator:
        """The environments of evaluations.

        Raises:
            ValueError: one cannot be made beside those that train.
        """
        config, trainer = self.config, self.trainer
        try:
            return Evaluator(make, config, config.seeds, config.eval_episodes, trainer.envs)
        except ValueError as error:
            most = config.seeds * config.eval_episodes
            raise ValueError(
                f"{error} A run keeps {trainer.rings} open to train and "
                f"{min(config.eval_envs or most, most)} to evaluate; with --eval-envs 1 those that "
                "train evaluate as well, in turn."
            ) from error

    def begin(self, resume: bool, claim: Callable[[], None]) -> None:
        """Make the folder, or go on from what is there; what makes it a run is written later."""
        path = self.path
        for folder in self.folders:
            folder.mkdir(parents=True, exist_ok=True)
        claim()
        if not self.existed and (path / "config.toml").exists():
            raise RunError(f"Another process has begun a run in {path}. Give another --out.")
        for folder in self.folders:
            clear_temporaries(folder)
        for name in ("config.toml", "manifest.json", "metrics.jsonl"):  # theirs alone, in `path`
            for half in path.glob(f".{name}.*"):
                half.unlink(missing_ok=True)
        if self.existed and checkpoint.common(self.folders):
            self.resume()
        elif resume:
            self.metrics.forget_after(-1)
            self.tell(f"{path} has no checkpoint yet; beginning anew.")
        self.tell_limits()

    def write_options(self) -> None:
        """config.toml and manifest.json, which make the folder a run."""
        if not self.existed:
            about = manifest(spaces_of(self.trainer)) | {"data": self.trainer.digest}
            write_json(self.path / "manifest.json", about)
        write_config(self.path / "config.toml", self.config, self.env, self.env_kwargs)

    def tell_limits(self) -> None:
        """Say how many environments there are, and where nothing is seen to end an episode."""
        trainer, config = self.trainer, self.config
        count = 0 if self.evaluator.borrowed else self.evaluator.envs.count
        self.tell(f"Environments: {trainer.rings} to train, {count or 'these'} to evaluate.")
        if trainer.data is not None:
            returns = returns_of(trainer.data.steps.each(lambda array: array[0]))
            self.tell(f"Data: {trainer.data.length:,} steps of {len(returns):,} episodes, mean "
                      f"return {returns.mean():.1f}.")  # fmt: skip
        if trainer.envs.about.time_limit is None and not config.eval_max_steps:
            warnings.warn(
                f"No time limit of {self.env or 'the environment'} can be seen. If its episodes "
                "may never end, --env-kwargs max_episode_steps=1000 sets one. Those of "
                f"evaluations are cut after {self.evaluator.longest:,} steps (--eval-max-steps).",
                EnvironmentWarning,
                stacklevel=2,
            )

    def resume(self) -> None:
        """Go on from the newest whole checkpoints."""
        messages: list[str] = []
        step, checkpoints = checkpoint.newest(self.folders, messages)
        for sentence in messages:
            self.tell(sentence)
        about, self.step = [header for _, header in checkpoints], step
        complete = self.trainer.restore(
            step, [arrays for arrays, _ in checkpoints], about[0]["seconds"]
        )
        self.best = np.array([header["best"] for header in about], float)
        self.trainer.dropped[:] = [header.get("dropped", 0) for header in about]
        self.owed = any(header.get("owed") for header in about)  # a signal ended the evaluation
        for folder in self.folders:
            checkpoint.forget_after(folder, step)
        self.metrics.forget_after(step, self.owed)
        self.tell(f"Going on from step {step:,}.")
        if not complete:
            warnings.warn(
                "The environments did not give a state that could be put back whole: new episodes "
                "begin.", EnvironmentWarning, stacklevel=2,
            )  # fmt: skip

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
            Progress(config.all_steps, trainer.step, self.quiet, "train", "steps") as progress,
            asked_to_stop() as stop,
        ):
            while (self.owed or trainer.step < config.all_steps) and not stop:
                before, records = trainer.step, list[Record]()
                try:
                    if not self.owed:
                        records = trainer.advance()
                        now = trainer.step
                        if now // config.log_every > before // config.log_every:
                            records += trainer.losses()
                        due = now // config.eval_every > before // config.eval_every
                        self.owed = due or now >= config.all_steps
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
                    self.tell_dropped(record)
                if due:
                    self.save()
                text = described(shown, config)
                progress.advance(text, trainer.step - before, text + ", " if text else "")
            if stop:
                self.save()
                raise KeyboardInterrupt

    def tell_dropped(self, record: Record) -> None:
        """Say that an episode was dropped: the first, the tenth, the hundredth, and so on."""
        count = record.get("dropped_episodes", 0)
        if str(count).strip("0") == "1":
            warnings.warn(
                f"At step {record['step']:,} an episode of seed {record['seed']} was dropped: "
                "its reward or observation was not finite. So far they are "
                f"{count:,}.",
                EnvironmentWarning,
                stacklevel=2,
            )

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
        subject = "What was learned is" if self.trainer.learned else "The steps until then are"
        return RunError(f"{where} {subject} in {self.path}; --resume goes on from there.")

    def close(self) -> None:
        """Free the environments; what is trained is trained, so that a failure is a warning."""
        for envs in (self.evaluator, self.trainer.envs):
            try:
                envs.close()
            except Exception as error:  # noqa: BLE001 - code of the environment
                sentence = f"The environments did not close: {message_of(error)}."
                warnings.warn(sentence, EnvironmentWarning, stacklevel=2)

    def evaluate(self, records: list[Record], stop: Sequence[int]) -> None:
        """Add records of an evaluation of all seeds; the best agents are kept."""
        trainer, config = self.trainer, self.config
        seed = config.seed + EVALUATION
        began = time.monotonic()
        records += trainer.losses()
        with trainer.lent() if self.evaluator.borrowed else nullcontext():
            result = self.evaluator.run(
                trainer.learner, trainer.states, trainer.normaliser, seed, stop
            )
        spent = round(time.monotonic() - began, 3)
        for k, mean in enumerate(result.mean):
            if mean > self.best[k]:
                self.best[k], before = mean, self.best[k]
                try:
                    self.write(
                        k, self.folders[k] / "best.safetensors", trainer.arrays_to_save(k, False)
                    )
                except BaseException:
                    self.best[k] = before
                    raise
            records.append({
                "step": trainer.step, "seed": config.seed + k,
                "seconds": round(trainer.elapsed, 3), "eval_seconds": spent,
                "eval_return": float(mean), "eval_return_se": float(result.standard_error[k]),
                "eval_length": float(result.lengths[k].mean()),
            })  # fmt: skip
        self.owed = False

    def save(self, environments: bool = True) -> None:
        """Checkpoints of all seeds."""
        self.metrics.say(self.trainer.losses())
        snapshots = snapshots_of(self.trainer.envs) if environments else []
        for k, folder in enumerate(self.folders):
            arrays = self.trainer.arrays_to_save(k, True, snapshots)
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
                 "best": float(self.best[k]), "owed": self.owed,
                 "dropped": int(self.trainer.dropped[k])}  # fmt: skip
        checkpoint.write(path, arrays, about)


def spaces_of(trainer: Trainer) -> dict[str, Any]:
    """Widths and bounds, for those who use a run without its environment."""
    envs, sizes = trainer.envs, trainer.learner.sizes
    return {"obs": sizes.obs, "action": sizes.action, **envs.about.actions.described()}


def described(shown: Mapping[str, Any], config: TrainConfig) -> str:
    """The newest numbers, for the progress."""
    parts = {"return": "eval_return", "episode": "episode_return"}
    if config.has_score_targets:
        parts |= {"ESS": "ess", "C": "coefficient"}
    texts = [f"{word} {shown[name]:.3g}" for word, name in parts.items() if name in shown]
    return " ".join(texts)
