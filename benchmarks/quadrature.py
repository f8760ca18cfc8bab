"""What the Gaussian process in `auto` is worth at one level: `python benchmarks/quadrature.py`.

On problems of the leaderboard whose Q is neither quadratic nor linear, at equal cost: `auto` with
and without its process on the same draws, and Sobol numbers with values only, twice as many. A
number is the geometric mean over cells (Q, temperature, level) of EED ratios, and the worst cell.
Finished cells are skipped; with the leaderboard's truths at hand it takes ten minutes on 2 cores.
"""

import json
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import steinflow as sf
from steinflow.diagnostics import EED_CAP
from steinflow.io.files import write_json
from steinflow.study.leaderboard.grid import EASY, Board, Unit, groups, support_of
from steinflow.study.leaderboard.problems import boltzmann_of
from steinflow.study.leaderboard.run import seed_of
from steinflow.study.leaderboard.versions import kept

RESULTS = Path(__file__).parent / "results"
BOARD, TRIALS, AT_ONCE = Board(), 8, 4
CELLS = [(s, 2, law, n) for s in ("box", "real") for law in ("pi", "lag") for n in (16, 64)]
CELLS += [(s, 6, "pi", 16) for s in ("box", "real")]
METHODS = {  # and how many draws a unit of the budget buys
    "with": (sf.auto(), 0.5),
    "without": (sf.auto(quadrature=False), 0.5),
    "values": (sf.Method(None, sf.NoiseExpectation(), quasi=True), 1.0),
}


@partial(jax.jit, static_argnames="budget")
def errors(key: Any, problem: Any, support: Any, budget: int) -> Any:
    """Squared errors of all methods, [states, trials, methods, levels]."""
    levels = jax.tree.map(jnp.asarray, BOARD.levels)

    def state(at: Any) -> Any:
        key, tau, members, x, score = at
        target = boltzmann_of(problem.kind, tau, members, support)

        def trial(key: Any) -> Any:
            keys = jax.random.split(key, levels.alpha.size)
            found = [
                jax.vmap(
                    lambda k, x, level, m=method, n=int(budget * share): (
                        sf.score_target(k, target, x, level, m, num_draws=n).score
                    )
                )(keys, x, levels)
                for method, share in METHODS.values()
            ]
            return jnp.stack([jnp.sum((one - score) ** 2, axis=-1) for one in found])

        return jax.lax.map(trial, jax.random.split(key, TRIALS), batch_size=AT_ONCE)

    keys = jax.random.split(key, problem.tau.size)
    return jax.lax.map(state, (keys, problem.tau, problem.members, problem.x, problem.score))


def cell(support: str, dim: int, law: str, budget: int) -> dict[str, dict[str, list[float]]]:
    """EED of every method at every level, by Q and temperature."""
    unit, found = Unit(support, dim, law), {}
    for group in groups(BOARD, unit):
        if group.family in EASY:
            continue
        first, second = jax.random.split(seed_of(BOARD, unit, group))
        problem = kept(RESULTS / "leaderboard", BOARD, unit, group, first)
        mse = np.asarray(errors(second, problem, support_of(support), budget)).mean(1).sum(0)
        eed = np.minimum(np.asarray(problem.trace).sum(axis=0) / mse, EED_CAP)
        found[f"{group.family} {group.tau:g}"] = dict(zip(METHODS, eed.tolist(), strict=True))
    return found


def ratio(cells: dict[str, Any], ours: str, theirs: str) -> np.ndarray:
    """MSE of ours over theirs: EED_theirs/EED_ours, [problems, levels]."""
    return np.array([np.divide(one[theirs], one[ours]) for one in cells.values()])


def main() -> None:
    """Run what is missing, and print the table."""
    jax.config.update("jax_enable_x64", True)
    path = RESULTS / "quadrature.json"
    cells: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    print("| cell | with over without; worst | over values; worst | without over values; worst |")
    print("|---|---|---|---|")
    for at in CELLS:
        name = "-".join(str(part) for part in at)
        if name not in cells:
            cells[name] = cell(*at)
            write_json(path, cells)
        one, row = cells[name], [name]
        for ours, theirs in (("with", "without"), ("with", "values"), ("without", "values")):
            found = ratio(one, ours, theirs)
            row.append(f"{np.exp(np.mean(np.log(found))):.2f}; {found.max():.2f}")
        print(f"| {' | '.join(row)} |", flush=True)
    for name in ("box-2-pi-16", "box-2-pi-64"):
        for ours, theirs in (("with", "without"), ("with", "values")):
            by_level = np.exp(np.mean(np.log(ratio(cells[name], ours, theirs)), axis=0))
            print(f"{name} by level, {ours} over {theirs}: {np.round(by_level, 2)}")


if __name__ == "__main__":
    main()
