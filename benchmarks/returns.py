"""Returns beside SBX's SAC on the same machine and steps: `make bench-returns`.

A cell is an agent, an environment and a seed; each writes one small file under
benchmarks/results/returns, and a rerun skips what is there. With --part A/B only every B-th cell.

    python benchmarks/returns.py --together 5 --minutes 9 --env HalfCheetah-v5    # where a GPU is

trains seeds of the default side by side for so long, and writes their cells; the comparison takes
the steps that all agents have.
"""

import argparse
import json
import os
import signal
import subprocess
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

import jax
import numpy as np

from steinflow.io.files import write_json
from steinflow.rl.config import TrainConfig
from steinflow.rl.curves import Curve, curve_of, draw
from steinflow.rl.run import Run
from steinflow.rl.training import train
from steinflow.study.style import panels, styled

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "returns"
FIGURE = HERE.parent / "docs" / "figures" / "returns.svg"
TASKS = {  # steps, steps between evaluations, seeds
    "InvertedDoublePendulum-v5": (15_000, 1_500, 3),
    "Hopper-v5": (50_000, 2_500, 6),  # three seeds differ by eight times
    "HalfCheetah-v5": (50_000, 2_500, 3),
}
EPISODES = 10
AGENTS = ("default", "sbx-sac")
FLOORS = {"HalfCheetah-v5": 1.0, "Hopper-v5": 0.9, "InvertedDoublePendulum-v5": 0.9}


def path_of(agent: str, env: str, seed: int) -> Path:
    """The result of a cell."""
    return RESULTS / f"{env}-{agent}-{seed}.json"


def evaluations(curve: Curve, seed: int) -> list[dict[str, float]]:
    """Those of one seed, the first being 0."""
    rows = zip(curve.step, curve.seconds, curve.returns[seed], strict=True)
    return [{"step": int(s), "seconds": float(t), "eval_return": float(r)} for s, t, r in rows]


def ours(env: str, steps: int, every: int, seed: int) -> list[dict[str, float]]:
    """Evaluations of the default agent."""
    config = TrainConfig(steps=steps, eval_every=every, eval_episodes=EPISODES, seed=seed)
    with tempfile.TemporaryDirectory() as folder:
        run = train(config, env, Path(folder) / "run", quiet=False)
        return evaluations(curve_of(run), 0)


def together(env: str, steps: int, every: int, seeds: int, minutes: float) -> None:
    """Cells of seeds that train side by side until the steps are made or the time is over."""
    config = TrainConfig(steps=steps, eval_every=every, eval_episodes=EPISODES, seeds=seeds, keep=1)
    device = jax.devices()[0].device_kind
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "run"
        alarm = threading.Timer(60.0 * minutes, os.kill, (os.getpid(), signal.SIGTERM))
        alarm.start()
        began = time.perf_counter()
        with suppress(KeyboardInterrupt):
            train(config, env, folder, quiet=False)
        alarm.cancel()
        spent = round((time.perf_counter() - began) / 60.0, 1)
        curve = curve_of(Run(folder))
    for seed in range(seeds):
        about = {"agent": "default", "env": env, "seed": seed, "minutes": spent}
        about |= {"device": device, "seeds_at_once": seeds}
        write_json(path_of("default", env, seed), about | {"evaluations": evaluations(curve, seed)})


def theirs(python: str, env: str, steps: int, every: int, seed: int) -> list[dict[str, float]]:
    """Evaluations of SBX's SAC."""
    script = HERE / "sbx_sac.py"
    words = [Path(python).absolute(), script, "returns", env, steps, every, EPISODES, seed]
    done = subprocess.run(
        [str(word) for word in words], capture_output=True, text=True, check=True,
        cwd=tempfile.gettempdir(),
    )  # fmt: skip
    return [json.loads(line) for line in done.stdout.splitlines()]


def last_five(cell: dict[str, object]) -> float:
    """Mean of the last five evaluations within the steps of the comparison."""
    steps = TASKS[cell["env"]][0]
    within = [e["eval_return"] for e in cell["evaluations"] if e["step"] <= steps]
    return float(np.mean(within[-5:]))


