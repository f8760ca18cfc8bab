"""Do the intervals of a study cover, and do its verdicts agree with what a far larger one finds?

    python benchmarks/calibration.py [--studies 1000] [--trials 100] [--points 32]

A thousand reduced studies of the paper's four Q-functions and eight temperatures with a seed each,
in one process, compiled once: trials and query points of the preset, one noise level, N = 8 and 64.
The truth is one study of 250 times the trials: its statistics are unbiased, so they are the means
of those of 250 further seeds. A family of intervals covers where every condition of a claim does;
95 % are promised.
Blocks of a hundred seeds that are done are skipped.
"""

import argparse
import hashlib
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from provenance import stamp
from scipy.stats import binomtest

import steinflow
from steinflow.draws import prefix
from steinflow.estimators import GradientExpectation, NoiseExpectation
from steinflow.io.files import write_json
from steinflow.methods import default_proposal
from steinflow.points import Point
from steinflow.stages import from_uniforms
from steinflow.study.cell import at_size, randomness
from steinflow.study.claims import CLAIMS, judge
from steinflow.study.conditions import Cell, Grid, cells
from steinflow.study.evidence import Evidence, Table, evidence
from steinflow.study.uncertainty import Statistics, resampling

RESULTS = Path(__file__).parent / "results" / "calibration.json"
PACKAGE = Path(steinflow.__file__).parent
SOURCES = ("study/claims.py", "study/evidence.py", "study/uncertainty.py", "study/cell.py",
           "study/conditions.py", "study/measure.py", "estimators/*.py", "proposals/*.py",
           "targets/*.py", "draws/*.py", "stages.py", "points.py", "sobol.py", "methods.py",
           "supports.py", "levels.py", "diagnostics.py")  # fmt: skip
BLOCK = 100
TRUTH = 250  # studies in one
FAR = 1_000_000  # seeds of the truth begin here
PAIR = {"noise": NoiseExpectation(), "gradient": GradientExpectation()}


def code() -> str:
    """A hash of what intervals and verdicts are made of."""
    paths = [path for name in SOURCES for path in sorted(PACKAGE.glob(name))]
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()[:12]


def studies(grid: Grid) -> tuple[list[Cell], Callable[[int], tuple[Any, Any]]]:
    """The cells of a grid, and what gives the scores of all of them for a seed."""
    chosen = list(cells(grid))
    targets = jax.tree.map(lambda *leaves: jnp.stack(leaves), *(cell.target for cell in chosen))
    level = chosen[0].level

    @jax.jit
    def of_seed(key: jax.Array) -> tuple[jax.Array, jax.Array]:
        """(least, most N) x (noise, gradient) [c, 2, 2, t, x, d] and s* [c, x, d]."""
        random = randomness(key, grid, 2)
        [shared] = random.draws

        def of_cell(target: Any) -> tuple[jax.Array, jax.Array]:
            x = level.alpha * target.quantile(random.action) + level.sigma * random.noise
            proposal = default_proposal(target.support)

            def one(uniform: jax.Array, x: jax.Array) -> jax.Array:
                point = Point(x, level, target.support)
                draws = from_uniforms(uniform, target, point, proposal)
                sizes = [at_size(prefix(draws, n), point, PAIR).score for n in grid.num_draws]
                return jnp.stack(sizes)

            scores = jax.vmap(jax.vmap(one), (0, None))(shared, x)  # [t, x, n, 2, d]
            exact = jax.vmap(lambda point: target.exact_score(point, level))(x)
            return jnp.moveaxis(scores, (2, 3), (0, 1)), exact

        return jax.lax.map(of_cell, targets)

    return chosen, lambda seed: jax.device_get(of_seed(jax.random.key(seed)))


def table(chosen: list[Cell], scores: Any, exact: Any, how: Any) -> Table:
    """Evidence of every cell."""
    return {
        (cell.family, cell.tau): evidence(
            *score, truth, how, (1.0, 1.0), float(cell.level.sigma / cell.alpha)
        )
        for cell, score, truth in zip(chosen, scores, exact, strict=True)
    }


