"""What is learned from recorded data, and then online: `make bench-offline`.

Datasets of random, half-trained and trained agents are recorded by `steinflow record` into
runs/offline. An objective learns from one of them alone; those that stay above their data go on in
the environment afterwards. A cell is an environment, a dataset, an objective and a seed, on one
core; cells run two at a time. A rerun skips what is done.

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
from steinflow.report.style import curve, panels, shared_legend, styled
from steinflow.rl.config import TrainConfig
from steinflow.rl.datasets import returns_of, steps_from
from steinflow.rl.presets import PRESETS
from steinflow.rl.record import record
from steinflow.rl.run import load
from steinflow.rl.training import train

RESULTS = Path(__file__).parent / "results" / "offline.csv"
ROOM = Path("runs") / "offline"
FIGURE = Path(__file__).parent.parent / "docs" / "figures" / "offline.svg"
# Steps of the half-trained agent, whose return is half-way from random to trained, and of the
# trained one; episodes recorded; steps of learning from the data alone, and online after them
TASKS = {
    "Pendulum-v1": (1_500, 10_000, 50, 20_000, 5_000),
    "Hopper-v5": (32_500, 60_000, 100, 30_000, 10_000),
}
SOURCES = ("random", "half", "trained")
OBJECTIVES: dict[str, dict[str, Any]] = {
    "cloning": {"objective": "cloning"},
    "weighted": {"objective": "weighted", "temperature_mode": "ess", "temperature": 0.5},
    "diffusion-ql": {"objective": "diffusion-ql", "policy": "diffusion", "sampler": "ddpm"},
    "diffusion-ql-preset": PRESETS["diffusion-ql"],
    "score": {},
}
WHAT = [(source, "cloning") for source in SOURCES]
WHAT += [("half", objective) for objective in OBJECTIVES if objective != "cloning"]
ONLINE = {"weighted": "auto", "diffusion-ql": "gradient"}  # go on in the environment; their looks
EPISODES, TEACHER = 20, 100  # of an evaluation; seed of the agents that are recorded
EVALUATIONS = 10  # while learning from data alone, and online
Cell = tuple[str, str, str, int]


def teacher(task: str, source: str) -> Path:
    """The run that is recorded."""
    half, full = TASKS[task][:2]
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
    """Learn from the data, go on online, and write every evaluation of a cell."""
    data, path = dataset(task, source), path_of(task, source, objective, seed)
    offline, online = TASKS[task][3:]
    config = TrainConfig(steps=0, data=str(data), offline_steps=offline, seed=seed, keep=1,
                         eval_every=offline // EVALUATIONS, eval_episodes=EPISODES,
                         **OBJECTIVES[objective])  # fmt: skip
    run = train(config, task, path.with_suffix(""), resume=True)
    if objective in ONLINE:
        more = replace(config, steps=online, eval_every=online // EVALUATIONS)
        run = train(more, task, path.with_suffix(""), resume=True)
    known = returns_of(steps_from(str(data), run.learner.sizes.obs, run.actions))
    words = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
    rows = run.metrics().drop_nulls("eval_return").unique("step", keep="last").sort("step")
    columns = {
        "task": task, "data": source, "objective": objective, "seed": seed,
        "data_return": known.mean(), "data_se": known.std(ddof=1) / np.sqrt(len(known)),
        "commit": commit,
    }  # fmt: skip
    table = rows.select(
        *(pl.lit(value).alias(name) for name, value in columns.items()),
        "step", "eval_return", "eval_return_se",
    )  # fmt: skip
    write(path, table)


def path_of(task: str, source: str, objective: str, seed: int) -> Path:
    """The result of a cell."""
    return ROOM / f"{task}-{source}-{objective}-{seed}.csv"


def write(path: Path, rows: pl.DataFrame) -> None:
    """A table as a file."""
    write_atomically(path, lambda file: file.write(rows.write_csv(float_precision=1).encode()))


def judge() -> None:
    """Means over seeds after learning from the data alone, beside the mean return of the data; and
    the mean return online less the last one before."""
    rows = pl.read_csv(RESULTS).with_columns(
        pl.col("task")
        .replace_strict({task: sizes[3] for task, sizes in TASKS.items()})
        .alias("last")
    )
    for (task, source), part in sorted(rows.group_by(["task", "data"])):
        known = part.row(0, named=True)
        print(f"{task}, {source}: data {known['data_return']:.0f} ± {known['data_se']:.0f}")
        for (objective,), subset in sorted(part.group_by(["objective"])):
            each = subset.filter(pl.col("step") == pl.col("last")).sort("seed")["eval_return"]
            print(f"  {objective:14} {said(each.to_numpy())}")
            online = subset.filter(pl.col("step") > pl.col("last")).group_by("seed")
            mean = online.agg(pl.col("eval_return").mean()).sort("seed")["eval_return"]
            if len(mean):
                print(f"  {'  online less':14} {said(mean.to_numpy() - each.to_numpy())}")


def said(each: np.ndarray) -> str:
    """Mean over seeds, its standard error, and each."""
    error = each.std(ddof=1) / np.sqrt(len(each)) if len(each) > 1 else np.nan
    return f"{each.mean():8.0f} ± {error:4.0f}  {np.round(each).tolist()}"


def draw() -> None:
    """Return over steps, from data alone and then online, a panel a task."""
    rows = pl.read_csv(RESULTS).filter(pl.col("data") == "half")
    with styled():
        figure, axes = panels(len(TASKS), width=3.6, height=2.8)
        for ax, (task, sizes) in zip(axes, TASKS.items(), strict=True):
            part = rows.filter(pl.col("task") == task)
            for objective, look in ONLINE.items():
                of_steps = part.filter(pl.col("objective") == objective).group_by("step")
                error = pl.col("eval_return").std() / pl.col("eval_return").len().sqrt()
                line = of_steps.agg(pl.col("eval_return").mean(), error.alias("error")).sort("step")
                curve(ax, line["step"], line["eval_return"], line["error"], look, objective)
            ax.axhline(part["data_return"][0], color="#777777", linestyle=":", label="the data")
            ax.axvline(sizes[3], color="#777777", linewidth=0.8)
            ax.set(title=task, xlabel="steps (online from the line)")
        axes[0].set_ylabel("return")
        shared_legend(figure, axes[0])
        figure.savefig(FIGURE)
    stamp(FIGURE, RESULTS)


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
        cells = [
            (task, *what, seed) for task, what, seed in product(options.tasks, WHAT, options.seeds)
        ]
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
        draw()
    judge()


if __name__ == "__main__":
    main()
