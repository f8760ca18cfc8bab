"""Returns of our agents, of SBX's, and of those that others have published: `make bench-returns`.

A cell is an agent, a task and a seed, on one core; cells run two at a time. One that is done is a
file under runs/returns. A rerun skips it, goes on with one of ours that was stopped, and adds all
of them to benchmarks/results/returns.csv. Where the default has changed, delete its rows first.

    python benchmarks/returns.py --agents default sbx-crossq-256 --tasks Hopper-v4 --steps 50000
    python benchmarks/returns.py --judge

Choices are made on seeds 10 to 12; seeds 0 to 2 judge.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
from contextlib import closing
from dataclasses import replace
from itertools import product
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import jax
import numpy as np
import polars as pl
from provenance import stamp

from steinflow.io.files import write_atomically
from steinflow.rl.config import TrainConfig
from steinflow.rl.evaluate import Evaluator
from steinflow.rl.run import Run
from steinflow.rl.training import train

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "returns.csv"
PUBLISHED = HERE / "results" / "published.csv"  # means over seeds, with their sources
CELLS = Path("runs") / "returns"
SBX = Path(".venv-sbx/bin/python")
EVERY, EPISODES, LAST = 5_000, 10, 3  # steps between evaluations; of the last three is the mean
AGENTS: dict[str, dict[str, Any]] = {
    "default": {},
    "draws-48": {"num_draws": 48},
    "bound-0": {"return_bound": 0.0},
    "gamma-995": {"gamma": 0.995},
    "squared-loss": {"critic": "mse"},
    "squared-loss-raw": {"critic": "mse", "normalise_rewards": False},
    "gaussian": {"policy": "gaussian"},
    "diffusion-ve": {"policy": "diffusion-ve"},
    **{name: {"estimator": name} for name in ("noise", "gradient", "blend", "rfm")},
}
THEIRS = ("sbx-sac", "sbx-sac-5000", "sbx-crossq", "sbx-crossq-256")
RANGES = {  # returns of random actions, and of TD3 at a million steps
    "HalfCheetah": (-289.0, 10574.0), "Hopper": (19.0, 3226.0), "Walker2d": (3.0, 3946.0),
    "Ant": (-70.0, 3942.0), "Humanoid": (120.0, 5165.0),
}  # fmt: skip


Cell = tuple[str, str, int, int]  # agent, task, seed, steps


def path_of(agent: str, task: str, seed: int, steps: int) -> Path:
    """The result of a cell."""
    return CELLS / f"{task}-{agent}-{seed}-{steps}.csv".replace("/", "_")


def done(agent: str, task: str, seed: int, steps: int) -> bool:
    """Whether a cell is there, here or among the results."""
    if path_of(agent, task, seed, steps).exists():
        return True
    if not RESULTS.exists():
        return False
    rows = read(RESULTS)
    of_cell = (pl.col("agent") == agent) & (pl.col("task") == task) & (pl.col("seed") == seed)
    return bool((rows.filter(of_cell)["step"] >= steps).any())


def ours(agent: str, task: str, seed: int, steps: int) -> list[dict[str, float]]:
    """Train one of our agents: its evaluations, the best of several actions by Q, and for the last
    checkpoint those of one sample of the policy."""
    config = TrainConfig(
        steps=steps, eval_every=EVERY, eval_episodes=EPISODES, seed=seed, keep=1, **AGENTS[agent]
    )
    run = train(config, task, path_of(agent, task, seed, steps).with_suffix(""), resume=True)
    rows = run.metrics().drop_nulls("eval_return").unique("step", keep="last").sort("step")
    training = pl.col("seconds") - pl.col("eval_seconds").cum_sum()
    entries = rows.select("step", training.alias("seconds"), "eval_return").to_dicts()
    return [*entries[:-1], entries[-1] | {"one_sample": one_sample(run)}]


def one_sample(run: Run) -> float:
    """Mean return of the last checkpoint where each action is one sample of the policy."""
    config = replace(run.config, eval_particles=1)
    states, normaliser = run.agents("last")
    with jax.enable_x64(False), closing(Evaluator(run.factory(), config, 1, EPISODES)) as evaluator:
        learner = run.learner._replace(config=config)
        return float(evaluator.run(learner, states, normaliser, 10_000).mean[0])


def theirs(agent: str, task: str, seed: int, steps: int) -> list[dict[str, float]]:
    """Evaluations of one of SBX's agents, by its deterministic action."""
    words = [SBX.absolute(), HERE / "sbx_agents.py", "returns", agent, task, steps, EVERY, EPISODES]
    done = subprocess.run(
        [str(word) for word in (*words, seed)], capture_output=True, text=True, check=True,
        cwd=tempfile.gettempdir(),
    )  # fmt: skip
    return [json.loads(line) for line in done.stdout.splitlines()]


