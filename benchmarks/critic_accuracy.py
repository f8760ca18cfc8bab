"""Is the default target worth a hundred draws of RFM, on critics as training meets them?

    python benchmarks/critic_accuracy.py    # trains two agents; about an hour on 2 cores

Critics of the default agent after 2,000, 10,000 and 20,000 steps; 16 states of its replay, x
around an action of its policy, six noise levels, the default's temperature. EED = trace/MSE, each
method's against the truth of its own space; the truth is the mean of 86 estimates by 2^11 draws a
level, 2^20 in all, whose spread says what it errs itself. A level is unresolved where that is over
a tenth of the least MSE. A row of results/critic_accuracy.csv is a task, a step and a noise level;
a rerun skips the tasks and steps that are there.
"""

import argparse
import subprocess
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
from provenance import stamp

import steinflow as sf
from steinflow.draws import weights
from steinflow.estimators.stein import noise_terms
from steinflow.io.files import write_atomically
from steinflow.methods import as_method
from steinflow.rl import checkpoint
from steinflow.rl.actor import ACTIONS, MARGIN
from steinflow.rl.agent import Learner, initial
from steinflow.rl.config import TrainConfig
from steinflow.rl.loop import part
from steinflow.rl.networks import least
from steinflow.rl.normaliser import Normaliser
from steinflow.rl.run import Run, folder_of
from steinflow.rl.training import train
from steinflow.score import shared_draws
from steinflow.stages import AT_POINTS, over_points

RESULTS = Path(__file__).parent / "results" / "critic_accuracy.csv"
TASKS = ("HalfCheetah-v5", "Hopper-v5")
STEPS = 2_000, 10_000, 20_000
STATES, TRIALS, RFM_DRAWS = 16, 64, 100
CHUNKS, CHUNK = 86, 2**11  # of draws a level: 2^20 for the six of a state
TIMES = tuple(MARGIN + (1.0 - 2.0 * MARGIN) * (i + 0.5) / 6 for i in range(6))
AUTO = sf.auto()
RESOLVED = pl.max_horizontal("default_truth_error", "rfm_truth_error") <= 0.1


class Contestant(NamedTuple):
    """A method as an agent would use it."""

    estimator: str
    draws: int  # a level
    levels: int  # that share their draws

    @property
    def latent(self) -> bool:
        """Whether it works in the tanh latent."""
        return as_method(self.estimator, None).space == "tanh"


def levels_of(times: Any) -> sf.Level:
    """Noise levels at times of the policy's path."""
    return jax.vmap(sf.LinearFlow())(jnp.asarray(times))


def companions(time: float, count: int) -> np.ndarray:
    """The time and count - 1 others, stratified as in training."""
    span, place = 1.0 - 2.0 * MARGIN, time - MARGIN
    return MARGIN + (place + span * np.arange(count) / count) % span


@partial(jax.jit, static_argnames=("latent", "chunks"))
def truths(
    key: Any, critics: Any, tau: Any, obs: Any, xs: Any, levels: sf.Level, latent: bool, chunks: int
) -> tuple[Any, Any, Any]:
    """The scores [l, d] at the l points of a state, their MSE [l], and the traces [l] of Cov u.

    All levels weigh all draws; the score is the mean over chunks, whose spread is its error.
    """
    target = sf.Boltzmann(lambda a: least(critics, obs, a), tau, support=ACTIONS)
    target = sf.latent(target) if latent else target

    def chunk(key: Any) -> tuple[Any, Any]:
        draws, points = shared_draws(key, target, xs, levels, AUTO, CHUNK)

        def one(draws: Any, point: Any) -> tuple[Any, Any]:
            w, u = weights(draws), noise_terms(draws, point)
            return w @ AUTO.estimator.terms(draws, point), jnp.sum(w @ (u - w @ u) ** 2)

        return jax.vmap(one, (AT_POINTS, over_points(points)))(draws, points)

    scores, traces = jax.lax.map(chunk, jax.random.split(key, chunks))
    error = jnp.sum(jnp.var(scores, axis=0, ddof=1), axis=-1) / chunks
    return jnp.mean(scores, axis=0), error, jnp.mean(traces, axis=0)


@partial(jax.jit, static_argnames=("one", "count"))
def squared_errors(
    key: Any, critics: Any, tau: Any, obs: Any, xs: Any, levels: sf.Level, score: Any,
    one: Contestant, count: int,
) -> Any:  # fmt: skip
    """Squared errors of a method at its first level, [trials]."""
    target = sf.Boltzmann(
        lambda a, obs: least(critics, obs, a), tau[None], support=ACTIONS, context=obs[None]
    )
    method = as_method(one.estimator, None)

    def trial(key: Any) -> Any:
        estimates = sf.score_targets(key, target, xs[None], levels, method, num_draws=one.draws)
        return jnp.sum((estimates.score[0, 0] - score) ** 2)

    return jax.lax.map(trial, jax.random.split(key, count))


def trained(task: str, folder: Path, last: int) -> Run:
    """A run of the default agent with all its checkpoints."""
    config = TrainConfig(steps=last, eval_every=min(STEPS), keep=100, eval_episodes=1)
    return train(config, task, folder / task, quiet=False)


class Accuracy(NamedTuple):
    """What `measured` found, [method, level] each: sums over states."""

    squared_error: np.ndarray
    trace: np.ndarray  # of Cov u, what one perfect draw errs
    truth_error: np.ndarray  # the squared error of the truth
    tau: float

    @property
    def eed(self) -> np.ndarray:
        """Perfect draws that a target is worth, at most 10^4."""
        return np.minimum(self.trace / self.squared_error, 1e4)


