"""The page of preset `training`, with its figures and training.json beside it."""

from functools import partial
from pathlib import Path

from matplotlib.figure import Figure

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
from steinflow.report.style import LOOKS, shared_legend
from steinflow.study.training.lines import DISTANCE, compare
from steinflow.study.training.run import BUDGET, COURSES, Cell, Trained


def curves(results: Trained, policy: str) -> Figure:
    """Distance over evaluations of Q, a panel a density."""
    rows = results.rows.filter(results.rows["policy"] == policy)
    names = rows["density"].unique(maintain_order=True).to_list()
    figure = Figure(figsize=(10.5, 4.8), layout="constrained")
    axes = figure.subplots(2, 4).ravel()
    for ax, name in zip(axes, names, strict=False):
        for method in COURSES:
            subset = rows.filter((rows["density"] == name) & (rows["method"] == method))
            wide = subset.pivot(on="seed", index="evaluations", values=DISTANCE).sort("evaluations")
            values = wide.drop("evaluations").to_numpy()
            ax.plot(wide["evaluations"], values.mean(axis=1), label=method,
                    **LOOKS[method] | {"marker": ""})  # fmt: skip
            ax.fill_between(wide["evaluations"], values.min(axis=1), values.max(axis=1),
                            color=LOOKS[method]["color"], alpha=0.12, linewidth=0)  # fmt: skip
        ax.set(title=name, xscale="log", yscale="log")
    for ax in axes[len(names) :]:
        ax.set_visible(False)
    for ax in axes[::4]:
        ax.set_ylabel("sliced Wasserstein")
    for ax in axes[4:]:
        ax.set_xlabel("evaluations of Q")
    shared_legend(figure, axes[0])
    return figure


def pictures_of(results: Trained) -> Figure:
    """Samples of the first seed's flow policy beside exact ones."""
    columns = ("exact", *COURSES)
    names = results.rows["density"].unique(maintain_order=True).to_list()
    figure = Figure(figsize=(1.45 * len(columns), 1.45 * len(names)), layout="constrained")
    grid = figure.subplots(len(names), len(columns), squeeze=False)
    for row, name in zip(grid, names, strict=True):
        exact = results.samples[Cell(name, "exact", "flow")]
        low, high = exact.min(axis=0) - 0.3, exact.max(axis=0) + 0.3
        for ax, column in zip(row, columns, strict=True):
            points = results.samples[Cell(name, column, "flow")]
            ax.scatter(*points.T, s=0.6, color="#0072B2" if column != "exact" else "#000000",
                       linewidths=0, rasterized=True)  # fmt: skip
            ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), xticks=[], yticks=[])
            ax.grid(False)
        row[0].set_ylabel(name)
    for ax, column in zip(grid[0], columns, strict=True):
        ax.set_title(column)
    return figure


def draw(results: Trained, paper: bool = False) -> list[Picture]:
    """All figures."""
    return [
        drawn("samples", "What the policies draw", "Flow policies of the first seed at the end.",
              partial(pictures_of, results), paper),
        drawn("curves", "Distance over training, flow policies",
              "Mean over seeds; bands from least to largest.",
              partial(curves, results, "flow"), paper),
        drawn("curves-diffusion", "Distance over training, diffusion policies", "One seed.",
              partial(curves, results, "diffusion"), paper),
    ]  # fmt: skip


def write(results: Trained, out: Path, command: str, paper: bool = False) -> Path:
    """figures/, rows.parquet, training.json and report.html, with tables/ for a paper; returns
    the page."""
    lines = compare(results.rows)
    with explained(out):
        pictures = draw(results, paper)
        keep_pictures(out, pictures)
        if paper:
            keep_tables(out, {"distances": results.rows})
        write_atomically(out / "rows.parquet", results.rows.write_parquet)
        write_json(out / "training.json", lines)
        text = page("steinflow.study.training", "training.html.jinja").render(
            lines=lines,
            densities=results.rows["density"].n_unique(),
            budget=BUDGET,
            samples=len(next(iter(results.samples.values()))),
            figures=embedded(pictures),
            command=command,
        )
        keep_page(out, text)
    return out / "report.html"
