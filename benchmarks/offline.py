"""What is learned from recorded data: `make bench-offline`.

Datasets of random, half-trained and trained agents are recorded by `steinflow record` into
runs/offline, and each objective learns from each of them alone. A cell is an environment, a
dataset, an objective and a seed, on one core; cells run two at a time. A rerun skips what is done.

    python benchmarks/offline.py --tasks Pendulum-v1 --seeds 0
    python benchmarks/offline.py --judge
"""

import argparse
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import product
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
import polars as pl
from provenance import stamp

from steinflow.io.files import write_atomically
from steinflow.rl.config import TrainConfig
from steinflow.rl.datasets import returns_of, steps_from
from steinflow.rl.record import record
from steinflow.rl.run import load
from steinflow.rl.training import train

RESULTS = Path(__file__).parent / "results" / "offline.csv"
ROOM = Path("runs") / "offline"
TASKS = {  # steps of the half-trained and of the trained agent; episodes recorded; offline steps
    "Pendulum-v1": (3_000, 10_000, 50, 20_000),
    "Hopper-v5": (15_000, 60_000, 100, 50_000),
}
SOURCES = ("random", "half", "trained")
OBJECTIVES: dict[str, dict[str, Any]] = {
    "cloning": {"objective": "cloning", "eval_particles": 1},
    "weighted": {"objective": "weighted", "temperature": 0.2, "particles": 8},
    "diffusion-ql": {"objective": "diffusion-ql", "policy": "diffusion", "sampler": "ddpm"},
    "score": {},
}
EPISODES, TEACHER = 20, 100  # of an evaluation; seed of the agents that are recorded
Cell = tuple[str, str, str, int]


def teacher(task: str, source: str) -> Path:
    """The run that is recorded."""
    half, full, _, _ = TASKS[task]
    out = ROOM / f"{task}-{'trained' if source == 'trained' else 'half'}"
    if not (out / "done").exists():
        steps = full if source == "trained" else half
        train(TrainConfig(steps=steps, seed=TEACHER, keep=1), task, out, resume=True)
        (out / "done").touch()
    return out


def dataset(task: str, source: str) -> Path:
    """A folder of recorded episodes."""
    out = ROOM / f"{task}-{source}-data"
    if not out.exists():
        which = "random" if source == "random" else "last"
        record(load(teacher(task, source)), out, TASKS[task][2], which)
    return out


def compute(task: str, source: str, objective: str, seed: int) -> None:
    """Learn from the data, evaluate, and write the result of a cell."""
    data, path = dataset(task, source), path_of(task, source, objective, seed)
    config = TrainConfig(steps=0, data=str(data), offline_steps=TASKS[task][3], seed=seed, keep=1,
                         **OBJECTIVES[objective])  # fmt: skip
    run = train(
        replace(config, eval_every=config.offline_steps), task, path.with_suffix(""), resume=True
    )
    returns = run.evaluate(EPISODES, 10_000, "last")
    known = returns_of(steps_from(str(data), run.learner.sizes.obs, run.actions))
    words = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
    rows = pl.DataFrame({
        "task": task, "data": source, "objective": objective, "seed": seed,
        "data_return": known.mean(), "data_se": known.std(ddof=1) / np.sqrt(len(known)),
        "eval_return": returns.mean[0], "eval_se": returns.standard_error[0], "commit": commit,
    })  # fmt: skip
    write(path, rows)


def path_of(task: str, source: str, objective: str, seed: int) -> Path:
    """The result of a cell."""
    return ROOM / f"{task}-{source}-{objective}-{seed}.csv"


def write(path: Path, rows: pl.DataFrame) -> None:
    """A table as a file."""
    write_atomically(path, lambda file: file.write(rows.write_csv(float_precision=1).encode()))


def judge() -> None:
    """Means over seeds beside the mean return of the data."""
    rows = pl.read_csv(RESULTS)
    for (task, source), part in sorted(rows.group_by(["task", "data"])):
        known = part.row(0, named=True)
        print(f"{task}, {source}: data {known['data_return']:.0f} ± {known['data_se']:.0f}")
        for (objective,), subset in sorted(part.group_by(["objective"])):
            each = subset["eval_return"].to_numpy()
            error = each.std(ddof=1) / np.sqrt(len(each)) if len(each) > 1 else np.nan
            print(f"  {objective:14} {each.mean():8.0f} ± {error:4.0f}  {np.round(each).tolist()}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", nargs="+", default=list(TASKS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--cell", nargs=4, help="compute this one here: task data objective seed")
    parser.add_argument("--judge", action="store_true", help="only say what the results are")
    options = parser.parse_args()
    if options.cell:
        task, source, objective, seed = options.cell
        compute(task, source, objective, int(seed))
        return
    if not options.judge:
        for task, source in product(options.tasks, SOURCES):
            dataset(task, source)
        cells = list(product(options.tasks, SOURCES, OBJECTIVES, options.seeds))
        idle: SimpleQueue[int] = SimpleQueue()
        cores = sorted(os.sched_getaffinity(0))[:2]
        for core in cores:
            idle.put(core)

        def one(cell: Cell) -> None:
            core = idle.get()
            words = ["taskset", "-c", str(core), sys.executable, __file__, "--cell"]
            ended = subprocess.run([*words, *map(str, cell)], check=False)
            idle.put(core)
            print(*cell, "is done" if ended.returncode == 0 else "failed", flush=True)

        with ThreadPoolExecutor(len(cores)) as pool:
            list(pool.map(one, (cell for cell in cells if not path_of(*cell).exists())))
        tables = [pl.read_csv(path) for path in sorted(ROOM.glob("*.csv"))]
        write(RESULTS, pl.concat(tables))
        stamp(RESULTS)
    judge()


if __name__ == "__main__":
    main()
