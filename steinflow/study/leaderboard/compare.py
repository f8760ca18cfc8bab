"""From rows to paired comparisons at equal cost: logarithms of MSE ratios, with their errors.

    MSE ratio of A to B = EED_B/EED_A,   EED = min(10^4, trace/MSE)
    Var log ratio = v_A + v_B,   v = (standard error/MSE)²

Pairs share states and points; their draws are independent. A capped EED has no error: two capped
values have ratio 1 exactly.
"""

from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from steinflow.diagnostics import EED_CAP
from steinflow.study.leaderboard.contest import OURS, PUBLISHED

Floats = NDArray[np.float64]
CELL = ("support", "dim", "distribution", "q", "tau", "budget", "alpha")
SHARED = CELL[:-1]  # the levels of a problem share their draws
DRIVEN = ("dim", "q", "tau", "budget")  # what the energy distances vary over
RIVALS = PUBLISHED["box"]
ALIASES = {"sdac": "qne", "idem": "gradient"}  # what they are on R^d
PARTS = ("", "_a", "_b", "_choice", "_held")  # all, halves of the trials, halves of the states
WORTHLESS = 1e300  # the MSE of an estimate that is not finite


class Ratios(NamedTuple):
    """Logarithms of MSE ratios in n cells, and their standard errors."""

    log: Floats
    error: Floats


class Interval(NamedTuple):
    """An estimate with its 95 % interval."""

    estimate: float
    low: float
    high: float


def left_out(rows: pl.DataFrame) -> pl.DataFrame:
    """Cells with a method whose MSE is less than ten times that of the truth itself."""
    doubted = pl.col("reference_mse") > 0.1 * pl.col("mse")
    groups = rows.filter(doubted.any().over(CELL)).group_by(CELL, maintain_order=True)
    return groups.agg(pl.col("reference_mse").max(), least_mse=pl.col("mse").min())


def disputed(actions: pl.DataFrame) -> pl.DataFrame:
    """Where actions driven by auto are clearly farther from pi than those driven by rfm."""
    if actions.is_empty():
        return actions
    auto, rfm = (actions.filter(pl.col("method") == name) for name in ("auto", "rfm"))
    both = auto.join(rfm, on=DRIVEN, suffix="_rfm")
    noise = (pl.col("energy_se") ** 2 + pl.col("energy_se_rfm") ** 2).sqrt()
    return both.filter(pl.col("energy") - pl.col("energy_rfm") > 2.0 * noise).select(DRIVEN)


def tabulate(rows: pl.DataFrame, actions: pl.DataFrame) -> pl.DataFrame:
    """One row a cell that has all its methods and a truth; columns "quantity:method"."""
    retained = rows.join(left_out(rows), on=CELL, how="anti")
    real = retained.filter(pl.col("support") == "real")
    same = [
        real.filter(pl.col("method") == known).with_columns(method=pl.lit(name))
        for name, known in ALIASES.items()
    ]
    retained = pl.concat([retained, *same]).with_columns(
        trace_a="trace",
        trace_b="trace",
        trace_held=pl.col("trace") - pl.col("trace_choice"),
        mse_held=pl.col("mse") - pl.col("mse_choice"),
    )
    traces, mses = ([f"{name}{part}" for part in PARTS] for name in ("trace", "mse"))
    wide = [
        pl.when(pl.col(name).is_finite())
        .then(pl.col(name))
        .otherwise(WORTHLESS if name in mses else 0.0)
        .filter(pl.col("method") == method)
        .first()
        .alias(f"{name}:{method}")
        for name in (*traces, *mses, "mse_se")
        for method in (*RIVALS, *OURS)
    ]
    cells = retained.group_by(CELL, maintain_order=True).agg(wide).drop_nulls()
    cells = cells.sort("support", "dim", maintain_order=True)
    doubted = set(disputed(actions).iter_rows())
    places = cells.select("support", *DRIVEN).iter_rows()
    flags = [support == "box" and tuple(problem) in doubted for support, *problem in places]
    return cells.with_columns(disputed=pl.Series(flags, dtype=pl.Boolean))


def at_equal_time(cells: pl.DataFrame, times: pl.DataFrame) -> pl.DataFrame:
    """The cells as if every published method had as many evaluations as fit in auto's time.

    Its MSE changes by (time of auto/its time)^slope, the slope that it has between two budgets of
    the same problem; a single budget has slope -1.
    """
    budgets = sorted(cells["budget"].unique().to_list())
    for rival in RIVALS:
        log = np.log(bounded_mse(cells, rival))
        slope = slopes(cells, log, budgets)
        factor = pl.Series(time_ratio(cells, times, rival) ** np.minimum(slope, 0.0))
        mses = [*(f"mse{part}:{rival}" for part in PARTS), f"mse_se:{rival}"]
        cells = cells.with_columns([pl.col(name) * factor for name in mses])
    return cells


def slopes(cells: pl.DataFrame, log: Floats, budgets: list[int]) -> Floats:
    """How the logarithm of an MSE changes with that of the budget: to the next budget, or to the
    largest from the one before."""
    places = [dict(zip(CELL, place, strict=True)) for place in cells.select(CELL).iter_rows()]
    known = {tuple(place.values()): value for place, value in zip(places, log, strict=True)}
    values = []
    for place in places:
        upper = min(budgets.index(place["budget"]) + 1, len(budgets) - 1)
        pair = [budgets[max(upper - 1, 0)], budgets[upper]]
        ends = [known.get(tuple((place | {"budget": budget}).values())) for budget in pair]
        low, high = ends
        if low is None or high is None or pair[0] == pair[1]:
            values.append(-1.0)
        else:
            values.append((high - low) / np.log(pair[1] / pair[0]))
    return np.array(values)


