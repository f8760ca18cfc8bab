"""The page of preset `prior`, with its figures and prior.json beside it."""

from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

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
from steinflow.study.conditions import Grid
from steinflow.study.prior.figures import changes, errors
from steinflow.study.prior.lines import FALSE_ALARM
from steinflow.study.prior.run import LEAST_ESS
from steinflow.study.report import MARKS


def draw(rows: pl.DataFrame, budget: int, paper: bool = False) -> list[Picture]:
    """All figures."""
    return [
        drawn("errors", "Errors with a prior",
              "Geometric means over Q, temperatures and noise levels; no error counts as less than "
              ".01, that of 10,000 exact draws. A biased estimate stops falling.",
              partial(errors, rows), paper),
        drawn("changes", "What a prior changes",
              f"Geometric means over Q, noise levels and supports at {budget:,} evaluations. Left: "
              "MSE, not below that of 10,000 exact draws. Right: the share of draws that count.",
              partial(changes, rows, budget), paper),
    ]  # fmt: skip


def write(
    grid: Grid, rows: pl.DataFrame, results: dict[str, Any], out: Path, command: str,
    paper: bool = False,
) -> Path:  # fmt: skip
    """figures/, rows.parquet, prior.json and report.html, with tables/ for a paper; returns the
    page."""
    with explained(out):
        pictures = draw(rows, results["budget"], paper)
        keep_pictures(out, pictures)
        if paper:
            keep_tables(out, {name: pl.DataFrame(results[name]) for name in ("tests", "best")})
        write_atomically(out / "rows.parquet", rows.write_parquet)
        write_json(out / "prior.json", results)
        text = page("steinflow.study.prior", "prior.html.jinja").render(
            results=results, marks=MARKS, rows=rows, grid=grid, false_alarm=FALSE_ALARM,
            least_ess=LEAST_ESS, figures=embedded(pictures), command=command,
        )  # fmt: skip
        keep_page(out, text)
    return out / "report.html"