def compute(agent: str, task: str, seed: int, steps: int) -> None:
    """Write the result of a cell."""
    entries = (theirs if agent in THEIRS else ours)(agent, task, seed, steps)
    words = ["git", "rev-parse", "--short", "HEAD"]
    output = subprocess.run(words, capture_output=True, text=True, check=True, cwd=HERE)
    about = {"agent": agent, "task": task, "seed": seed}
    rows = [
        about | {"one_sample": None} | row | {"commit": output.stdout.strip()} for row in entries
    ]
    columns = ["agent", "task", "seed", "step", "seconds", "eval_return", "one_sample", "commit"]
    table = pl.DataFrame(rows, infer_schema_length=None).select(columns)
    write(path_of(agent, task, seed, steps), table)


def work(core: int, cells: SimpleQueue[Cell], stop: threading.Event) -> None:
    """Compute cells on one core until none is left."""
    while not stop.is_set():
        try:
            cell = cells.get_nowait()
        except Empty:
            return
        words = ["taskset", "-c", str(core), sys.executable, __file__, "--cell", *map(str, cell)]
        ended = subprocess.run(words, check=False)
        print(*cell, "is done" if ended.returncode == 0 else "failed", flush=True)


def collect() -> None:
    """Add what is done to the results; the longest run of a cell stays, the newer of two equals."""
    new = sorted(CELLS.glob("*.csv"), key=lambda path: path.stat().st_mtime)
    parts = [read(path) for path in (RESULTS, *new) if path.exists()]
    by_cell: dict[tuple[str, str, int], pl.DataFrame] = {}
    for part in parts:
        for cell, rows in part.group_by(["agent", "task", "seed"], maintain_order=True):
            if cell not in by_cell or rows["step"].max() >= by_cell[cell]["step"].max():
                by_cell[cell] = rows
    if by_cell:
        write(RESULTS, pl.concat([by_cell[cell] for cell in sorted(by_cell)]))
        stamp(RESULTS)


def read(path: Path) -> pl.DataFrame:
    """A table of evaluations."""
    return pl.read_csv(path, schema_overrides={"one_sample": pl.Float64, "commit": pl.String})


def write(path: Path, rows: pl.DataFrame) -> None:
    """A table as a file."""
    write_atomically(path, lambda file: file.write(rows.write_csv(float_precision=1).encode()))


def judge(steps: int, seeds: list[int]) -> None:
    """Mean of the last three evaluations within so many steps, with its standard error over
    seeds, beside published means."""
    rows = read(RESULTS).filter(pl.col("step") <= steps, pl.col("seed").is_in(seeds))
    published = pl.read_csv(PUBLISHED).filter(pl.col("step") == steps)
    print(f"{steps:,} steps, seeds {seeds}")
    for (task,), part in sorted(rows.group_by(["task"])):
        print(task)
        for (agent,), of_agent in sorted(part.group_by(["agent"])):
            runs = [run.sort("step") for _, run in sorted(of_agent.group_by(["seed"]))]
            runs = [run for run in runs if run["step"][-1] == steps]
            if not runs:
                continue
            each = [run["eval_return"].tail(LAST).mean() for run in runs]
            error = np.std(each, ddof=1) / np.sqrt(len(each)) if len(each) > 1 else np.nan
            speed = steps / np.mean([run["seconds"][-1] for run in runs])
            commits = sorted({run["commit"][-1] for run in runs})
            print(f"  {agent:18} {np.mean(each):8.0f} ± {error:4.0f}  score "
                  f"{scored(task, np.mean(each)):.2f}  {speed:.0f} steps/s  "
                  f"{np.round(each).astype(int).tolist()}  {' '.join(commits)}")  # fmt: skip
        for row in published.filter(pl.col("task") == task).iter_rows(named=True):
            mean = row["eval_return"]
            print(f"  {row['agent']:18} {mean:8.0f} ({row['source']})  {scored(task, mean):.2f}")


def scored(task: str, value: float) -> float:
    """A return between random actions (0) and TD3 at a million steps (1)."""
    low, high = RANGES.get(task.partition("-")[0], (np.nan, np.nan))
    return (value - low) / (high - low)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--agents", nargs="+", default=["default"])
    parser.add_argument("--tasks", nargs="+", default=["HalfCheetah-v4"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--cell", nargs=4, help="compute this one here: agent task seed steps")
    parser.add_argument("--judge", action="store_true", help="only say what the results are")
    options = parser.parse_args()
    if options.cell:
        agent, task, seed, steps = options.cell
        compute(agent, task, int(seed), int(steps))
        return
    if not options.judge:
        waiting: SimpleQueue[Cell] = SimpleQueue()
        stop = threading.Event()
        for seed, task, agent in product(options.seeds, options.tasks, options.agents):
            if not done(agent, task, seed, options.steps):
                waiting.put((agent, task, seed, options.steps))
        cores = sorted(os.sched_getaffinity(0))[:2]
        threads = [threading.Thread(target=work, args=(core, waiting, stop)) for core in cores]
        for thread in threads:
            thread.start()
        try:
            for thread in threads:
                thread.join()
        finally:
            stop.set()
            collect()
    judge(options.steps, options.seeds)


if __name__ == "__main__":
    main()
