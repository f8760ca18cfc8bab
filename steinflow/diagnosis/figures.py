"""The pictures of a diagnosis."""

from typing import Any

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from steinflow.diagnosis.diagnose import Diagnosis
from steinflow.diagnosis.shape import Shape
from steinflow.report.style import LOOKS, panels, shared_legend

PICTURED = 4  # states whose slices are shown
DEPTH = 12.0  # temperatures below the best action that a slice shows
EXTRA = ("#E69F00", "#56B4E9", "#CC79A7", "#999999")  # of methods that the house has no look for


def look_of(name: str, number: int) -> dict[str, Any]:
    """Colour, marker and line of a method."""
    spare = {"color": EXTRA[number % len(EXTRA)], "marker": "x", "linestyle": ":"}
    return LOOKS.get(name, spare)


def finish(ax: Axes, title: str, label: str) -> None:
    """What the panels over noise levels share."""
    ax.set(title=title, xlabel="noise level α", yscale="log")
    ax.set_ylabel(label)


def reach(values: np.ndarray) -> tuple[float, float]:
    """Limits of an axis of EED: what is below a thousandth of a draw is not worth the room."""
    return max(1e-3, 0.5 * float(values.min())), 2.0 * max(float(values.max()), 1.0)


def worth_figure(diagnosis: Diagnosis) -> Figure:
    """EED over noise levels, a panel a temperature; the current number of draws."""
    size = diagnosis.recommendation.current.num_draws
    rows = diagnosis.rows.filter(pl.col("num_draws") == size)
    taus = sorted(rows["tau"].unique())
    figure, axes = panels(len(taus), width=3.4, height=3.4, sharey=True)
    for ax, tau in zip(axes, taus, strict=True):
        at_tau = rows.filter(pl.col("tau") == tau)
        for number, name in enumerate(at_tau["estimator"].unique(maintain_order=True)):
            curve = at_tau.filter(pl.col("estimator") == name)
            ax.plot(curve["alpha"], curve["eed"], label=name, **look_of(name, number))
            open_ = curve.filter(~pl.col("resolved"))
            ax.plot(open_["alpha"], open_["eed"], "o", ms=9, mfc="none", color="#D55E00")
        ax.axhline(1.0, color="#777777", linewidth=0.8)
        finish(ax, f"τ = {tau:.3g}", "equivalent exact draws" if ax is axes[0] else "")
        ax.set_ylim(*reach(rows["eed"].to_numpy()))
    shared_legend(figure, axes[0], 9)
    return figure


def draws_figure(diagnosis: Diagnosis) -> Figure:
    """EED over critic calls at the critic's own temperature, and ESS over noise levels."""
    figure, (left, right) = panels(2, width=4.6, height=3.4)
    choices = diagnosis.recommendation.choices
    names = list(dict.fromkeys(diagnosis.rows["estimator"]))
    for number, name in enumerate(names):
        series = sorted((c for c in choices if c.estimator == name), key=lambda c: c.cost)
        left.plot([c.cost for c in series], [c.eed for c in series], label=name,
                  **look_of(name, number))  # fmt: skip
    now = diagnosis.recommendation.current
    left.plot([now.cost], [now.eed], "o", ms=12, mfc="none", color="#D55E00", label="now")
    left.set(xscale="log", yscale="log", xlabel="critic calls a point",
             ylabel="equivalent exact draws", title="What draws buy")  # fmt: skip
    costs = sorted({c.cost for c in choices})
    left.set_xticks(costs, [str(cost) for cost in costs])
    left.set_xticks([], minor=True)
    left.set_ylim(*reach(np.array([c.eed for c in choices])))
    one = diagnosis.rows.filter(
        (pl.col("estimator") == now.estimator) & (pl.col("num_draws") == now.num_draws)
    )
    for tau, line in zip(sorted(one["tau"].unique()), ("-", "--", "-.", ":") * 3, strict=False):
        curve = one.filter(pl.col("tau") == tau)
        right.plot(curve["alpha"], curve["ess"], line, marker="o", color="#0072B2",
                   label=f"τ = {tau:.3g}")  # fmt: skip
    finish(right, f"Effective draws of {now.estimator}, N = {now.num_draws}", "ESS")
    right.set_yscale("linear")
    right.set_ylim(bottom=0)
    right.legend()
    shared_legend(figure, left, 10)
    return figure


def slices_figure(diagnosis: Diagnosis) -> Figure:
    """Q/tau on planes through the best action."""
    shape = diagnosis.shape
    count, dim = min(PICTURED, len(shape.best)), shape.best.shape[-1]
    figure, axes = panels(count, width=2.7, height=2.9)
    for state, ax in enumerate(axes):
        line_slice(ax, shape, state) if dim == 1 else plane_slice(ax, shape, state, figure, axes)
        near = int(shape.near[state])
        ax.set_title(f"state {state + 1}: {near} mode{'s' if near > 1 else ''} that matter"
                     f"{'' if near > 1 else 's'}")  # fmt: skip
        ax.grid(False)
    return figure


def line_slice(ax: Axes, shape: Shape, state: int) -> None:
    """One dimension: a curve."""
    ax.plot(shape.grid[state, 0], np.diagonal(shape.slice[state]), color="#0072B2")
    ax.axvline(float(shape.best[state, 0]), color="#D55E00", linewidth=0.8)
    ax.set(xlabel="action", ylabel="(Q - max)/τ")


def plane_slice(ax: Axes, shape: Shape, state: int, figure: Figure, axes: list[Axes]) -> None:
    """Two coordinates: an image, as deep as matters."""
    first, second = (int(axis) for axis in shape.axes[state])
    (x, y), cut = shape.grid[state], np.maximum(shape.slice[state], -DEPTH)
    picture = ax.pcolormesh(x, y, cut.T, cmap="cividis", vmin=-DEPTH, vmax=0.0, shading="nearest",
                            rasterized=True)  # fmt: skip
    ax.contour(x, y, cut.T, levels=[-9.0, -3.0, -1.0], colors="#ffffff", linewidths=0.6,
               linestyles="solid")  # fmt: skip
    ax.plot(shape.best[state, first], shape.best[state, second], "*", color="#D55E00", ms=9,
            clip_on=False)  # fmt: skip
    ax.set(xlabel=f"action {first + 1}", ylabel=f"action {second + 1}")
    if ax is axes[-1]:
        figure.colorbar(picture, ax=axes, label="(Q - max)/τ", shrink=0.9)


def boundary_figure(diagnosis: Diagnosis) -> Figure:
    """Mass at the boundary, and what the gradient as published errs there for ever."""
    figure, (left, right) = panels(2, width=4.6, height=3.0)
    for tau, line in zip(
        sorted(diagnosis.boundary["tau"].unique()), ("-", "--", "-.") * 3, strict=False
    ):
        curve = diagnosis.boundary.filter(pl.col("tau") == tau)
        left.plot(curve["alpha"], curve["boundary"], line, marker="o", color="#0072B2",
                  label=f"τ = {tau:.3g}")  # fmt: skip
        right.errorbar(curve["alpha"], curve["bias"], yerr=1.96 * curve["bias_error"].to_numpy(),
                       linestyle=line, marker="s", color="#D55E00", capsize=2)  # fmt: skip
    left.set(title="At a bound", xlabel="noise level α", ylabel="posterior mass", ylim=(0, None))
    right.set(title="Bias of the gradient as published", xlabel="noise level α",
              ylabel="|bias| / |score|")  # fmt: skip
    right.set_ylim(bottom=0)
    left.legend()
    return figure