def truth_of(grid: Grid, count: int, say: Callable[[str], None]) -> Table:
    """The evidence of `count` studies as one."""
    chosen, scores_of = studies(grid)
    equal = resampling(grid.trials, 0)[:1]
    total: dict[Any, Any] = {}
    began = time.monotonic()
    for k in range(count):
        for at, one in table(chosen, *scores_of(FAR + k), equal).items():
            parts = np.stack([np.concatenate(one.most), np.concatenate(one.least)])
            total[at] = total.get(at, 0.0) + parts / count
        if k == count // 20:
            say(f"the truth: {(time.monotonic() - began) * count / (k + 1) / 60:.0f} minutes")
    ratio = float(chosen[0].level.sigma / chosen[0].alpha)
    return {
        at: Evidence(*(Statistics(*(row[:, None])) for row in rows), ratio)
        for at, rows in total.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=1000)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--points", type=int, default=32)
    given = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    say = partial(print, flush=True)
    grid = Grid("paper", given.trials, given.points, num_draws=(8, 64), alphas=(0.8,))
    about = {"trials": given.trials, "query_points": given.points, "num_draws": grid.num_draws,
             "truth": TRUTH, "code": code()}  # fmt: skip
    results: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    if results.get("about") != json.loads(json.dumps(about)):
        results = {"about": about, "blocks": {}}
    claims = [claim for claim in CLAIMS if not claim.exact]  # computed, not estimated
    blocks = [k for k in range(max(1, given.studies // BLOCK)) if str(k) not in results["blocks"]]
    if "truth" not in results:
        truth = truth_of(grid, TRUTH, say)
        results["truth"] = {
            c.id: {named(*at): float(c.statistic(truth, at)[0]) for at in c.conditions}
            for c in claims
        }
        results["verdicts"] = {
            c.id: judge(c, pointed(truth), given.trials)["verdict"] for c in claims
        }
        write_json(RESULTS, results)
    if blocks:
        chosen, scores_of = studies(grid)
    for block in blocks:
        began, judgements = time.monotonic(), []
        for seed in range(BLOCK * block, BLOCK * (block + 1)):
            how = resampling(grid.trials, seed)
            known = table(chosen, *scores_of(seed), how)
            judgements.append(judged(claims, known, results["truth"], given.trials))
        results["blocks"][str(block)] = {
            claim.id: {
                "covered": sum(one[claim.id][0] for one in judgements),
                "verdicts": [one[claim.id][1] for one in judgements],
                "missed": [at for one in judgements for at in one[claim.id][2]],
            }
            for claim in claims
        }
        write_json(RESULTS, results)
        say(f"block {block}: {(time.monotonic() - began) / BLOCK:.2f} s a study")
    stamp(RESULTS)
    report(results, say)


def named(family: str, tau: float, estimator: str = "") -> str:
    """A condition's name in the file."""
    return f"{family} {tau:g} {estimator}".strip()


def pointed(truth: Table) -> Table:
    """The same with a second replicate like the first, whose intervals are points."""

    def twice(s: Statistics) -> Statistics:
        return Statistics(*(np.repeat(values, 3) for values in s))

    return {at: one._replace(most=twice(one.most), least=twice(one.least))
            for at, one in truth.items()}  # fmt: skip


def judged(claims: list[Any], known: Table, right: Any, trials: int) -> dict[str, Any]:
    """claim -> whether all intervals cover, the verdict, and where they do not."""
    result = {}
    for claim in claims:
        entry = judge(claim, known, trials)
        missed = []
        for one in entry["conditions"]:
            at = named(one["q"], one["tau"], one.get("estimator", ""))
            exact = right[claim.id][at]
            slack = 1e-9 * (1.0 + abs(exact))
            if not one["low"] - slack <= exact <= one["high"] + slack:
                missed.append(at)
        result[claim.id] = not missed, entry["verdict"], missed
    return result


def report(results: dict[str, Any], say: Callable[[str], None]) -> None:
    """A line a claim: coverage, opposite verdicts, and where intervals miss most."""
    opposite = {"supported": "refuted", "refuted": "supported"}
    for name, verdict in results["verdicts"].items():
        parts = [block[name] for block in results["blocks"].values()]
        count = BLOCK * len(parts)
        covered = sum(part["covered"] for part in parts)
        low, high = binomtest(covered, count).proportion_ci(method="wilson")
        verdicts = [v for part in parts for v in part["verdicts"]]
        wrong = sum(v == opposite.get(verdict) for v in verdicts)
        missed = [at for part in parts for at in part["missed"]]
        worst = max(set(missed), key=missed.count) if missed else "none"
        say(
            f"{name:26} {100 * covered / count:5.1f} % [{100 * low:.1f}, {100 * high:.1f}], truth "
            f"{verdict}, {wrong} of {count} opposite; most missed: {worst} ({missed.count(worst)})"
        )


if __name__ == "__main__":
    main()
