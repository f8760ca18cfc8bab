"""The figures of preset `prior`. Each takes its rows and returns a matplotlib Figure."""

from typing import Any

import polars as pl
from matplotlib.figure import Figure

from steinflow.diagnostics import EED_CAP
from steinflow.report.style import LOOKS, curve, panels, shared_legend
from steinflow.study.leaderboard.figures import LOOKS as PUBLISHED
from steinflow.study.prior.problem import BLIND, ROWS, WEIGHTED

OWN: dict[str, dict[str, Any]] = {
    BLIND: {"color": "#D55E00", "marker": "x", "linestyle": ":"},
    WEIGHTED: {"color": "#56B4E9", "marker": "D", "linestyle": ":"},
}
LOOK = LOOKS | {name: PUBLISHED[name] for name in ("cvsi", "lfgi")} | OWN
SHOWN = tuple(name for name in ROWS if name != "blend")  # which lies between two others
UNDER = ("noise",)  # wider, since cvsi lies upon it
SUPPORTS = {False: "$R^d$", True: "box"}


def over(rows: pl.DataFrame, column: str, value: pl.Expr) -> pl.DataFrame:
    """Geometric mean of a value over cells, by a column."""
    log = value.log().mean().exp().alias("value")
    return rows.group_by(column).agg(log).sort(column)


def errors(rows: pl.DataFrame) -> Figure:
    """Error over the budget, with a prior, on R^d and on the box."""
    figure, axes = panels(2, width=4.2, height=3.4, sharey=True)
    error = (pl.max_horizontal("mse", pl.col("trace") / EED_CAP) / pl.col("trace")).sqrt()
    for ax, (bounded, title) in zip(axes, SUPPORTS.items(), strict=True):
        ax.set(xscale="log", yscale="log", xlabel="evaluations of Q", title=title)
        for name in SHOWN:
            subset = rows.filter(
                pl.col("prior") & (pl.col("box") == bounded) & (pl.col("estimator") == name)
            )
            line = over(subset, "budget", error)
            look = LOOK[name] | ({"linewidth": 2.6} if name in UNDER else {})
            curve(ax, line["budget"], line["value"], None, name, **look)
        budgets = rows["budget"].unique().sort().to_list()
        ax.set_xticks(budgets, [f"{budget:,}" for budget in budgets])
        ax.minorticks_off()
    axes[0].set_ylabel("error / that of one exact draw")
    shared_legend(figure, axes[0], 4)
    return figure


def changes(rows: pl.DataFrame, budget: int) -> Figure:
    """Over temperature: MSE with a prior over that without, and what draws count."""
    figure, (left, right) = panels(2, width=4.2, height=3.4)
    at_budget = rows.filter(pl.col("budget") == budget)
    bounded = pl.max_horizontal("mse", pl.col("trace") / EED_CAP)
    for name in ("noise", "gradient", "cvsi", "auto"):
        subset = at_budget.filter(pl.col("estimator") == name)
        both = [over(subset.filter(pl.col("prior") == p), "tau", bounded) for p in (True, False)]
        left.plot(both[0]["tau"], both[0]["value"] / both[1]["value"], label=name, **LOOK[name])
    left.axhline(1.0, color="#444444", linewidth=0.8)
    left.set(xscale="log", yscale="log", ylabel="MSE with / without a prior")
    share = pl.col("ess") / pl.col("num_draws")
    for name, prior, label, look in (
        ("noise", False, "likelihood, no prior", {"linestyle": "--", "markerfacecolor": "white"}),
        ("noise", True, "likelihood, prior", {}),
        (WEIGHTED, True, "samples of μ", {}),
        ("auto", True, "auto, prior", {}),
    ):
        subset = at_budget.filter((pl.col("estimator") == name) & (pl.col("prior") == prior))
        line = over(subset, "tau", share)
        right.plot(line["tau"], line["value"], label=label, **LOOK[name] | look)
    right.set(xscale="log", ylim=(0.0, None), ylabel="ESS / draws")
    for ax in (left, right):
        ax.set_xlabel("temperature τ")
        taus = rows["tau"].unique().sort().to_list()
        ax.set_xticks(taus, [f"{tau:g}" for tau in taus])
        ax.minorticks_off()
        handles, labels = ax.get_legend_handles_labels()
        ax.legend(handles, labels, loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2)
    return figure
