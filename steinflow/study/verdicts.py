"""From samples to claims.json: every claim at every level, convention and N."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from steinflow.study.claims import CLAIMS, Claim, judge
from steinflow.study.conditions import Cell, Grid
from steinflow.study.evidence import Evidence, Table, evidence, finite_ratio_change
from steinflow.study.uncertainty import Floats, resampling, simultaneous


class Samples(NamedTuple):
    """The scores that verdicts are bootstrapped from, of one cell."""

    pair: Floats  # [2, 2, T, X, d]: (least, most N) x (noise, gradient), calibrated
    network: Floats  # [N, T]: cosine of the two losses' parameter gradients
    score: Floats  # [X, d]: s*
    exact_ratio: float


def present(rows: pl.DataFrame, grid: Grid) -> set[tuple[str, float, float, int, bool]]:
    """The cells whose noise and gradient rows are there at the largest and smallest N."""
    needed = rows.filter(
        pl.col("estimator").is_in(["noise", "gradient"])
        & (pl.col("convention") == "calibrated")
        & pl.col("num_draws").is_in([grid.num_draws[0], grid.num_draws[-1]])
    )
    keys = ["q", "tau", "alpha", "dim", "box"]
    counts = needed.group_by(keys).len()
    want = 2 * len({grid.num_draws[0], grid.num_draws[-1]})
    return {tuple(row[:5]) for row in counts.rows() if row[5] == want}


def of_cell(
    sample: Samples, how: Floats, scales: tuple[float, float], limits: tuple[float, float]
) -> Evidence:
    """Bootstrap statistics of one cell in one scale convention."""
    least, most = ((scales[0] * noise, scales[1] * other) for noise, other in sample.pair)
    return evidence(least, most, sample.score, how, limits, sample.exact_ratio)


def of_network(sample: Samples, how: Floats, known: Evidence) -> Evidence:
    """The same with the cosine of parameter gradients in the place of the scores'."""
    return known._replace(
        most=known.most._replace(cosine=how @ sample.network[-1]),
        least=known.least._replace(cosine=how @ sample.network[0]),
    )


def judge_all(
    rows: pl.DataFrame, samples: Mapping[Cell, Samples], grid: Grid
) -> list[dict[str, Any]]:
    """claims.json: verdicts at the first level, largest N, calibrated; the rest beside.

    Conditions whose rows are missing make the claims that need them incomplete.
    """
    existing = present(rows, grid)
    dim = grid.dims[0]
    how = resampling(grid.trials, grid.seed)
    selected = {
        cell: sample
        for cell, sample in samples.items()
        if cell.dim == dim and (cell.family, cell.tau, cell.alpha, cell.dim, cell.box) in existing
    }

    def table(alpha: float, printed: bool = False, literal: bool = False) -> Table:
        sigma = float(np.sqrt(1.0 - alpha**2))
        scales = (sigma, alpha) if printed else (1.0, 1.0)
        limits = (1.0, 1.0) if literal else scales
        return {
            (cell.family, cell.tau): of_cell(sample, how, scales, limits)
            for cell, sample in selected.items()
            if cell.alpha == alpha
        }

    main = table(grid.alphas[0])
    printed = table(grid.alphas[0], printed=True)
    literal = table(grid.alphas[0], printed=True, literal=True)
    network = {
        (cell.family, cell.tau): of_network(sample, how, main[cell.family, cell.tau])
        for cell, sample in selected.items()
        if cell.alpha == grid.alphas[0]
    }
    again = {alpha: table(alpha) for alpha in grid.alphas[1:]}
    verdicts = []
    for claim in CLAIMS:
        entry = judge(claim, main, grid.trials)
        beside = {
            "as printed": brief(claim, printed, grid),
            f"N = {grid.num_draws[0]}": brief(claim, fewest(main), grid),
        }
        if claim.id.startswith("alignment"):
            beside["parameter gradients"] = brief(claim, network, grid)
        if claim.id == "both-consistent":
            beside["as printed, of s* itself"] = brief(claim, literal, grid)
        for alpha, other in again.items():
            beside[f"alpha = {alpha:g}"] = brief(claim, other, grid)
        if claim.exact and entry["conditions"]:
            entry["finite_n"] = finite_ratios(main, claim, grid.trials)
        entry |= {"alpha": grid.alphas[0], "dim": dim, "num_draws": grid.num_draws[-1]}
        verdicts.append(entry | {"beside": beside})
    return verdicts


def brief(claim: Claim, table: Table, grid: Grid) -> dict[str, Any]:
    """Only the verdict and its number."""
    entry = judge(claim, table, grid.trials)
    return {key: entry[key] for key in ("verdict", "estimate", "low", "high")}


def fewest(table: Table) -> Table:
    """The same evidence with the smallest N in the place of the largest."""
    return {at: Evidence(known.least, known.least, known.exact_ratio)
            for at, known in table.items()}  # fmt: skip


def finite_ratios(table: Table, claim: Claim, trials: int) -> list[dict[str, Any]]:
    """How much the ratio of the estimates' norms varies with tau at the largest N."""
    intervals = simultaneous(
        {at: finite_ratio_change(table, at) for at in claim.conditions}, trials
    )
    return [{"q": at[0]} | interval._asdict() for at, interval in intervals.items()]
