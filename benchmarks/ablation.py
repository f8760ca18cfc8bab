"""Does a better target buy return? Only the estimator differs: `make bench-ablation`.

Five estimators, two tasks, three seeds, networks 128 wide; each has 16 draws of Q a state. A cell
is a task, an estimator and a seed: learning curve, ESS along the way, and, on the critics of three
checkpoints, how many perfect draws the targets were worth (EED, in the estimator's own space,
against a truth of 2^14 shared draws a level). Each writes one small file under
benchmarks/results/ablation, and a rerun skips what is there. Cells go through an executor
(docs/sweeps.md), each on one core.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from critic_accuracy import Contestant, measured
from matplotlib.figure import Figure
from provenance import stamp

from steinflow.executors import campaign
from steinflow.executors.shards import shard_of
from steinflow.executors.state import told as state_told
from steinflow.io.files import write_json
from steinflow.rl.config import TrainConfig
from steinflow.rl.curves import Curve, curve_of, draw
from steinflow.rl.run import Run
from steinflow.rl.training import train
from steinflow.study.style import styled

RESULTS = Path(__file__).parent / "results" / "ablation"
FOLDER = Path("runs") / "ablation"  # of the executor: why cells failed
FIGURE = Path(__file__).parent.parent / "docs" / "figures" / "ablation.svg"
TASKS = {  # steps, steps between evaluations, steps whose critics are looked at
    "InvertedDoublePendulum-v5": (15_000, 1_500, (3_000, 9_000, 15_000)),
    "Hopper-v5": (30_000, 3_000, (6_000, 18_000, 30_000)),
}
ESTIMATORS = ("noise", "gradient", "blend", "rfm", "auto")
SEEDS, EPISODES, HIDDEN = 3, 10, (128, 128)
# the defaults when the cells were made: these must not follow later ones
THEN: dict[str, Any] = {
    "num_draws": 4, "num_levels": 4, "actor_batch": 128, "polyak": 0.005, "temperature": 0.05,
    "normalise": False,
}  # fmt: skip
STATES, TRIALS, CHUNKS = 8, 16, 8


class Cell(NamedTuple):
    """A training and the accuracy of its targets."""

    env: str
    estimator: str
    seed: int

    @property
    def name(self) -> str:
        """Its identity."""
        return f"{self.env}-{self.estimator}-{self.seed}"

    @property
    def label(self) -> str:
        """For people."""
        return self.name


def path_of(env: str, estimator: str, seed: int) -> Path:
    """The result of a cell."""
    return RESULTS / f"{Cell(env, estimator, seed).name}.json"


def accuracy(run: Run, step: int) -> dict[str, Any]:
    """EED of the run's own targets at six noise levels, and whether each is resolved."""
    config = run.config
    one = Contestant(config.estimator, config.num_draws, config.num_levels)
    found = measured(run, step, [one], TRIALS, STATES, CHUNKS)
    return {
        "step": step, "tau": found.tau, "eed": found.eed[0].tolist(),
        "resolved": (found.truth_error <= 0.1 * found.squared_error)[0].tolist(),
    }  # fmt: skip


def computed(cell: Cell) -> bytes:
    """Write the result of a cell."""
    began = time.perf_counter()
    found = trained(*cell)
    minutes = round((time.perf_counter() - began) / 60.0, 1)
    write_json(path_of(*cell), found | {"minutes": minutes})
    stamp(path_of(*cell))
    return b""


