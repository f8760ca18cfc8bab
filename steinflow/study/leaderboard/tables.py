"""Tables of the leaderboard: who wins where, where auto is worst, and what to use."""

import numpy as np
import polars as pl

from steinflow.study.leaderboard.compare import (
    CELL,
    RIVALS,
    against,
    best,
    log_eed,
    log_ratio,
    oracle,
    tabulate,
)
from steinflow.study.leaderboard.contest import PUBLISHED
from steinflow.study.leaderboard.lines import HARD

BEST = "best of each cell"
SIMPLE = {"values": ("qne",), "gradients": ("qne", "gradient", "cvsi", "rfm")}  # by what Q gives
SITUATION = ("support", "temperature", "noise", "budget")


def win_table(rows: pl.DataFrame, actions: pl.DataFrame) -> pl.DataFrame:
    """Shares of cells where auto is better, clearly better and clearly worse than each method."""
    lines = []
    for place, cells in tabulate(rows, actions).group_by("support", "dim", maintain_order=True):
        contests = {rival: against(cells, "auto", rival) for rival in PUBLISHED[str(place[0])]}
        for rival, (log, error) in (contests | {BEST: oracle(cells, "auto")}).items():
            shares = {
                "better": log < 0.0,
                "clearly_better": log < -1.96 * error,
                "clearly_worse": log > 1.96 * error,
            }
            line = dict(zip(("support", "dim", "rival"), (*place, rival), strict=True))
            line |= {"cells": cells.height, "ratio": float(np.exp(log.mean()))}
            lines.append(line | {name: float(share.mean()) for name, share in shares.items()})
    return pl.DataFrame(lines)


def worst_cells(rows: pl.DataFrame, actions: pl.DataFrame, count: int) -> pl.DataFrame:
    """The cells with the largest ratio of auto to the oracle; "best" is that of all trials."""
    cells = tabulate(rows, actions)
    log, error = oracle(cells, "auto")
    rivals = best(cells)
    table = cells.select(CELL).with_columns(
        ratio=np.exp(log),
        low=np.exp(log - 1.96 * error),
        high=np.exp(log + 1.96 * error),
        best=np.array(RIVALS)[rivals],
        eed_best=np.exp(np.choose(rivals, [log_eed(cells, rival) for rival in RIVALS])),
        eed_auto=np.exp(log_eed(cells, "auto")),
    )
    return table.sort("ratio", descending=True).head(count)


def decision_chart(rows: pl.DataFrame, actions: pl.DataFrame) -> pl.DataFrame:
    """For each situation the best simple method over its hard cells, and what auto saves over it.

    EED are geometric means; `saves` is how many times the EED of the simple method auto reaches.
    auto needs gradients: where Q gives only values, `saves` is what gradients would buy.
    """
    cells = tabulate(rows, actions).filter(HARD)
    cells = cells.with_columns(
        temperature=pl.when(pl.col("tau") <= 0.1)
        .then(pl.lit("τ ≤ 0.1"))
        .otherwise(pl.lit("τ > 0.1")),
        noise=pl.when(pl.col("alpha") <= 0.5).then(pl.lit("α ≤ 0.5")).otherwise(pl.lit("α > 0.5")),
    )
    lines = []
    for place, subset in cells.sort("support", "tau", "alpha", "budget").group_by(
        SITUATION, maintain_order=True
    ):
        for gives, names in SIMPLE.items():
            eed = {name: float(np.exp(log_eed(subset, name).mean())) for name in (*names, "auto")}
            simple = max(names, key=lambda name: eed[name])
            saves = float(np.exp(-log_ratio(subset, "auto", simple).mean()))
            use = "auto" if gives == "gradients" and saves > 1.0 else simple
            line = dict(zip(SITUATION, place, strict=True)) | {"gives": gives, "use": use}
            line |= {"simple": simple, "eed_simple": eed[simple], "eed_auto": eed["auto"]}
            lines.append(line | {"saves": saves})
    return pl.DataFrame(lines)
