"""The figures of the leaderboard. Each takes cells (compare.tabulate), at least one."""

from collections.abc import Callable
from itertools import cycle
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from steinflow.report.style import curve, panels, shared_legend
from steinflow.study.figures import short
from steinflow.study.leaderboard.compare import exp, log_eed, oracle, pooled
from steinflow.study.leaderboard.contest import methods
from steinflow.study.leaderboard.lines import COLD, DISTRIBUTION_TEXT

LOOKS: dict[str, dict[str, Any]] = {
    "qne": {"color": "#0072B2", "marker": "o", "linestyle": "-"},
    "gradient": {"color": "#D55E00", "marker": "s", "linestyle": "--"},
    "sdac": {"color": "#56B4E9", "marker": "D", "linestyle": ":"},
    "idem": {"color": "#CC79A7", "marker": "v", "linestyle": ":"},
    "rfm": {"color": "#009E73", "marker": "^", "linestyle": "-."},
    "cvsi": {"color": "#E69F00", "marker": "<", "linestyle": "--"},
    "lfgi": {"color": "#8C564B", "marker": ">", "linestyle": "-."},
    "auto": {"color": "#000000", "marker": "*", "linestyle": "-"},
    "auto, one level": {"color": "#777777", "marker": "*", "linestyle": "--"},
}
STEPS = tuple(LOOKS[name] for name in ("qne", "gradient", "rfm", "cvsi"))  # of budgets or taus
SUPPORTS = {"box": "box", "real": "R^d"}
LINE: dict[str, Any] = {"color": "#444444", "linewidth": 0.8}


class Caption(NamedTuple):
    """A figure of the report, drawn where it has cells."""

    draw: Callable[[pl.DataFrame], Figure]
    where: pl.Expr
    title: str
    text: str


def values(cells: pl.DataFrame, name: str) -> list[Any]:
    """What a column takes, in order."""
    return sorted(cells[name].unique().to_list())


def distributions(cells: pl.DataFrame) -> list[str]:
    """The distributions behind x, in the order of the grid."""
    return [
        distribution
        for distribution in DISTRIBUTION_TEXT
        if distribution in values(cells, "distribution")
    ]


def heat_map(cells: pl.DataFrame) -> Figure:
    """Geometric mean of EED over Q and budgets: a row a method, a column a dimension."""
    names, dims = methods(cells["support"][0]), values(cells, "dim")
    taus, alphas = values(cells, "tau"), values(cells, "alpha")
    figure = Figure(
        figsize=(max(2.7 * len(dims), 4.0), 1.25 * len(names) + 1.0), layout="constrained"
    )
    grid = figure.subplots(len(names), len(dims), squeeze=False, sharex=True, sharey=True)
    for row, name in zip(grid, names, strict=True):
        logs = cells.with_columns(log=log_eed(cells, name) / np.log(10.0))
        for ax, dim in zip(row, dims, strict=True):
            means = logs.filter(pl.col("dim") == dim).group_by("tau", "alpha")
            table = np.full((len(taus), len(alphas)), np.nan)
            for tau, alpha, log in means.agg(pl.col("log").mean()).iter_rows():
                table[taus.index(tau), alphas.index(alpha)] = log
            image = ax.imshow(table, origin="lower", cmap="cividis", vmin=-2, vmax=4, aspect="auto")
            for (i, j), log in np.ndenumerate(table):
                ink, text = "white" if log < 1.5 else "black", short(10.0**log)
                ax.text(j, i, text, ha="center", va="center", fontsize=7, color=ink)
            ax.grid(False)
            ax.set_xticks(range(len(alphas)), [f"{alpha:g}" for alpha in alphas])
            ax.set_yticks(range(len(taus)), [f"{tau:g}" for tau in taus])
        row[0].set_ylabel(f"{name.replace(', ', chr(10))}\nτ")
    for ax, dim in zip(grid[0], dims, strict=True):
        ax.set_title(f"d = {dim}")
    for ax in grid[-1]:
        ax.set_xlabel("noise level α")
    bar = figure.colorbar(
        image, ax=list(grid.ravel()), location="bottom", shrink=0.6, aspect=45, pad=0.01
    )
    bar.set_label("log10 EED (capped at 10⁴)")
    return figure


def by_law(cells: pl.DataFrame) -> tuple[Figure, list[tuple[Axes, pl.DataFrame]]]:
    """Axes for MSE ratios, one a distribution."""
    figure, axes = panels(len(distributions(cells)), width=3.3, height=3.4, sharey=True)
    for ax, distribution in zip(axes, distributions(cells), strict=True):
        ax.set(yscale="log", title=DISTRIBUTION_TEXT[distribution])
        ax.axhline(1.0, **LINE)
    axes[0].set_ylabel("MSE of auto / best published")
    parts = [
        cells.filter(pl.col("distribution") == distribution)
        for distribution in distributions(cells)
    ]
    return figure, list(zip(axes, parts, strict=True))


