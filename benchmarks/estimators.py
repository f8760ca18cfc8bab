"""What each part of `auto` is worth: the leaderboard's contest with parts taken away.

    make bench-estimators            # about 20 minutes on 2 cores; finished cells are skipped

Random networks over pairs (the first eight states of the leaderboard: those that choices were
made on), x around an exact action of the policy (pi) or of one five times too warm (lag). A
number is a ratio of mean squared errors summed over the states: a variant's over that of the
published method which is best in that very cell, on the same trials.
"""

import argparse
import json
import time
from itertools import product
from pathlib import Path
from typing import Any

import jax
import numpy as np

import steinflow as sf
from steinflow.diagnostics import EED_CAP
from steinflow.io.files import write_json
from steinflow.study.leaderboard.contest import PUBLISHED, our_contest, published_contest
from steinflow.study.leaderboard.grid import Board, Group, Unit, support_of
from steinflow.study.leaderboard.problems import problem

RESULTS = Path(__file__).parent / "results" / "estimators.json"
BOARD = Board(states=8, trials=16)
AUTO = sf.auto()
VARIANTS = {
    "auto": AUTO,
    "one Stein term": AUTO._replace(estimator=sf.SteinPolynomial(1)),
    "two Stein terms": AUTO._replace(estimator=sf.SteinPolynomial(2)),
    "scalar coefficient": AUTO._replace(estimator=sf.ControlVariate(sf.InSample("scalar", 1.0))),
    "no control variate": AUTO._replace(estimator=sf.NoiseExpectation()),
    "no fitted proposal": AUTO._replace(proposal=None),
    "plain fits": AUTO._replace(proposal=sf.FittedProposal(reshaped=False)),
    "independent draws": AUTO._replace(quasi=False),
}


def cell(support: str, dim: int, law: str, tau: float, budget: int) -> dict[str, list[float]]:
    """EED of every variant and of the best published method, by level."""
    posed = problem(BOARD, Unit(support, dim, law), Group("pairs", tau), jax.random.key(1))
    given = (jax.random.key(2), posed, BOARD.levels, support_of(support), budget, BOARD.trials)
    losses = [published_contest(*given), our_contest(*given, tuple(VARIANTS.values()))]
    mse = np.concatenate(losses, axis=1).mean(axis=0).sum(axis=1)
    trace, hidden = (np.asarray(t).sum(axis=0) for t in (posed.trace, posed.latent_trace))
    names = (*PUBLISHED[support], *VARIANTS, "one level a state")
    eed = {
        name: np.minimum((hidden if name == "rfm" else trace) / row, EED_CAP)
        for name, row in zip(names, mse, strict=True)
    }
    best = np.max([eed[name] for name in PUBLISHED[support]], axis=0)
    ours = {name: eed[name].tolist() for name in names[len(PUBLISHED[support]) :]}
    return {"best published": best.tolist(), **ours}


def main() -> None:
    """Run what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=1200.0, help="stop after so long")
    until = time.monotonic() + parser.parse_args().seconds
    jax.config.update("jax_enable_x64", True)
    cells: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    grid = list(product(("box", "real"), (2, 6, 17), ("pi", "lag"), BOARD.taus, (16, 64)))
    for at in grid:
        name = "-".join(str(part) for part in at)
        if name not in cells and time.monotonic() < until:
            begun = time.monotonic()
            cells[name] = cell(*at)
            write_json(RESULTS, cells)
            print(f"{name}: {time.monotonic() - begun:.1f} s", flush=True)
    print(f"\n{len(cells)} of {len(grid)} cells; geometric mean of the ratios, and the worst\n")
    print(f"| {'variant':19} | box, pi | box, lag | R^d, pi | R^d, lag | worst |")
    print("|---|---|---|---|---|---|")
    for name in (*VARIANTS, "one level a state"):
        ratio = {k: np.divide(v["best published"], v[name]) for k, v in cells.items()}
        row = []
        for where, law in product(("box", "real"), ("pi", "lag")):
            some = [r for k, r in ratio.items() if k.startswith(where) and f"-{law}-" in k]
            row.append(f"{np.exp(np.mean(np.log(some))):.3f}" if some else "-")
        print(f"| {name:19} | {' | '.join(row)} | {max(map(np.max, ratio.values())):.3g} |")


if __name__ == "__main__":
    main()
