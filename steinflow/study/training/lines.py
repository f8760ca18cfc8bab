"""What preset `training` must show, judged from its rows."""

from typing import Any

import numpy as np
import polars as pl
from scipy.stats import t as student

LAST = 3  # checkpoints that are averaged into the final distance
DISTANCE = "sliced_wasserstein"


def finals(rows: pl.DataFrame) -> pl.DataFrame:
    """The final distance of every training: the mean of its last checkpoints."""
    keys = ["policy", "density", "method", "seed"]
    last = pl.col("steps").rank("ordinal", descending=True).over(keys) <= LAST
    return rows.filter(last).group_by(keys, maintain_order=True).agg(pl.col(DISTANCE).mean())


def compare(rows: pl.DataFrame) -> list[dict[str, Any]]:
    """A line a policy and density: auto's final distance beside the least of the others, with a
    paired 95 % interval over seeds, and after which share of the evaluations it is at noise's."""
    result, last = [], finals(rows)
    for (policy, density), subset in last.group_by("policy", "density", maintain_order=True):
        wide = subset.pivot(on="method", index="seed", values=DISTANCE).sort("seed")
        ends = {n: wide[n].to_numpy() for n in wide.columns if n != "seed"}
        auto = ends.pop("auto")
        ends.pop("noise-weighed", None)  # weighs its targets as auto does: for the report alone
        means = {name: float(values.mean()) for name, values in ends.items()}
        best = min(means, key=means.__getitem__)
        difference = auto - ends[best]
        seeds = difference.size
        half = (
            float(student.ppf(0.975, seeds - 1) * difference.std(ddof=1) / np.sqrt(seeds))
            if seeds > 1
            else None
        )
        result.append({
            "policy": policy, "density": density, "auto": float(auto.mean()),
            "best": best, "of_best": means[best], "half_width": half,
            "least": bool(difference.mean() <= (half or 0.0)),
            "share": share(rows, str(policy), str(density)),
        })  # fmt: skip
    return result


def share(rows: pl.DataFrame, policy: str, density: str) -> float | None:
    """The share of noise's evaluations after which auto is at noise's final distance; None if it
    never is."""
    subset = rows.filter((pl.col("policy") == policy) & (pl.col("density") == density))
    mean = subset.group_by("method", "evaluations").agg(pl.col(DISTANCE).mean()).sort("evaluations")
    noise, auto = (mean.filter(pl.col("method") == name) for name in ("noise", "auto"))
    goal = float(noise[DISTANCE].to_numpy()[-LAST:].mean())
    reached = auto.filter(pl.col(DISTANCE) <= goal)
    if not reached.height:
        return None
    return float(reached["evaluations"].to_numpy()[0] / noise["evaluations"].to_numpy()[-1])