def distribution(cells: pl.DataFrame) -> Figure:
    """The ratio to the oracle in every cell, sorted."""
    figure, axes = by_law(cells)
    budgets = values(cells, "budget")
    for ax, subset in axes:
        for budget, look in zip(budgets, cycle(STEPS), strict=False):
            ratios = np.sort(np.exp(oracle(subset.filter(pl.col("budget") == budget), "auto").log))
            share = (np.arange(ratios.size) + 0.5) / ratios.size
            curve(ax, share, ratios, None, "", f"budget {budget}", **look | {"marker": ""})
        ax.set(xlabel="share of cells below", xlim=(0, 1))
    shared_legend(figure, axes[0][0])
    return figure


def over_levels(cells: pl.DataFrame) -> Figure:
    """The ratio to the oracle over the noise level, for every temperature."""
    figure, axes = by_law(cells)
    for ax, subset in axes:
        for tau, look in zip(values(subset, "tau"), cycle(STEPS), strict=False):
            alphas = values(subset.filter(pl.col("tau") == tau), "alpha")
            parts = [
                subset.filter((pl.col("tau") == tau) & (pl.col("alpha") == alpha))
                for alpha in alphas
            ]
            means = [exp(pooled(part, *oracle(part, "auto"))) for part in parts]
            y = [mean.estimate for mean in means]
            error = [(mean.high - mean.low) / 3.92 for mean in means]
            curve(ax, alphas, y, error, "", f"τ = {tau:g}", **look)
        ax.set(xlabel="noise level α", xticks=values(cells, "alpha"))
    shared_legend(figure, axes[0][0])
    return figure


def shares(cells: pl.DataFrame) -> Figure:
    """Share of cells worth at least one exact draw, over the budget."""
    places = [
        (s, distribution)
        for s in SUPPORTS
        for distribution in distributions(cells)
        if s in values(cells, "support")
    ]
    figure, axes = panels(len(places), width=2.6, height=3.4, sharey=True)
    for ax, (support, distribution) in zip(axes, places, strict=True):
        subset = cells.filter(
            (pl.col("support") == support) & (pl.col("distribution") == distribution)
        )
        for name in methods(support):
            logs = subset.select("budget", above=pl.Series(log_eed(subset, name) >= 0.0))
            share = logs.group_by("budget").agg(pl.col("above").mean()).sort("budget")
            curve(ax, share["budget"], share["above"], None, name, **LOOKS[name])
        ax.axhline(0.9, **LINE | {"linestyle": ":"})
        budgets = values(cells, "budget")
        ax.set_xscale("log", base=2)
        ax.set_xticks(budgets, [str(budget) for budget in budgets])
        ax.set(
            xlabel="budget",
            title=f"{SUPPORTS[support]}, {DISTRIBUTION_TEXT[distribution]}",
            ylim=(-0.03, 1.03),
        )
    axes[0].set_ylabel("share of cells with EED ≥ 1")
    shared_legend(figure, axes[0], 2 * len(places) + 2)
    return figure


FIGURES = {
    "ratios": Caption(
        distribution,
        pl.lit(True),
        "MSE of auto relative to the best published method of each cell",
        "Every cell counts once, sorted; left is better. Dotted: what a single cell may have at "
        "budgets 64 and 256, and at 16. The best is chosen on one half of the trials and measured "
        "on the other, and the other way round.",
    ),
    "levels": Caption(
        over_levels,
        pl.lit(True),
        "The same over noise levels and temperatures",
        "Geometric means over supports, dimensions, Q and budgets, with 95 % bands. τ is in units "
        "of the spread of Q; small α is high noise.",
    ),
    "exact-draws": Caption(
        shares,
        COLD & pl.col("distribution").is_in(["pi", "lag"]),
        "How often an estimate is worth an exact draw",
        "Share of cells with EED of at least 1 at the lowest temperature, α ≤ 0.5, d = 6 and 17; "
        "dotted: the bar of 90 %. On R^d sdac is qne, and idem is gradient.",
    ),
    "heat-box": Caption(
        heat_map,
        (pl.col("support") == "box") & (pl.col("distribution") == "pi"),
        "Equivalent exact draws on the box",
        "Geometric means over Q and budgets, x from π. Below 1 a single perfect sample would be "
        "better. rfm's are of its latent.",
    ),
    "heat-real": Caption(
        heat_map,
        (pl.col("support") == "real") & (pl.col("distribution") == "pi"),
        "Equivalent exact draws on R^d",
        "The same without bounds, where sdac is qne, and idem is gradient.",
    ),
}
