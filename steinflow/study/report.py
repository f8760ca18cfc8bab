"""The report: one self-contained page, the verdicts first."""

from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from steinflow.diagnostics import EED_CAP, RELIABLE_ESS
from steinflow.io.files import explained
from steinflow.report.pages import (
    Picture,
    drawn,
    embedded,
    keep_page,
    keep_pictures,
    keep_tables,
    number,
    page,
)
from steinflow.study.figures import FIGURES, Caption, families, most
from steinflow.study.measure import ESS_EDGES
from steinflow.study.more_figures import boundary_figure, coverage_figure, levels_figure
from steinflow.study.run import Study

MEANING = {
    "alignment-moderate": {
        "supported": "At these temperatures the two directions are similar, not equal; choose by "
        "variance.",
        "refuted": "Agreement cannot be taken for granted even at moderate temperatures: with "
        "few draws, or high noise, the two objectives train toward different directions.",
        "depends": "Agreement depends on Q: check it on yours before swapping one for the other.",
    },
    "alignment-degrades": {
        "supported": "Away from moderate temperatures the directions differ more: much at low "
        "ones, little at high ones.",
        "refuted": "Low temperature is where the choice matters; a high temperature by itself "
        "does not make the two disagree.",
        "depends": "Low temperature is where the choice matters for sure; at high temperature "
        "only for some Q.",
    },
    "noise-wins-smooth": {
        "supported": "Smooth critics call for noise expectation.",
        "refuted": "A smooth critic is no reason to choose noise expectation.",
        "depends": "Smoothness is the wrong guide: on linear Q the gradient has no variance at "
        "all; noise wins only where the temperature is low for the curvature of Q.",
    },
    "gradient-wins-multimodal": {
        "supported": "Many modes call for gradient expectation.",
        "refuted": "Many modes are no reason to choose gradient expectation.",
        "depends": "Temperature decides, not the number of modes: at low temperature the "
        "gradient of a rough Q is the worst choice, at high temperature the best.",
    },
    "interior-coefficient": {
        "supported": "A blend with c near one half is a safe default.",
        "refuted": "There is no safe default between .25 and .75: the best c runs through all "
        "of [0, 1] as temperature and curvature vary. Fit it, or use auto.",
        "depends": "A blend near one half suits some Q; fit c, or use auto.",
    },
    "saves-15-40": {
        "supported": "Expect to need 15-40 % fewer draws from a well-chosen blend.",
        "refuted": "What a blend saves lies anywhere between nothing (linear Q, low "
        "temperature) and nearly everything (Gaussian-like posteriors).",
        "depends": "The saving holds for some Q only.",
    },
    "ratio-depends-on-tau": {
        "supported": "Rescale one objective when the temperature changes.",
        "refuted": "The exact ratio is σ/α at every temperature: divide the printed objectives "
        "by σ and α and they estimate the same score. What moves with τ is finite-N error.",
        "depends": "The exact ratio moves with temperature for some Q.",
    },
    "both-consistent": {
        "supported": "With enough draws both are right, once their scales are calibrated.",
        "refuted": "One of the two does not converge to what it should.",
        "depends": "No condition contradicts consistency. Where one is open, its interval includes "
        "zero: the bias is small already, or varies too much to be seen to fall.",
    },
}
OPEN = {
    "undecided": "The intervals are too wide to say; more trials would decide.",
    "incomplete": "This study lacks rows that the claim needs; run the preset paper.",
}
MARKS = {
    "supported": "✓",
    "refuted": "✗",
    "depends": "◐",
    "undecided": "?",
    "incomplete": "…",
}


def captions(study: Study) -> Iterator[tuple[str, Caption]]:
    """The figures that suit a study."""
    yield from FIGURES.items()
    yield (
        "fig9-coverage",
        Caption(
            lambda rows: coverage_figure(study.coverage),
            "What the standard errors cover",
            "Nominal 95 % intervals, by the effective sample size of their own draws.",
        ),
    )
    if len(study.grid.alphas) > 3:
        text = "Geometric mean over Q (linear apart) and temperatures, at the largest N."
        title = "Equivalent exact draws over noise levels and dimensions"
        yield "fig10-levels", Caption(levels_figure, title, text)
    if study.grid.box:
        text = "Points: measured bias of the gradient as published, at the largest N. "
        text += "Lines: (p(high) - p(low))/α by quadrature."
        yield "fig10-bounds", Caption(boundary_figure, "What ignoring the bounds costs", text)


def draw(study: Study, paper: bool = False) -> Iterator[Picture]:
    """Every figure."""
    for name, caption in captions(study):
        figure_of = partial(caption.draw, study.rows)
        yield drawn(name, caption.title, caption.text, figure_of, paper)


