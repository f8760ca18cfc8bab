"""Learning curves: interquartile means over seeds, with stratified bootstrap intervals."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.stats import trim_mean

from steinflow.report.style import panels, styled
from steinflow.rl.checkpoint import RunError
from steinflow.rl.run import Run

Floats = NDArray[np.float64]
RESAMPLES = 2_000
COLOURS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#999999")
LINES = ("-", "--", "-.", ":")


class Curve(NamedTuple):
    """Evaluations of all seeds of a run."""

    name: str
    step: Floats  # [e]
    seconds: Floats  # [e], mean over seeds
    returns: Floats  # [seed, e]


def curve_of(run: Run, name: str | None = None) -> Curve:
    """The evaluations that all seeds of a run have.

    Raises:
        RunError: there is none yet.
    """
    rows = run.metrics()
    if "eval_return" not in rows.columns:
        raise RunError(f"{run.path} has no evaluation yet. Train it longer than --eval-every.")
    rows = rows.drop_nulls("eval_return").sort("step")
    parts = [rows.filter(rows["seed"] == seed).unique("step", keep="last").sort("step")
           for seed in run.seeds]  # fmt: skip
    common = set.intersection(*(set(part["step"]) for part in parts))
    parts = [part.filter(part["step"].is_in(sorted(common))) for part in parts]
    if not common:
        raise RunError(f"{run.path} has no evaluation that all seeds share yet. Train it longer.")
    return Curve(
        name or run.path.name,
        parts[0]["step"].to_numpy().astype(float),
        np.mean([part["seconds"].to_numpy() for part in parts], axis=0),
        np.stack([part["eval_return"].to_numpy() for part in parts]),
    )


def interquartile_mean(values: Floats) -> Floats:
    """Mean of the middle half over seeds, [seed, e] -> [e] (Agarwal et al., 2021); of fewer than
    four seeds, of all."""
    return np.asarray(trim_mean(values, 0.25, axis=0))


def interval(values: Floats, level: float = 0.95, seed: int = 0) -> tuple[Floats, Floats]:
    """Percentile bootstrap of the interquartile mean over seeds, the strata being evaluations:
    seeds are drawn anew for each of them."""
    seeds, count = values.shape
    rng = np.random.default_rng(seed)
    which = rng.integers(seeds, size=(RESAMPLES, seeds, count))
    drawn = values[which, np.arange(count)]
    means = np.asarray(trim_mean(drawn, 0.25, axis=1))
    tail = 50.0 * (1.0 - level)
    return np.percentile(means, tail, axis=0), np.percentile(means, 100.0 - tail, axis=0)


def draw(ax: Axes, curves: Sequence[Curve], over_time: bool = False) -> None:
    """Return over steps, or over minutes of training; a band where there are seeds."""
    ax.locator_params(axis="x", nbins=4)
    for number, curve in enumerate(curves):
        colour, line = COLOURS[number % len(COLOURS)], LINES[number % len(LINES)]
        along = curve.seconds / 60.0 if over_time else curve.step
        middle = interquartile_mean(curve.returns)
        ax.plot(along, middle, label=curve.name, color=colour, linestyle=line)
        if len(curve.returns) > 1:
            low, high = interval(curve.returns)
            ax.fill_between(along, low, high, color=colour, alpha=0.15, linewidth=0)


def plot(curves: Sequence[Curve]) -> Figure:
    """Return over steps and over wall time, curves overlaid."""
    with styled():
        figure, axes = panels(2, width=3.6, height=3.0, sharey=True)
        draw(axes[0], curves)
        draw(axes[1], curves, over_time=True)
        axes[0].set(xlabel="environment steps", ylabel="evaluation return (IQM over seeds)")
        axes[1].set(xlabel="minutes of training")
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def save(figure: Figure, out: Path) -> list[Path]:
    """SVG and PNG."""
    out.mkdir(parents=True, exist_ok=True)
    paths = [out / f"learning-curves.{kind}" for kind in ("svg", "png")]
    for path in paths:
        half = path.with_name(f".{path.name}")
        figure.savefig(half, format=path.suffix[1:], dpi=160)
        half.replace(path)
    return paths