def measured(run: Run, step: int, contestants: Sequence[Contestant], trials: int) -> Accuracy:
    """Every method at every level, on the critics of one checkpoint of the run's first seed."""
    folder = folder_of(run.path, run.seeds[0])
    arrays, _ = checkpoint.read(checkpoint.path_of(folder, step))
    learner: Learner = run.learner
    like = jax.eval_shape(partial(initial, learner), jnp.zeros((), jnp.int32))
    state = jax.tree.map(jnp.asarray, checkpoint.filled("agent", like, arrays))
    replayed = arrays["replay.obs"][0]
    rng, key = np.random.default_rng(step), jax.random.key(step)
    observations = replayed[rng.integers(len(replayed), size=STATES)]
    if run.config.normalise:
        normaliser = Normaliser(1, learner.sizes.obs)
        normaliser.restore(0, part("normaliser.", arrays))
        observations = normaliser(observations[None])[0]
    observations = jnp.asarray(observations)
    tau = learner.actor.temperature.tau(state.temperature, state.scale)
    dim = learner.sizes.action
    actions = learner.actor.sample(key, state.policy, observations, dim, 1).actions[:, 0]
    levels = levels_of(TIMES)
    alpha, sigma = levels.alpha[:, None], levels.sigma[:, None]
    sums = np.zeros((3, len(contestants), len(TIMES)))
    for i, (obs, action) in enumerate(zip(observations, actions, strict=True)):
        key, for_noise, for_truth, for_trials, for_more = jax.random.split(key, 5)
        eps = jax.random.normal(for_noise, (len(TIMES), dim))
        inner = jnp.arctanh(jnp.clip(action, -0.999, 0.999))
        for m, one in enumerate(contestants):
            at = inner if one.latent else action
            xs = alpha * at + sigma * eps
            scores, error, trace = truths(
                for_truth, state.critics, tau, obs, xs, levels, one.latent, CHUNKS
            )
            sums[1, m] += np.asarray(trace)
            sums[2, m] += np.asarray(error)
            for j, moment in enumerate(TIMES):
                shared = levels_of(companions(moment, one.levels))
                more = jax.random.normal(jax.random.fold_in(for_more, j), (one.levels, dim))
                near = shared.alpha[:, None] * at + shared.sigma[:, None] * more
                errors = squared_errors(
                    jax.random.fold_in(for_trials, j), state.critics, tau, obs,
                    near.at[0].set(xs[j]), shared, scores[j], one, trials,
                )  # fmt: skip
                sums[0, m, j] += float(errors.mean())
        print(f"state {i + 1} of {STATES}", flush=True)
    return Accuracy(*sums, float(state.scale * tau))


def rows_of(run: Run, task: str, step: int, trials: int) -> pl.DataFrame:
    """A row a noise level: EED of both methods, and what the truth errs over their MSE."""
    default = Contestant("auto", run.config.num_draws, run.config.num_levels)
    both = [default, Contestant("rfm", RFM_DRAWS, 1)]
    result = measured(run, step, both, trials)
    unsure = result.truth_error / result.squared_error
    words = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
    return pl.DataFrame({
        "task": task, "step": step, "time": TIMES, "tau": result.tau, "trials": trials,
        "default": result.eed[0], "rfm": result.eed[1],
        "default_truth_error": unsure[0], "rfm_truth_error": unsure[1], "commit": commit,
    }).with_columns(pl.col(pl.Float64).round_sig_figs(4))  # fmt: skip


def kept() -> pl.DataFrame:
    """All rows there are; an empty table at first."""
    if not RESULTS.exists():
        return pl.DataFrame(schema={"task": pl.String, "step": pl.Int64})
    return pl.read_csv(RESULTS, schema_overrides={"commit": pl.String})


def keep(rows: pl.DataFrame) -> None:
    """Add rows to the results."""
    every = pl.concat([kept(), rows], how="diagonal_relaxed")
    every = every.sort("task", "step", maintain_order=True)
    write_atomically(RESULTS, lambda file: file.write(every.write_csv().encode()))
    stamp(RESULTS)


def judged(rows: pl.DataFrame) -> None:
    """Print a table, the geometric mean and the worst level."""
    for (task, step), cell in rows.group_by(["task", "step"], maintain_order=True):
        print(f"{task}, {step} steps: tau = {cell['tau'][0]:.3g}")
        for t, a, b, ok in cell.select("time", "default", "rfm", RESOLVED).iter_rows():
            print(f"  t = {t:.2f}: {a:9.2f} {b:9.2f} {'' if ok else 'unresolved'}")
    sound = rows.filter(RESOLVED)
    if sound.is_empty():
        return
    ours, theirs = sound["default"].to_numpy(), sound["rfm"].to_numpy()
    least_ratio = np.min(np.where((ours > 100) & (theirs > 100), np.inf, ours / theirs))
    print(f"{len(sound)} resolved levels; EED of the default over rfm's with {RFM_DRAWS} draws:")
    print(f"geometric mean {np.exp(np.mean(np.log(ours / theirs))):.2f} (bar 1), ", end="")
    print(f"least {least_ratio:.2f} where not both exceed 100 (bar .25)")


def main() -> None:
    """Run what is missing, and judge."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--task", choices=TASKS, help="only this one")
    parser.add_argument("--trials", type=int, default=TRIALS)
    options = parser.parse_args()
    for task in [options.task] if options.task else TASKS:
        done = set(kept().filter(pl.col("task") == task)["step"])
        missing = [step for step in STEPS if step not in done]
        if not missing:
            continue
        with tempfile.TemporaryDirectory() as folder:
            run = trained(task, Path(folder), max(missing))
            for step in missing:
                begun = time.monotonic()
                keep(rows_of(run, task, step, options.trials))
                print(f"{task}, {step} steps: {time.monotonic() - begun:.0f} s", flush=True)
    judged(kept())


if __name__ == "__main__":
    main()
