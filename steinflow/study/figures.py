"""The figures: the paper's four, and ours. Each takes rows and returns a matplotlib Figure."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import polars as pl
from matplotlib.figure import Figure

from steinflow.report.style import curve, panels, shared_legend

Rows = pl.DataFrame


class Caption(NamedTuple):
    """A figure of the report."""

    draw: Callable[[Rows], Figure]
    title: str
    text: str


def pick(rows: Rows, **where: object) -> Rows:
    """Rows that match, in the order of tau, alpha, N and c."""
    for column, value in where.items():
        rows = rows.filter(pl.col(column) == value)
    return rows.sort("tau", "alpha", "num_draws", "c")


def main(rows: Rows) -> Rows:
    """Rows of the first dimension and noise level, calibrated."""
    return rows.filter(
        (pl.col("dim") == rows["dim"][0])
        & (pl.col("alpha") == rows["alpha"][0])
        & (pl.col("convention") == "calibrated")
    )


def families(rows: Rows) -> list[str]:
    """Q-functions in the order of the rows."""
    return rows["q"].unique(maintain_order=True).to_list()


def some_taus(rows: Rows) -> list[float]:
    """A low, a moderate and a high temperature of the grid."""
    taus = np.array(sorted(rows["tau"].unique()))
    return [float(taus[np.argmin(np.abs(np.log(taus / goal)))]) for goal in (0.1, 1.0, 10.0)]


def most(rows: Rows) -> int:
    """The largest N."""
    return int(rows["num_draws"].to_numpy().max())


def alignment(rows: Rows) -> Figure:
    """Paper figure 1: cosine similarity of the two objectives over temperature."""
    base = rows.filter((pl.col("dim") == rows["dim"][0]) & (pl.col("convention") == "calibrated"))
    levels = base["alpha"].unique(maintain_order=True).to_list()[:3]
    figure, axes = panels(len(levels), width=3.4, height=3.0, sharey=True)
    for ax, alpha in zip(axes, levels, strict=True):
        for q in families(base):
            line = pick(base, alpha=alpha, q=q, estimator="gradient", num_draws=most(base))
            y, error = line["cosine_to_noise"], line["cosine_to_noise_se"]
            curve(ax, line["tau"], y, error, q)
        ax.axhline(0.7, color="#444444", linewidth=0.8, dashes=(2, 2))
        sigma = float(np.sqrt(1 - alpha**2))
        ax.set(xscale="log", xlabel="temperature τ", title=f"α = {alpha:.2g}, σ = {sigma:.2g}")
    axes[0].set_ylabel("cosine of noise and gradient")
    shared_legend(figure, axes[0])
    return figure


def variance_over_draws(rows: Rows) -> Figure:
    """Paper figure 2: variance over sample size."""
    base = main(rows)
    figure, axes = panels(len(families(base)), height=2.8)
    for ax, q in zip(axes, families(base), strict=True):
        ax.set(xscale="log", yscale="log", xlabel="draws N", title=q)
        for tau, width in zip(some_taus(base), (0.8, 1.4, 2.2), strict=True):
            for name in ("noise", "gradient"):
                line = pick(base, q=q, tau=tau, estimator=name)
                line = line.filter(pl.col("variance") > 1e-20)
                label = f"{name}, τ = {tau:g}"
                y, error = line["variance"], line["variance_se"]
                curve(ax, line["num_draws"], y, error, name, label, linewidth=width)
        if not any(np.size(line.get_xdata()) == 0 for line in ax.lines):
            continue
        ax.text(0.5, 0.03, "gradient: exactly 0", transform=ax.transAxes, ha="center", fontsize=8)
    axes[0].set_ylabel("variance of the score")
    shared_legend(figure, axes[0], 3)
    return figure


def over_c(rows: Rows, quantities: tuple[tuple[str, str, str], ...], sizes: list[int]) -> Figure:
    """Curves over the blend's c, in units of noise expectation's variance."""
    base = main(rows)
    figure, axes = panels(len(families(base)), height=2.8)
    for ax, q in zip(axes, families(base), strict=True):
        ax.set(xlabel="blend coefficient c", title=q, yscale="log")
        for size in sizes:
            for column, name, kind in quantities:
                line = pick(base, q=q, tau=some_taus(base)[1], num_draws=size, estimator="blend")
                scale = line["variance"][0]
                y, error = line[column] / scale, line[f"{column}_se"] / scale
                label = kind if len(sizes) == 1 else f"{kind}, N = {size}"
                look = {"linestyle": "-" if size == sizes[-1] else ":"} if len(sizes) > 1 else {}
                curve(ax, line["c"], y.clip(1e-6), error, name, label, markevery=4, **look)
        lowest = min(float(np.min(line.get_ydata())) for line in ax.lines)
        ax.set_ylim(bottom=max(1e-4, 0.5 * lowest))
    axes[0].set_ylabel("relative to noise's variance")
    shared_legend(figure, axes[0], 4)
    return figure


def blend_tradeoff(rows: Rows) -> Figure:
    """Paper figure 3: variance and squared bias over the blending coefficient."""
    kinds = (("variance", "noise", "variance"), ("bias2", "gradient", "squared bias"))
    return over_c(rows, kinds, [most(rows)])


def blend_mse(rows: Rows) -> Figure:
    """Ours: mean squared error over the blending coefficient, fewest and most draws."""
    sizes = sorted({int(rows["num_draws"].to_numpy().min()), most(rows)})
    return over_c(rows, (("mse", "auto", "mean squared error"),), sizes)


def temperature(rows: Rows) -> Figure:
    """Paper figure 4: alignment and relative norm over temperature, as printed."""
    base = rows.filter((pl.col("dim") == rows["dim"][0]) & (pl.col("alpha") == rows["alpha"][0]))
    figure, (left, right) = panels(2, width=3.4, height=3.0)
    for q in families(base):
        where = {"q": q, "num_draws": most(base), "convention": "as printed"}
        line = pick(base, estimator="gradient", **where)
        curve(left, line["tau"], line["cosine_to_noise"], line["cosine_to_noise_se"], q)
        curve(right, line["tau"], 1.0 / line["norm_over_noise"], None, q)
    exact = rows["sigma"][0] / rows["alpha"][0]
    right.axhline(exact, color="#444444", linewidth=1, label="exact expectations: σ/α")
    left.set(xscale="log", xlabel="temperature τ", ylabel="cosine of noise and gradient")
    right.set(xscale="log", yscale="log", xlabel="temperature τ", ylabel="|noise| / |gradient|")
    shared_legend(figure, right, 5)
    return figure


def norm_ratio(rows: Rows) -> Figure:
    """Ours: the ratio of norms, as printed, against sigma/alpha."""
    base = pick(rows, num_draws=most(rows), convention="as printed", dim=rows["dim"][0])
    figure, (left, right) = panels(2, width=3.4, height=3.2, sharey=True)
    for ax, kind in ((left, "estimates"), (right, "exact expectations")):
        for q in families(base):
            both = [pick(base, q=q, estimator=name) for name in ("noise", "gradient")]
            x = both[0]["sigma"] / both[0]["alpha"]
            if kind == "estimates":
                y = 1.0 / both[1]["norm_over_noise"]
            else:
                y = both[0]["limit_norm"] / both[1]["limit_norm"]
            curve(ax, x, y, None, q, linestyle="none", alpha=0.8)
        ends = np.array([x.to_numpy().min(), x.to_numpy().max()]) * [0.8, 1.25]
        ax.plot(ends, ends, color="#444444", linewidth=0.8)
        ax.set(xscale="log", yscale="log", xlabel="σ/α", title=f"{kind}, every τ")
    left.set_ylabel("|noise| / |gradient|, as printed")
    shared_legend(figure, left, 4)
    return figure


def best_coefficient(rows: Rows) -> Figure:
    """Ours: the best c over temperature beside the theoretical ones."""
    figure, axes = panels(len(families(rows)), height=2.8, sharey=True)
    base = rows.filter((pl.col("dim") == rows["dim"][0]) & (pl.col("alpha") == rows["alpha"][0]))
    base = pick(base, num_draws=most(rows), estimator="blend")
    kinds = (("calibrated", "best_c", "noise"), ("as printed", "best_c_printed", "gradient"))
    for ax, q in zip(axes, families(rows), strict=True):
        for convention, theory, look in kinds:
            line = pick(base, q=q, convention=convention)
            lowest = line.sort("variance").group_by("tau", maintain_order=True).first().sort("tau")
            ax.plot(lowest["tau"], lowest[theory].clip(-0.5, 1.5), color="#999999", linewidth=1)
            curve(ax, lowest["tau"], lowest["c"], None, look, f"least variance, {convention}")
        ax.plot([], [], color="#999999", label="theory, exact draws")
        ax.set(xscale="log", xlabel="temperature τ", title=q, ylim=(-0.3, 1.3))
    axes[0].set_ylabel("c of least variance")
    shared_legend(figure, axes[0], 3)
    return figure


HEATED = ("noise", "gradient", "in-sample-matrix", "auto")


def exact_draws(rows: Rows) -> Figure:
    """Ours: equivalent exact draws over temperature and N."""
    base = main(rows)
    taus, sizes = sorted(base["tau"].unique()), sorted(base["num_draws"].unique())
    figure = Figure(figsize=(2.45 * len(families(base)), 8.2), layout="constrained")
    grid = figure.subplots(len(HEATED), len(families(base)), squeeze=False)
    for row, name in zip(grid, HEATED, strict=True):
        for ax, q in zip(row, families(base), strict=True):
            table = pick(base, q=q, estimator=name)
            values = table["eed"].to_numpy().reshape(len(taus), len(sizes)).T
            log = np.log10(np.maximum(values, 1e-3))
            image = ax.imshow(log, origin="lower", cmap="cividis", vmin=-2, vmax=4, aspect="auto")
            for (i, j), value in np.ndenumerate(values):
                ink = "white" if log[i, j] < 1.5 else "black"
                ax.text(j, i, short(value), ha="center", va="center", fontsize=5.5, color=ink)
            ax.grid(False)
            ax.set_xticks(range(len(taus)), [f"{tau:g}" for tau in taus], rotation=90, fontsize=7)
            ax.set_yticks(range(len(sizes)), [str(size) for size in sizes], fontsize=7)
            ax.set_title(f"{name}: {q}", fontsize=8)
    for ax in grid[:, 0]:
        ax.set_ylabel("draws N")
    for ax in grid[-1]:
        ax.set_xlabel("temperature τ")
    bar = figure.colorbar(image, ax=list(grid.ravel()), location="bottom", shrink=0.5, aspect=40)
    bar.set_label("log10 of equivalent exact draws (capped at 10⁴)")
    return figure


def short(value: float) -> str:
    """A number in three characters."""
    if value >= 1000:
        return f"{value / 1000:.0f}k"
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}" if value >= 0.1 else "<.1"


FIGURES: dict[str, Caption] = {
    "fig1-alignment": Caption(
        alignment,
        "Figure 1: do the two objectives point the same way?",
        "Cosine between noise and gradient expectation on the same draws at the largest N; "
        "the dashed line is the paper's 0.7.",
    ),
    "fig2-variance": Caption(
        variance_over_draws,
        "Figure 2: variance over sample size",
        "Calibrated to scores. Thicker lines are higher temperatures. On linear Q the "
        "gradient's variance is exactly zero.",
    ),
    "fig3-blend": Caption(
        blend_tradeoff,
        "Figure 3: variance and squared bias of the blend",
        "At a moderate temperature and the largest N, in units of noise expectation's variance.",
    ),
    "fig4-temperature": Caption(
        temperature,
        "Figure 4: alignment and relative norm over temperature",
        "As printed in the paper. The grey line is the ratio of the exact expectations, "
        "which does not move with τ: what does is finite N.",
    ),
    "fig5-norm-ratio": Caption(
        norm_ratio,
        "The ratio of norms is σ/α",
        "Each point is one temperature at one noise level. Right: expectations by quadrature.",
    ),
    "fig6-mse": Caption(
        blend_mse,
        "Mean squared error of the blend",
        "The same as figure 3 for the whole error, with fewest and most draws.",
    ),
    "fig7-best-c": Caption(
        best_coefficient,
        "The best coefficient, measured and in theory",
        "Least variance on the grid of 21 values; theory is the minimiser under exact draws "
        "(for a Gaussian α²/(α² + σ²κ) calibrated, α/(α + σκ) as printed).",
    ),
    "fig8-exact-draws": Caption(
        exact_draws,
        "What an estimate is worth, in exact posterior draws",
        "Below 1 a single perfect sample would be better.",
    ),
}