class Mean(NamedTuple):
    """A geometric mean with its 95 % interval."""

    size: int
    value: float
    low: float
    high: float


def geometric_mean(rows: pl.DataFrame, size: int) -> Mean:
    """Of EED over the conditions at one N; the interval is over trials."""
    subset = rows.filter(pl.col("num_draws") == size)
    if not subset.height:
        return Mean(size, *[float("nan")] * 3)
    mse = np.maximum(subset["mse"].to_numpy(), 1e-300)
    noise = np.where(subset["eed"].to_numpy() >= EED_CAP, 0.0, subset["mse_se"].to_numpy() / mse)
    center, half = np.log(subset["eed"].to_numpy()).mean(), 1.96 * np.sqrt((noise**2).sum())
    return Mean(size, *(float(np.exp(center + k * half / mse.size)) for k in (0, -1, 1)))


def scoreboard(rows: pl.DataFrame) -> list[dict[str, Any]]:
    """Per estimator: geometric mean of EED by N, and the worst ratio to noise expectation."""
    base = rows.filter((pl.col("convention") == "calibrated") & ~pl.col("eed").is_nan())
    base = base.filter(pl.col("c").is_null() | (pl.col("c") == 0.5))
    keys = ["q", "tau", "alpha", "dim", "box", "num_draws"]
    noise = base.filter(pl.col("estimator") == "noise").select(*keys, noise="eed")
    base = base.join(noise, on=keys).with_columns(ratio=pl.col("eed") / pl.col("noise"))
    sizes = sorted(base["num_draws"].unique())
    wanted = sorted({sizes[0], sizes[len(sizes) // 2], sizes[-1]})
    hard = ~pl.col("q").is_in(["quadratic", "linear"])
    board = []
    for name in base["estimator"].unique(maintain_order=True):
        subset = base.filter(pl.col("estimator") == name)
        ratio = subset["ratio"].to_numpy()
        board.append(
            {
                "name": "blend, c = 0.5" if name == "blend" else name,
                "means": [geometric_mean(subset, size) for size in wanted],
                "hard": geometric_mean(subset.filter(hard), wanted[-1]),
                "worst": float(ratio.min()),
                "better": float((ratio > 1).mean()),
            }
        )
    return sorted(board, key=lambda line: -line["hard"].value)


def cover_table(study: Study) -> dict[str, Any]:
    """Coverage by bins of ESS, as text."""
    edges = ESS_EDGES
    bins = [f"{a:g}-{b:g}" for a, b in pairwise(edges[:-1])]
    lines = []
    for name, (covered, count) in study.coverage.items():
        cells = [f"{c / n:.1%}" if n > 50 else "-" for c, n in zip(covered, count, strict=True)]
        lines.append((name, cells))
    return {"bins": [*bins, f"over {edges[-2]:g}"], "lines": lines}


def tables(study: Study) -> dict[str, pl.DataFrame]:
    """The verdicts and the comparison of estimators, for a paper."""
    board = [
        {"estimator": line["name"]}
        | {f"EED, N = {mean.size}": number(mean.value) for mean in line["means"]}
        | {"curved Q": number(line["hard"].value), "worst, over noise": number(line["worst"])}
        for line in scoreboard(study.rows)
    ]
    names = ("claim", "verdict", "estimate", "low", "high")
    claims = [{name: claim[name] for name in names} for claim in study.claims]
    shown = [{k: v if isinstance(v, str) else number(v) for k, v in c.items()} for c in claims]
    return {"estimators": pl.DataFrame(board), "claims": pl.DataFrame(shown)}


def write(study: Study, out: Path, command: str, paper: bool = False) -> Path:
    """figures/ and report.html, with tables/ for a paper; returns the page."""
    with explained(out):
        pictures = list(draw(study, paper))
        keep_pictures(out, pictures)
        if paper:
            keep_tables(out, tables(study))
        keep_page(out, render(study, pictures, command))
    return out / "report.html"


def render(study: Study, pictures: list[Picture], command: str) -> str:
    """The page as text."""
    template = page("steinflow.study", "report.html.jinja")
    verdicts = [claim["verdict"] for claim in study.claims]
    return template.render(
        claims=study.claims,
        meaning={
            claim["id"]: (MEANING[claim["id"]] | OPEN)[claim["verdict"]] for claim in study.claims
        },
        marks=MARKS,
        counts=[(v, verdicts.count(v)) for v in MARKS if v in verdicts],
        figures=embedded(pictures),
        grid=study.grid,
        rows=study.rows,
        families=families(study.rows),
        most=most(study.rows),
        board=scoreboard(study.rows),
        cover=cover_table(study),
        least_ess=round(RELIABLE_ESS),
        command=command,
    )
