"""What every report is made of: pictures, tables for a paper, and one self-contained page."""

import base64
import io
from collections.abc import Callable, Iterable
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import IO, NamedTuple

import jinja2
import numpy as np
import polars as pl
from markupsafe import Markup
from matplotlib.figure import Figure

from steinflow.checks import lookup
from steinflow.io.files import write_atomically
from steinflow.report.style import styled

STYLES = {"screen": False, "paper": True}


def is_for_paper(style: str) -> bool:
    """Whether PDF figures and LaTeX tables are wanted too.

    Raises:
        ValueError: the style is unknown; the nearest is named.
    """
    return bool(lookup("style", style, STYLES))


class Picture(NamedTuple):
    """A drawn figure of a report."""

    name: str
    title: str
    text: str
    files: dict[str, bytes]  # by kind: svg, png, and pdf for a paper


def drawn(
    name: str, title: str, text: str, figure_of: Callable[[], Figure], paper: bool = False
) -> Picture:
    """A figure in the look of the house."""
    with styled():
        figure = figure_of()
        kinds = ("svg", "png", "pdf") if paper else ("svg", "png")
        return Picture(name, title, text, {kind: encode(figure, kind) for kind in kinds})


def encode(figure: Figure, kind: str) -> bytes:
    """A figure as bytes, the same for the same figure."""
    buffer = io.BytesIO()
    nothing = {"svg": {"Date": None}, "png": {"Software": None}, "pdf": {"CreationDate": None}}
    figure.savefig(buffer, format=kind, dpi=120, metadata=nothing[kind])
    return buffer.getvalue()


def embedded(pictures: Iterable[Picture]) -> list[tuple[str, str, str, str]]:
    """Name, title, text and base64 SVG: what a page shows."""
    return [(p.name, p.title, p.text, base64.b64encode(p.files["svg"]).decode()) for p in pictures]


def save(file: IO[bytes], data: bytes) -> None:
    """Write bytes to an open file."""
    file.write(data)


def keep_pictures(out: Path, pictures: Iterable[Picture]) -> None:
    """figures/NAME.svg and .png, and .pdf where there is one."""
    for picture in pictures:
        for kind, data in picture.files.items():
            write_atomically(out / "figures" / f"{picture.name}.{kind}", partial(save, data=data))


def keep_page(out: Path, text: str) -> None:
    """report.html."""
    write_atomically(out / "report.html", partial(save, data=text.encode()))


def keep_tables(out: Path, tables: dict[str, pl.DataFrame]) -> None:
    """tables/NAME.csv and NAME.tex."""
    for name, table in tables.items():
        for kind, text in (("csv", table.write_csv()), ("tex", latex_of(table))):
            path = out / "tables" / f"{name}.{kind}"
            write_atomically(path, partial(save, data=text.encode()))


SPECIAL = {"\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
           "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
           "τ": r"$\tau$", "σ": r"$\sigma$", "α": r"$\alpha$", "π": r"$\pi$", "×": r"$\times$",
           "≤": r"$\le$", "≥": r"$\ge$", "±": r"$\pm$", "→": r"$\to$", "²": r"$^2$"}  # fmt: skip


def latex_of(table: pl.DataFrame) -> str:
    """A tabular with booktabs' rules; words to the left, numbers to the right."""

    def cell(value: object) -> str:
        if isinstance(value, float):
            return number(value)
        text = "" if value is None else str(value)
        return "".join(SPECIAL.get(letter, letter) for letter in text)

    words = ["l" if kind == pl.String else "r" for kind in table.dtypes]
    lines = [" & ".join(cell(value) for value in row) + r" \\" for row in table.iter_rows()]
    head = " & ".join(cell(name) for name in table.columns) + r" \\"
    inner = "\n".join([r"\toprule", head, r"\midrule", *lines, r"\bottomrule"])
    return f"\\begin{{tabular}}{{{''.join(words)}}}\n{inner}\n\\end{{tabular}}\n"


def number(value: float | None) -> str:
    """Three significant digits, as people write them."""
    if value is None or not np.isfinite(value):
        return "-"
    if abs(value) < 1e-9:
        return "0"
    return f"{value:.3g}" if 1e-3 <= abs(value) < 1e4 else f"{value:.1e}"


def page(package: str, name: str) -> jinja2.Template:
    """A template of a page in the look of the house; what users gave is escaped."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["number"] = number
    look = files("steinflow.report").joinpath("page.css").read_text("utf-8")
    environment.globals["css"] = Markup(look)
    return environment.from_string(files(package).joinpath(name).read_text("utf-8"))
