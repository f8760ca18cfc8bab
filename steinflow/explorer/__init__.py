"""The explorer: one page that computes estimators of the score as its reader moves sliders.

    python -m steinflow.explorer [FILE]

The page holds everything it needs. Its constants (the four families, the rotation, the series
of the Mills ratio, a Gauss-Legendre rule) are taken from the core when the page is written.
"""

import json
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from steinflow.extras import extras_named
from steinflow.io.files import write_atomically
from steinflow.supports import Box, RealSpace
from steinflow.targets import Bimodal, Linear, Multimodal, Quadratic
from steinflow.targets.separable import Separable
from steinflow.truncated_normal import DEGREE, mills_series

FAMILIES = {
    "quadratic": Quadratic,
    "bimodal": Bimodal,
    "multimodal": Multimodal,
    "linear": Linear,
}
SUPPORTS = {"real": RealSpace(), "box": Box(-1.0, 1.0)}
FORMULAS = ("normal.js", "core.js", "truth.js")  # pure functions: no page, no randomness
VIEW = ("random.js", "state.js", "compute.js", "charts.js", "panels.js", "view.js")
LIKE = {"blend-ignored": "blend"}  # estimators that look like another, of those in the study
COLOURED = ("noise", "gradient", "gradient-ignored", "blend", "blend-ignored", "in-sample-scalar")


def coefficients(target: Separable) -> dict[str, Any]:
    """What Q is made of, as lists."""
    names = ("linear", "quadratic", "quartic", "cosine", "rotation")
    return {name: np.asarray(getattr(target, name)).tolist() for name in names}


def constants() -> dict[str, Any]:
    """The numbers that the page shares with the core."""
    families = {
        name: {
            support: [coefficients(family(1.0, dim, space)) for dim in (1, 2)]
            for support, space in SUPPORTS.items()
        }
        for name, family in FAMILIES.items()
    }
    return {
        "families": families,
        "bounds": {"real": None, "box": [-1.0, 1.0]},
        "mills": mills_series(DEGREE["float64"]),
        "gauss": [each.tolist() for each in np.polynomial.legendre.leggauss(10)],
    }


def script(names: Iterable[str]) -> str:
    """The constants and these files of the package as one JavaScript."""
    folder = files("steinflow.explorer")
    texts = [folder.joinpath(name).read_text("utf-8") for name in names]
    return "\n".join(['"use strict";', f"const CORE = {json.dumps(constants())};", *texts])


def render() -> str:
    """The page as text."""
    with extras_named():
        from markupsafe import Markup

        from steinflow.report.pages import page
        from steinflow.report.style import LOOKS
    code = script(FORMULAS + VIEW)
    look = files("steinflow.explorer").joinpath("explorer.css").read_text("utf-8")
    template = page("steinflow.explorer", "page.html")
    colours = [(name, LOOKS[LIKE.get(name, name)]["color"]) for name in COLOURED]
    return template.render(script=Markup(code), look=Markup(look), colours=colours)


def write(path: str | Path) -> Path:
    """Write the page to a file and return its path."""
    path = Path(path)
    text = render()
    write_atomically(path, lambda file: file.write(text.encode()))
    return path
