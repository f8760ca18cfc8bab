"""What a condition-trial of the study costs: our `run_cell` against plain NumPy.

    python benchmarks/bench_study.py [--write]     # or: make bench-study

A condition-trial is one trial (32 query points, every estimator) of one (Q, tau, level, N).
Ours is `compute`, as the study calls it, warm, on 16 cells with all that a part holds. NumPy
has one thread, in a process of its own: one trial at a time, fresh normals for every N, the
same estimators by hand; it is given query points, exact scores and the oracle's c, and spared
the as-printed rows, the coverage and the network's cosine. Exit status 1 if ratio < 6.
"""

import argparse
import json
import os
import time
from collections.abc import Callable
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from plain_numpy import DIM, TRIALS, Problem, numpy_condition, numpy_study

CELLS = (("quadratic", 0.1), ("bimodal", 1.0), ("multimodal", 0.1), ("linear", 1.0))
ALPHA, REPEATS, ROUNDS, LEAST_RATIO, CHECK_TRIALS = 0.8, 4, 3, 6.0, 100


def timed(function: Callable[..., Any], *args: Any) -> np.ndarray:
    """Seconds that a call takes, on the wall and of all threads together."""
    wall, cpu = time.perf_counter(), time.process_time()
    function(*args)
    return np.array([time.perf_counter() - wall, time.process_time() - cpu])


def prepare() -> tuple[Callable[[], Any], int, list[Any], list[Problem], tuple[int, ...]]:
    """What runs cells as the study does, how many condition-trials those are, four results,
    the problems of the four, and the sample sizes."""
    import jax  # not at the top: the NumPy process shall not load it

    from steinflow.study.cell import randomness
    from steinflow.study.conditions import Cell, Grid
    from steinflow.study.run import compute

    jax.config.update("jax_enable_x64", True)
    grid, problems, results = Grid("paper"), [], []
    chosen = [Cell(family, tau, ALPHA, DIM, False) for family, tau in CELLS]
    random = jax.jit(randomness, static_argnums=(1, 2))(jax.random.key(0), grid, DIM)
    for cell, result in compute(grid, chosen):
        target, sigma = cell.target, float(cell.level.sigma)
        x = ALPHA * target.quantile(random.action) + sigma * random.noise
        truth = target.rotation, np.asarray(x), result.score, float(result.exact.best_c)
        problems.append(Problem(cell.family, cell.tau, ALPHA, sigma, *truth))
        results.append(result)
    many = REPEATS * chosen
    count = len(many) * len(grid.num_draws) * grid.trials
    return lambda: list(compute(grid, many)), count, results, problems, grid.num_draws


def check(ours: Any, every: np.ndarray, problem: Problem) -> None:
    """Fail unless noise and gradient at every point, and every MSE, agree at N = 256."""
    slack = 1e-9 * np.linalg.norm(problem.score)  # for what has no variance
    first, second, (count, trials, points, _) = ours.pair[1], every[:2], every.shape
    spread = (first.var(axis=1, ddof=1) + second.var(axis=1, ddof=1)) / trials
    means = (first.mean(axis=1) - second.mean(axis=1)) / (np.sqrt(spread) + slack)
    losses = np.sum((every - problem.score) ** 2, axis=-1)
    error = np.sqrt(np.sum(losses.var(axis=1, ddof=1) / trials, axis=1)) / points
    error = np.hypot(error, ours.measures.mse_se[-1][:count]) + slack**2
    squares = (losses.mean(axis=(1, 2)) - ours.measures.mse[-1][:count]) / error
    apart = np.max(np.abs([*means.ravel(), *squares]))
    print(f"{problem.family} at tau {problem.tau:g}: at most {apart:.2f} standard errors apart")
    assert apart < 5.0, "The two versions disagree."


def measured() -> np.ndarray:
    """Seconds per condition-trial, [rounds, (ours, NumPy), (wall, cpu)], after the check."""
    with patch.dict(os.environ, OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1"):  # only there
        pool = get_context("spawn").Pool(1)
    with pool:
        run, count, results, problems, sizes = prepare()
        for result, problem in zip(results, problems, strict=True):
            args = problem, sizes[-1], CHECK_TRIALS
            check(result, pool.apply(numpy_condition, args), problem)
        rounds, theirs_count = [], len(problems) * len(sizes) * TRIALS
        for _ in range(ROUNDS):
            ours = timed(run) / count
            theirs = pool.apply(timed, (numpy_study, problems, sizes)) / theirs_count
            rounds.append([ours, theirs])
    return np.array(rounds)


def main() -> None:
    """Measure, print the medians, and judge their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="write results/bench-study.json")
    write, rounds = parser.parse_args().write, measured()
    (wall, cpu), (numpy_wall, numpy_cpu) = np.median(rounds, axis=0)
    numbers = {
        "seconds_per_condition_trial": {"steinflow": wall, "numpy": numpy_wall},
        "threads_used": {"steinflow": cpu / wall, "numpy": numpy_cpu / numpy_wall},
        "ratio": numpy_wall / wall,
        "ratio_by_round": list(rounds[:, 1, 0] / rounds[:, 0, 0]),
        "ratio_of_cpu_seconds": numpy_cpu / cpu,
        "versions": {name: version(name) for name in ("jax", "jaxlib", "numpy")},
    }
    print(text := json.dumps(numbers, indent=2))
    if write:
        from provenance import stamp  # which loads JAX

        path = Path(__file__).with_name("results") / "bench-study.json"
        path.write_text(text + "\n")
        stamp(path)
    raise SystemExit(int(numbers["ratio"] < LEAST_RATIO))


if __name__ == "__main__":
    main()
