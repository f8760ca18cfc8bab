"""Bias on boxes: `auto` has none, and a gradient that ignores the bounds has the exact flux.

    make bench-box        # about 8 minutes on a core; cells finished with this code are skipped

Sixteen replicates of 2^12 draws at 32 points x ~ p in every cell of preset `box` (d = 2), and of
the same families on [-2, 1] x [0, 5]. In every component of every cell where ESS >= 100 at all
points: t = mean error over its standard error from the replicates, two-sided tests at a
family-wise false alarm of 1 % (Bonferroni over components, 15 degrees of freedom). The other
cells are listed; those of their points where ESS >= 100 are tested apart.
"""

import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from provenance import stamp
from scipy import stats

import steinflow as sf
from steinflow.draws import uniforms
from steinflow.io.files import write_json
from steinflow.study.conditions import FAMILIES, PRESETS, cells
from steinflow.study.leaderboard.versions import ROWS as CODE
from steinflow.study.leaderboard.versions import code_version

RESULTS = Path(__file__).parent / "results" / "box-bias.json"
REPLICATES, DRAWS, POINTS, LEAST_ESS, FALSE_ALARM = 16, 2**12, 32, 100.0, 0.01
LARGE = 4.0  # |t| that a result keeps
BOXES = {
    "[-1, 1]^2": sf.Box(-1.0, 1.0),
    "[-2, 1] x [0, 5]": sf.Box(np.array([-2.0, 0.0]), np.array([1.0, 5.0])),
}


@jax.jit
def cell(target: Any, level: Any) -> dict[str, Any]:
    """Errors in standard errors, [x, d], and the effective sample size, [x]."""
    key = jax.random.key(11)
    action = target.quantile(uniforms(jax.random.fold_in(key, 0), POINTS, 2, jnp.float64))
    noise = jax.random.normal(jax.random.fold_in(key, 1), (POINTS, 2), jnp.float64)
    xs = level.alpha * action + level.sigma * noise
    exact = jax.lax.map(lambda x: target.exact_score(x, level), xs)
    flux = jax.lax.map(lambda x: target.exact_flux(x, level), xs)
    keys = jax.random.split(jax.random.fold_in(key, 2), (POINTS, REPLICATES))

    def scores(method: str) -> Any:
        def one(at: Any) -> Any:
            key, x = at
            estimate = sf.score_target(key, target, x, level, method, num_draws=DRAWS)
            return estimate.score, estimate.info.ess

        return jax.lax.map(lambda at: jax.lax.map(lambda k: one((k, at[1])), at[0]), (keys, xs))

    def t(estimate: Any, truth: Any) -> Any:
        error = estimate - truth[:, None]
        spread = jnp.std(error, axis=1, ddof=1) / jnp.sqrt(REPLICATES)
        return jnp.mean(error, axis=1) / jnp.maximum(spread, 1e-9 * (1.0 + jnp.abs(truth)))

    ours, ess = scores("auto")
    theirs, _ = scores("idem")
    return {
        "ess": jnp.min(jnp.mean(ess, axis=1)),
        "auto": jnp.where(jnp.mean(ess, axis=1)[:, None] >= LEAST_ESS, t(ours, exact), jnp.nan),
        "idem": jnp.where(
            jnp.mean(ess, axis=1)[:, None] >= LEAST_ESS, t(theirs, exact + flux), jnp.nan
        ),
        "idem from truth": jnp.max(jnp.abs(t(theirs, exact))),
    }


def summary(result: dict[str, Any]) -> dict[str, Any]:
    """What is kept of a cell: numbers of components, and those statistics that are large."""
    entry = {name: round(float(result[name]), 2) for name in ("ess", "idem from truth")}
    for method in ("auto", "idem"):
        t = np.abs(result[method][np.isfinite(result[method])])
        entry[method] = {"tested": t.size, "large": np.round(np.sort(t[t > LARGE]), 2).tolist()}
    return entry


def main() -> None:
    """Run what is missing, and print the verdicts."""
    jax.config.update("jax_enable_x64", True)
    saved: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    code = code_version(CODE)
    entries: dict[str, Any] = saved["cells"] if saved.get("code") == code else {}
    for place, box in BOXES.items():
        for at in cells(PRESETS["box"]):
            name = f"{place} {at.name}"
            if name not in entries:
                target = FAMILIES[at.family](at.tau, 2, box)
                entries[name] = summary(jax.device_get(cell(target, at.level)))
                write_json(RESULTS, {"code": code, "cells": entries})
                stamp(RESULTS)
                print(name, flush=True)
    for place in BOXES:
        at_place = {k: v for k, v in entries.items() if k.startswith(place)}
        sure = [v for v in at_place.values() if v["ess"] >= LEAST_ESS]
        unsure = [v for v in at_place.values() if v["ess"] < LEAST_ESS]
        for method in ("auto", "idem"):
            against = "truth" if method == "auto" else "truth + flux"
            for name, some in (("", sure), (" in the listed cells", unsure)):
                tested = sum(v[method]["tested"] for v in some)
                t = np.array([t for v in some for t in v[method]["large"]])
                limit = stats.t.ppf(1 - FALSE_ALARM / 2 / max(tested, 1), REPLICATES - 1)
                print(
                    f"{place}: {method} against {against}{name}: {tested} components, largest |t| "
                    f"{np.max(t, initial=LARGE):.2f}, limit {limit:.2f}, "
                    f"{int(np.sum(t > limit))} beyond"
                )
        far = np.mean([v["idem from truth"] > 10 for v in at_place.values()])
        print(f"{place}: idem is over 10 standard errors from the truth in {far:.0%} of the cells")
        unsettled = [
            k.removeprefix(place).strip() for k, v in at_place.items() if v["ess"] < LEAST_ESS
        ]
        print(f"{place}: ESS under {LEAST_ESS:g} at a point of: {', '.join(unsettled) or 'none'}\n")


if __name__ == "__main__":
    main()