def trained(env: str, estimator: str, seed: int) -> dict[str, Any]:
    """Train, and look at the targets afterwards."""
    steps, every, looked_at = TASKS[env]
    config = TrainConfig(
        estimator=estimator, steps=steps, eval_every=every, eval_episodes=EPISODES, seed=seed,
        hidden=HIDDEN, keep=100, buffer_size=steps, **THEN,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        run = train(config, env, Path(folder) / "run")
        curve, rows = curve_of(run), run.metrics()
        losses = rows.drop_nulls("ess").select("step", "ess", "std_error").to_dict(as_series=False)
        return {
            "env": env, "estimator": estimator, "seed": seed,
            "step": curve.step.tolist(), "seconds": curve.seconds.tolist(),
            "eval_return": curve.returns[0].tolist(),
            "losses": losses, "accuracy": [accuracy(run, step) for step in looked_at],
        }  # fmt: skip


def middle(accuracies: list[dict[str, Any]]) -> float:
    """Geometric mean of the EED of resolved levels."""
    logs = [
        np.log(eed)
        for at in accuracies
        for eed, resolved in zip(at["eed"], at["resolved"], strict=True)
        if resolved
    ]
    return float(np.exp(np.mean(logs))) if logs else float("nan")


def judge() -> None:
    """A table a task, and a picture: returns, EED of the targets and ESS along the training."""
    paths = {
        env: {e: [path_of(env, e, seed) for seed in range(SEEDS)] for e in ESTIMATORS}
        for env in TASKS
    }
    done = [e for e in TASKS if all(p.exists() for row in paths[e].values() for p in row)]
    for env in set(TASKS) - set(done):
        print(f"{env}: cells are missing")
    if not done:
        return
    with styled():
        figure = Figure(figsize=(3.6 * len(done), 7.0), layout="constrained")
        axes = figure.subplots(3, len(done), squeeze=False, sharex="col")
        for column, env in zip(axes.T, done, strict=True):
            found = {e: cells_of(row) for e, row in paths[env].items()}
            for e, cells in found.items():
                tell(env, e, cells)
            for ax, curves in zip(column, (returns, worth, effective), strict=True):
                draw(ax, [curves(e, cells) for e, cells in found.items()])
            column[1].set_yscale("log")
            column[0].set_title(env)
            column[-1].set_xlabel("environment steps")
        for ax, label in zip(axes[:, 0], ("evaluation return", "EED of targets", "ESS"),
                             strict=True):  # fmt: skip
            ax.set_ylabel(label)
        figure.align_ylabels()
        figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=5)
        figure.savefig(FIGURE)
    stamp(FIGURE, *(path for env in done for row in paths[env].values() for path in row))
    print(FIGURE)


def cells_of(paths: list[Path]) -> list[dict[str, Any]]:
    """Results of all seeds."""
    return [json.loads(path.read_text("utf-8")) for path in paths]


def returns(name: str, cells: list[dict[str, Any]]) -> Curve:
    """Evaluation returns."""
    seconds = np.mean([one["seconds"] for one in cells], axis=0)
    found = np.array([one["eval_return"] for one in cells])
    return Curve(name, np.array(cells[0]["step"]), seconds, found)


def worth(name: str, cells: list[dict[str, Any]]) -> Curve:
    """Geometric mean of the EED of resolved levels, at the checkpoints that were looked at."""
    steps = np.array([at["step"] for at in cells[0]["accuracy"]])
    found = np.array([[middle([at]) for at in one["accuracy"]] for one in cells])
    return Curve(name, steps, steps, found)


def effective(name: str, cells: list[dict[str, Any]]) -> Curve:
    """Mean ESS of the updates since the last record."""
    steps = np.array(cells[0]["losses"]["step"])
    return Curve(name, steps, steps, np.array([one["losses"]["ess"] for one in cells]))


def tell(env: str, estimator: str, cells: list[dict[str, Any]]) -> None:
    """A row of the table."""
    last = np.array([one["eval_return"] for one in cells])[:, -5:].mean(axis=1)
    ess = np.mean([np.mean(one["losses"]["ess"]) for one in cells])
    eed = middle([at for one in cells for at in one["accuracy"]])
    print(
        f"{env}, {estimator:9s} last five evaluations {last.mean():7.0f} ± "
        f"{last.std(ddof=1) / np.sqrt(SEEDS):4.0f}, EED {eed:8.2g}, ESS {ess:5.2f}"
    )


def main() -> None:
    """Run what is missing, and judge."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--executor",
        default="process",
        help="serial, process or ray",
    )
    parser.add_argument("--shard", default="0/1", help="i/n: a share of the cells")
    parser.add_argument("--env", default="", help="only this one")
    options = parser.parse_args()
    every = [Cell(env, e, seed) for env in TASKS for seed in range(SEEDS) for e in ESTIMATORS]
    cells = [one for one in every if options.env in one.env and not path_of(*one).exists()]
    engine = campaign.Engine(options.executor, shard=shard_of(options.shard))
    found = campaign.run(computed, cells, FOLDER, engine, retry_failed=True, title="ablation")
    print(state_told(cells, found))
    judge()
    sys.exit(bool(found.failed))


if __name__ == "__main__":
    main()
