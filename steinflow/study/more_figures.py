"""Figures of single presets: coverage, noise levels, bounds."""

from itertools import pairwise

import numpy as np
import polars as pl
from matplotlib.figure import Figure

from steinflow.diagnostics import RELIABLE_ESS
from steinflow.report.style import LOOKS, curve, panels, shared_legend
from steinflow.study.figures import families, most, pick
from steinflow.study.measure import ESS_EDGES

METHODS = ("noise", "gradient", "in-sample-scalar", "in-sample-matrix", "auto")


def coverage_figure(coverage: dict[str, np.ndarray]) -> Figure:
    """Coverage of nominal 95 % intervals over effective sample size."""
    figure, (ax,) = panels(1, width=5.2, height=3.2)
    edges = np.array(ESS_EDGES[:-1])
    labels = [f"{a:g}-{b:g}" for a, b in pairwise(edges)] + [f">{edges[-1]:g}"]
    for name, table in coverage.items():
        if name in METHODS:
            share = np.where(table[1] > 50, table[0] / np.maximum(table[1], 1), np.nan)
            error = np.sqrt(share * (1 - share) / np.maximum(table[1], 1))
            curve(ax, range(share.size), share, error, name)
    ax.axhline(0.95, color="#444444", linewidth=0.8)
    ax.axvspan(-0.5, edges.searchsorted(RELIABLE_ESS) - 0.5, color="#f2f2f2", zorder=0)
    ax.text(-0.4, 1.0, "flagged: a lower bound", fontsize=8, va="top")
    ax.set_xticks(range(len(labels)), labels)
    ax.set(xlabel="effective sample size", ylabel="share covered", ylim=(0, 1.02))
    shared_legend(figure, ax, 3)
    return figure


def levels_figure(rows: pl.DataFrame) -> Figure:
    """Equivalent exact draws over the noise level, for every dimension."""
    dims = rows["dim"].unique(maintain_order=True).to_list()
    figure, axes = panels(len(dims), height=3.0, sharey=True)
    names = [name for name in METHODS if name != "in-sample-matrix"]
    calibrated = rows.filter((pl.col("convention") == "calibrated") & (pl.col("q") != "linear"))
    for ax, dim in zip(axes, dims, strict=True):
        ax.set(yscale="log", xlabel="α²", title=f"d = {dim}")
        base = calibrated.filter((pl.col("dim") == dim) & (pl.col("num_draws") == most(rows)))
        for name in names:
            line = base.filter(pl.col("estimator") == name)
            log = line.group_by("alpha").agg(pl.col("eed").log().mean().exp()).sort("alpha")
            curve(ax, log["alpha"] ** 2, log["eed"], None, name)
        ax.axhline(1.0, color="#444444", linewidth=0.8)
    axes[0].set_ylabel("equivalent exact draws")
    shared_legend(figure, axes[0])
    return figure


def boundary_figure(rows: pl.DataFrame) -> Figure:
    """Bias of the gradient that ignores the bounds, beside the exact boundary flux."""
    levels = rows["alpha"].unique(maintain_order=True).to_list()
    figure, axes = panels(len(levels), width=3.0, height=3.0, sharey=True)
    base = rows.filter((pl.col("convention") == "calibrated") & (pl.col("num_draws") == most(rows)))
    for ax, alpha in zip(axes, levels, strict=True):
        ax.set(xscale="log", yscale="log", xlabel="temperature τ", title=f"α = {alpha:.3g}")
        for q in families(rows):
            line = pick(base, q=q, alpha=alpha, estimator="gradient-ignored")
            bias = np.sqrt(line["bias2"].clip(1e-12))
            ax.plot(line["tau"], line["flux_norm"], color=LOOKS[q]["color"], linewidth=0.8)
            curve(ax, line["tau"], bias, None, q, linestyle="none")
        ax.set_ylim(bottom=1e-3)
    axes[0].set_ylabel("bias (points) and exact flux (lines)")
    shared_legend(figure, axes[0], 3)
    return figure
