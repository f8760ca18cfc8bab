"""The page of a diagnosis, the answer first; diagnosis.json, rows.parquet and figures/ beside."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from steinflow.diagnosis.diagnose import Diagnosis
from steinflow.diagnosis.figures import boundary_figure, draws_figure, slices_figure, worth_figure
from steinflow.diagnosis.recommend import counted
from steinflow.io.files import explained, write_atomically, write_json
from steinflow.report.pages import (
    Picture,
    drawn,
    embedded,
    keep_page,
    keep_pictures,
    keep_tables,
    page,
)


def draw(diagnosis: Diagnosis, paper: bool = False) -> Iterator[Picture]:
    """Every figure that suits."""
    now = diagnosis.recommendation.current
    captions = [
        ("worth", worth_figure, "What a target is worth",
         f"Perfect draws that an estimate with N = {now.num_draws} draws a level is worth, by "
         "noise level (small α is much noise). Rings: the reference is not good enough to say. "
         "Methods of the tanh latent (rfm) are held against the score there."),
        ("draws", draws_figure, "How many draws",
         "Left: geometric mean over noise levels, at the temperature of the critic; values and "
         "gradients count as one call each. Right: draws that carry the weight."),
        ("slices", slices_figure, "Q over actions",
         "Planes through the best action that was found (star), along the two coordinates over "
         "which Q varies most; contours at 1, 3 and 9 temperatures below it."),
    ]  # fmt: skip
    if diagnosis.settings["support"] == "box":
        captions.append(("boundary", boundary_figure, "The bounds of the box",
                         "Left: mass within a hundredth of the width of a bound, mean over "
                         "dimensions (a flat Q has .02). Right: what the "
                         "gradient estimator errs with any number of draws when the boundary term "
                         "is ignored; bars are 95 % of the reference's error."))  # fmt: skip
    for name, figure_of, title, text in captions:
        yield drawn(name, title, text, partial(figure_of, diagnosis), paper)


def as_json(diagnosis: Diagnosis) -> dict[str, Any]:
    """The answer for programs."""
    advice = diagnosis.recommendation
    return {
        "format_version": 1,
        "tau": diagnosis.tau,
        "settings": diagnosis.settings,
        "sentences": advice.sentences,
        "verdict": advice.verdict,
        "current": advice.current._asdict(),
        "best": advice.best._asdict(),
        "thrifty": advice.thrifty._asdict() if advice.thrifty else None,
        "taus": advice.taus,
        "modes": np.asarray(diagnosis.shape.modes).tolist(),
        "modes_that_matter": np.asarray(diagnosis.shape.near).tolist(),
        "unresolved": diagnosis.rows.filter(~pl.col("resolved")).height,
        "rows": diagnosis.rows.height,
    }


def write(diagnosis: Diagnosis, out: Path, name: str, command: str, paper: bool = False) -> Path:
    """All files of a diagnosis; returns the page.

    Args:
        diagnosis: what was measured on a critic.
        out: their folder.
        name: of the critic, for the title.
        command: that makes them again.
        paper: figures also as PDF, and the choices as a table in CSV and LaTeX.
    """
    with explained(out):
        pictures = list(draw(diagnosis, paper))
        keep_pictures(out, pictures)
        if paper:
            choices = [choice._asdict() for choice in diagnosis.recommendation.choices]
            keep_tables(out, {"choices": pl.DataFrame(choices)})
        write_atomically(out / "rows.parquet", diagnosis.rows.write_parquet)
        write_json(out / "diagnosis.json", as_json(diagnosis))
        keep_page(out, render(diagnosis, pictures, name, command))
    return out / "report.html"


def render(diagnosis: Diagnosis, pictures: list[Picture], name: str, command: str) -> str:
    """The page as text."""
    near = np.asarray(diagnosis.shape.near)
    return page("steinflow.diagnosis", "diagnosis.html.jinja").render(
        name=name,
        advice=diagnosis.recommendation,
        rows=diagnosis.rows,
        unresolved=diagnosis.rows.filter(~pl.col("resolved")).height,
        boundary=diagnosis.boundary.to_dicts(),
        several=int((near > 1).sum()),
        most=int(near.max()),
        tau=diagnosis.tau,
        settings=diagnosis.settings,
        figures=embedded(pictures),
        command=command,
        counted=counted,
    )
