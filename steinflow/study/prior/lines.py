"""What preset `prior` says, judged from its rows."""

from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from steinflow.diagnostics import EED_CAP
from steinflow.study.prior.problem import BLIND, METHODS, ROWS, WEIGHTED

Floats = NDArray[np.float64]
FALSE_ALARM = 0.05  # of all tests together
CELL = ["q", "tau", "alpha", "dim", "box"]
OTHERS = METHODS[:-1]


class Ratio(NamedTuple):
    """A geometric mean over cells with its 95 % interval, and the share of cells below 1."""

    cells: int
    estimate: float
    low: float
    high: float
    below: float


def holm(p_values: Floats) -> Floats:
    """p-values adjusted for their number (Holm, 1979): those below a level are rejected, with at
    most that probability of a false rejection among all."""
    order = np.argsort(p_values)
    factors = np.arange(p_values.size, 0, -1)
    adjusted = np.empty_like(p_values)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(factors * p_values[order]))
    return adjusted


def consistency(rows: pl.DataFrame) -> list[dict[str, Any]]:
    """A line an estimator: in how many cells the mean error at the largest budget, with a prior,
    is not zero."""
    largest = rows.filter(pl.col("prior") & (pl.col("budget") == rows["budget"].max()))
    sure = largest.filter(pl.col("tested") > 0)
    sure = sure.with_columns(adjusted=holm(sure["p_value"].cast(pl.Float64).to_numpy()))
    result = []
    for name in ROWS:
        subset = sure.filter(pl.col("estimator") == name)
        cells = largest.filter(pl.col("estimator") == name).height
        rejected = int((subset["adjusted"] < FALSE_ALARM).sum())
        verdict = "refuted" if rejected else "supported" if subset.height else "undecided"
        result.append({
            "estimator": name, "cells": cells, "tested": subset.height, "rejected": rejected,
            "components": int(subset["tested"].sum()),
            "largest_t": subset["largest_t"].max(), "least_p": subset["adjusted"].min(),
            "verdict": verdict,
        })  # fmt: skip
    return result


def mse_of(rows: pl.DataFrame, name: str) -> tuple[Floats, Floats]:
    """Logarithms of an estimator's MSE, not below that of 10^4 exact draws, and standard errors."""
    subset = rows.filter(pl.col("estimator") == name).sort(CELL)
    mse, floor = subset["mse"].to_numpy(), subset["trace"].to_numpy() / EED_CAP
    bounded = np.maximum(mse, floor)
    return np.log(bounded), np.where(mse > floor, subset["mse_se"].to_numpy() / bounded, 0.0)


def ratio(log: Floats, error: Floats) -> Ratio:
    """Of independent cells."""
    mean, half = float(log.mean()), 1.96 * float(np.sqrt(np.sum(error**2))) / log.size
    estimate, low, high = (float(np.exp(mean + k * half)) for k in (0, -1, 1))
    return Ratio(log.size, estimate, low, high, float(np.mean(log <= 0.0)))


def against_best(rows: pl.DataFrame, budget: int, others: tuple[str, ...]) -> Ratio:
    """MSE of auto over that of the best of others in each cell, with a prior. Which is best is
    seen on the same trials, which favours them; on a box rfm has a score of its own."""
    at_budget = rows.filter(pl.col("prior") & (pl.col("budget") == budget))
    log, error = mse_of(at_budget, "auto")
    each = [mse_of(at_budget, name) for name in others]
    boxes = at_budget.filter(pl.col("estimator") == "auto").sort(CELL)["box"].to_numpy()
    table = np.stack([
        np.where(boxes & (name == "rfm"), np.inf, pair[0])
        for name, pair in zip(others, each, strict=True)
    ])  # fmt: skip
    best = np.argmin(table, axis=0)
    beside = np.choose(best, [pair[1] for pair in each])
    return ratio(log - table.min(axis=0), np.hypot(error, beside))


def changes(rows: pl.DataFrame, budget: int) -> list[dict[str, Any]]:
    """A line an estimator: its error, its worth and its ESS with a prior and without."""
    result = []
    for name in METHODS:
        subset = rows.filter((pl.col("budget") == budget) & (pl.col("estimator") == name))
        both = [subset.filter(pl.col("prior") == prior) for prior in (True, False)]
        (log, error), (plain, beside) = (mse_of(part, name) for part in both)
        mse = ratio(log - plain, np.hypot(error, beside))._asdict()
        line: dict[str, Any] = {"estimator": name, "mse": mse}
        for key in ("eed", "ess"):
            mean = [float(np.exp(np.log(part[key].to_numpy()).mean())) for part in both]
            line |= {f"{key}_with": mean[0], f"{key}_without": mean[1]}
        result.append(line | {"num_draws": subset["num_draws"][0]})
    return result


def judge(rows: pl.DataFrame) -> dict[str, Any]:
    """prior.json: the claims with their verdicts, and the tables behind them."""
    tests = consistency(rows)
    by_name = {line["estimator"]: line for line in tests}
    named = [by_name[name] for name in METHODS]
    blind, weighted = by_name[BLIND], by_name[WEIGHTED]
    budgets = rows["budget"].unique().sort().to_list()
    best = [
        {"budget": budget, "others": who} | against_best(rows, budget, names)._asdict()
        for who, names in (("by name", OTHERS), ("with weighted samples", (*OTHERS, WEIGHTED)))
        for budget in budgets
    ]
    for line in best:
        line["verdict"] = below_one(line)
    claims = [
        claim("consistent", "Every estimator that is consistent without a prior is with one.",
              worst(named), named),
        claim("gradient-of-prior", "Gradient expectation needs the gradient of log μ: without it "
              "it is biased.", needed(blind), [blind]),
        claim("samples", "Noise expectation needs no density of μ: samples of μ, weighed by "
              "exp(Q/τ), are enough.", weighted["verdict"], [weighted]),
        claim("auto", "auto's error is at most that of the best other estimator of each cell, in "
              "the geometric mean.", worst(best[: len(budgets)]), best[: len(budgets)]),
    ]  # fmt: skip
    middle = budgets[len(budgets) // 2]
    return {"claims": claims, "tests": tests, "best": best, "budget": middle,
            "changes": changes(rows, middle)}  # fmt: skip


def claim(name: str, text: str, verdict: str, lines: list[dict[str, Any]]) -> dict[str, Any]:
    """A claim with the lines that decide it."""
    return {"id": name, "claim": text, "verdict": verdict, "lines": lines}


def worst(lines: list[dict[str, Any]]) -> str:
    """supported if all lines are, refuted if one is."""
    verdicts = {line["verdict"] for line in lines}
    return next(v for v in ("refuted", "undecided", "supported") if v in verdicts)


def needed(blind: dict[str, Any]) -> str:
    """Whether leaving something out was seen to bias: in all cells tested, in some, or in none."""
    if not blind["tested"]:
        return "undecided"
    if not blind["rejected"]:
        return "refuted"
    return "supported" if blind["rejected"] == blind["tested"] else "depends"


def below_one(line: dict[str, Any]) -> str:
    """Whether a ratio is significantly at most 1."""
    if line["high"] <= 1.0:
        return "supported"
    return "refuted" if line["low"] > 1.0 else "undecided"
