"""How every figure looks: told apart by colour, line and marker, also in grey."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Okabe & Ito's colours, ordered by lightness so that neighbours differ in grey
LOOKS: dict[str, dict[str, Any]] = {
    "quadratic": {"color": "#0072B2", "marker": "o", "linestyle": "-"},
    "bimodal": {"color": "#D55E00", "marker": "s", "linestyle": "--"},
    "multimodal": {"color": "#009E73", "marker": "^", "linestyle": "-."},
    "linear": {"color": "#56B4E9", "marker": "D", "linestyle": ":"},
    "quadratic-at-bound": {"color": "#CC79A7", "marker": "v", "linestyle": "--"},
    "quadratic-outside": {"color": "#000000", "marker": "P", "linestyle": ":"},
    "noise": {"color": "#0072B2", "marker": "o", "linestyle": "-"},
    "noise-weighed": {"color": "#56B4E9", "marker": "D", "linestyle": "--"},
    "gradient": {"color": "#D55E00", "marker": "s", "linestyle": "--"},
    "gradient-ignored": {"color": "#CC79A7", "marker": "x", "linestyle": ":"},
    "blend": {"color": "#E69F00", "marker": "<", "linestyle": "-"},
    "rfm": {"color": "#009E73", "marker": "^", "linestyle": "-."},
    "oracle-scalar": {"color": "#999999", "marker": "P", "linestyle": ":"},
    "curvature": {"color": "#CC79A7", "marker": "v", "linestyle": "--"},
    "in-sample-scalar": {"color": "#009E73", "marker": "^", "linestyle": "-."},
    "in-sample-diagonal": {"color": "#E69F00", "marker": "<", "linestyle": "-"},
    "in-sample-matrix": {"color": "#56B4E9", "marker": "D", "linestyle": ":"},
    "auto": {"color": "#000000", "marker": "*", "linestyle": "-"},
}
RC: dict[Any, Any] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.4,
    "lines.markersize": 4.5,
    "svg.fonttype": "none",
    "svg.hashsalt": "steinflow",
    "font.family": "sans-serif",
}


@contextmanager
def styled() -> Iterator[None]:
    """The look of the house, inside the block only."""
    with mpl.rc_context(RC):
        yield


def panels(
    count: int, width: float = 2.3, height: float = 2.5, **options: Any
) -> tuple[Figure, list[Axes]]:
    """A row of axes."""
    figure = Figure(figsize=(max(width * count, 5.2), height), layout="constrained")
    axes = figure.subplots(1, count, squeeze=False, **options)[0]
    return figure, list(axes)


def curve(
    ax: Axes, x: Any, y: Any, error: Any, name: str, label: str | None = None, **look: Any
) -> None:
    """A line with its 95 % band, in the look of its name."""
    x, y = np.asarray(x, float), np.asarray(y, float)
    style = LOOKS.get(name, {"color": "#444444", "marker": ".", "linestyle": "-"}) | look
    ax.plot(x, y, label=name if label is None else label, **style)
    if error is not None:
        half = 1.96 * np.asarray(error, float)
        low = y - half
        if ax.get_yscale() == "log":
            low = np.maximum(low, y * 1e-3)
        ax.fill_between(x, low, y + half, color=style["color"], alpha=0.18, linewidth=0)


def shared_legend(figure: Figure, ax: Axes, columns: int = 6) -> None:
    """One legend under all panels."""
    handles, labels = ax.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(columns, len(labels)))