def time_ratio(cells: pl.DataFrame, times: pl.DataFrame, rival: str) -> Floats:
    """The time of auto over that of a published method, in every cell."""
    known = {row["support"] + str((row["dim"], row["budget"])) + row["method"]: row["milliseconds"]
             for row in times.to_dicts()}  # fmt: skip
    ratios = []
    for support, dim, budget in cells.select("support", "dim", "budget").iter_rows():
        name = rival if f"{support}{(dim, budget)}{rival}" in known else ALIASES.get(rival, rival)
        place = f"{support}{(dim, budget)}"
        ratios.append(known[place + "auto"] / known[place + name])
    return np.array(ratios)


def column(cells: pl.DataFrame, quantity: str, method: str) -> Floats:
    """A measured quantity of a method in every cell."""
    return cells[f"{quantity}:{method}"].to_numpy()


def bounded_mse(cells: pl.DataFrame, method: str, part: str = "") -> Floats:
    """The MSE, or that of 10^4 exact draws if it is less."""
    floor = column(cells, f"trace{part}", method) / EED_CAP
    return np.maximum(column(cells, f"mse{part}", method), floor)


def log_eed(cells: pl.DataFrame, method: str, part: str = "") -> Floats:
    """log of trace/MSE, capped, over a part of the trials or states."""
    return np.log(column(cells, f"trace{part}", method) / bounded_mse(cells, method, part))


def eed_error(cells: pl.DataFrame, method: str) -> Floats:
    """Standard error of log EED, zero where that is capped."""
    uncapped = column(cells, "mse", method) * EED_CAP > column(cells, "trace", method)
    return uncapped * column(cells, "mse_se", method) / bounded_mse(cells, method)


def log_ratio(cells: pl.DataFrame, ours: str, rival: str, part: str = "") -> Floats:
    """log of the MSE ratio of ours to a rival.

    rfm lives in the latent of a box: where the actions it drives are clearly the better ones, a
    win over it does not count.
    """
    log = log_eed(cells, rival, part) - log_eed(cells, ours, part)
    if rival == "rfm":
        log = np.where(cells["disputed"].to_numpy(), np.maximum(log, 0.0), log)
    return log


def ratio_variance(cells: pl.DataFrame, ours: str, rival: str) -> Floats:
    """Variance of the logarithm of their MSE ratio."""
    return eed_error(cells, ours) ** 2 + eed_error(cells, rival) ** 2


def against(cells: pl.DataFrame, ours: str, rival: str) -> Ratios:
    """Ours against one method."""
    variance = ratio_variance(cells, ours, rival)
    return Ratios(log_ratio(cells, ours, rival), np.sqrt(variance))


def best(cells: pl.DataFrame, part: str = "", latent: bool = True) -> NDArray[np.intp]:
    """Which published method has the highest EED in each cell; latent=False: not rfm on a box."""
    eed = np.stack([log_eed(cells, rival, part) for rival in RIVALS])
    if not latent:
        eed[RIVALS.index("rfm"), (cells["support"] == "box").to_numpy()] = -np.inf
    return np.argmax(eed, axis=0)


def versus(
    cells: pl.DataFrame, ours: str, which: NDArray[np.intp], part: str
) -> tuple[Floats, Floats]:
    """log ratio over a part, and its variance over all, against a method chosen in each cell."""
    log = np.choose(which, [log_ratio(cells, ours, rival, part) for rival in RIVALS])
    return log, np.choose(which, [ratio_variance(cells, ours, rival) for rival in RIVALS])


def oracle(cells: pl.DataFrame, ours: str, latent: bool = True) -> Ratios:
    """Ours against the best published method of each cell, chosen on one half of the trials and
    measured on the other, and the other way round; a half has twice the variance of the whole."""
    choices = (("_a", "_b"), ("_b", "_a"))
    halves = [versus(cells, ours, best(cells, seen, latent), unseen) for seen, unseen in choices]
    (log_a, variance_a), (log_b, variance_b) = halves
    return Ratios((log_a + log_b) / 2.0, np.sqrt((2.0 * variance_a + 2.0 * variance_b) / 4.0))


def oracle_of_states(cells: pl.DataFrame, ours: str, part: str) -> Ratios:
    """Ours against the best published method of each cell on one half of the states, where the
    variance is taken to be twice that of all."""
    log, variance = versus(cells, ours, best(cells, part), part)
    return Ratios(log, np.sqrt(2.0 * variance))


def pooled(cells: pl.DataFrame, values: Floats, errors: Floats) -> Interval:
    """A mean over cells. Errors add among cells that share draws, and in squares among others."""
    groups = cells.select(SHARED).with_columns(error=errors).group_by(SHARED)
    shared = groups.agg(pl.col("error").sum())["error"].to_numpy()
    mean, half = float(values.mean()), 1.96 * float(np.sqrt(np.sum(shared**2))) / values.size
    return Interval(mean, mean - half, mean + half)


def exp(log: Interval) -> Interval:
    """The interval of a geometric mean from that of the mean of logarithms."""
    return Interval(*(float(np.exp(value)) for value in log))


def z_scores(values: Floats, errors: Floats) -> Floats:
    """values/errors; a value without error is sure of its sign."""
    sure = np.copysign(np.inf, values)
    return np.divide(values, errors, out=sure, where=errors > 0.0)