def as_curve(name: str, paths: list[Path]) -> Curve:
    """The evaluations that all of these cells have."""
    cells = [json.loads(path.read_text("utf-8"))["evaluations"] for path in paths]
    count = min(map(len, cells))
    step, seconds, returns = (
        np.array([[e[key] for e in cell[:count]] for cell in cells])
        for key in ("step", "seconds", "eval_return")
    )
    return Curve(name, step[0], seconds.mean(axis=0), returns)


def picture() -> None:
    """Learning curves of all cells."""
    names = {"default": "steinflow, default", "sbx-sac": "SBX SAC"}
    with styled():
        figure, axes = panels(len(TASKS), width=3.0, height=2.6)
        for ax, env in zip(axes, TASKS, strict=True):
            found = {agent: sorted(RESULTS.glob(f"{env}-{agent}-*.json")) for agent in AGENTS}
            draw(ax, [as_curve(names[a], paths) for a, paths in found.items() if paths])
            ax.set(xlabel="environment steps", title=env)
        axes[0].set(ylabel="evaluation return")
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
        figure.savefig(FIGURE)
    print(FIGURE)


def judge() -> None:
    """Ratios with paired bootstrap intervals: over the first three seeds, and over all."""
    for env, seeds in sorted({(env, n) for env, task in TASKS.items() for n in (3, task[2])}):
        floor = FLOORS[env]
        paths = [[path_of(agent, env, seed) for seed in range(seeds)] for agent in AGENTS]
        if not all(path.exists() for row in paths for path in row):
            print(f"{env}, {seeds} seeds: cells are missing")
            continue
        own, sac = (np.array([last_five(json.loads(p.read_text())) for p in row]) for row in paths)
        which = np.random.default_rng(0).integers(seeds, size=(10_000, seeds))
        drawn = own[which].mean(axis=1) / sac[which].mean(axis=1)
        low, high = np.percentile(drawn, [5, 95])
        ratio = own.mean() / sac.mean()
        print(
            f"{env}, {seeds} seeds: default {own.round().tolist()}, SBX SAC "
            f"{sac.round().tolist()}, ratio {ratio:.2f} [{low:.2f}, {high:.2f}] (floor {floor})"
        )
    picture()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", default=".venv-sbx/bin/python", help="of SBX's environment")
    parser.add_argument("--part", default="0/1", help="which cells: i/n")
    parser.add_argument("--env", default="", help="only this one")
    parser.add_argument("--agent", default="", help="only this one")
    parser.add_argument("--together", type=int, default=0, help="seeds of the default at once")
    parser.add_argument("--steps", type=int, default=10**7, help="at most, with --together")
    parser.add_argument("--minutes", type=float, default=9.0, help="of training, with --together")
    options = parser.parse_args()
    if options.together:
        for env in [env for env in TASKS if options.env in env]:
            together(env, options.steps, TASKS[env][1], options.together, options.minutes)
        return
    part, parts = map(int, options.part.split("/"))
    cells = [(a, e, s) for e, task in TASKS.items() for s in range(task[2]) for a in AGENTS]
    for number, (agent, env, seed) in enumerate(cells):
        path = path_of(agent, env, seed)
        if number % parts != part or path.exists():
            continue
        if options.env not in env or options.agent not in agent:
            continue
        steps, every, _ = TASKS[env]
        began = time.perf_counter()
        found = (
            ours(env, steps, every, seed)
            if agent == "default"
            else theirs(options.python, env, steps, every, seed)
        )
        minutes = (time.perf_counter() - began) / 60.0
        about = {"agent": agent, "env": env, "seed": seed, "minutes": round(minutes, 1)}
        write_json(path, about | {"evaluations": found})
        print(f"{path.name}: {last_five(about | {'evaluations': found}):.0f} in {minutes:.1f} min")
    judge()


if __name__ == "__main__":
    main()
