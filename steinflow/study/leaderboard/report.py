"""The leaderboard's page, the bars first; leaderboard.json and figures/ beside it."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from steinflow.io.files import explained, write_json
from steinflow.report.pages import (
    Picture,
    drawn,
    embedded,
    keep_page,
    keep_pictures,
    keep_tables,
    page,
)
from steinflow.study.leaderboard.actions import SAMPLES, STEPS
from steinflow.study.leaderboard.compare import DRIVEN, disputed, left_out, tabulate
from steinflow.study.leaderboard.figures import FIGURES, LOOKS, SUPPORTS, values
from steinflow.study.leaderboard.grid import GRADIENT, VALUE
from steinflow.study.leaderboard.lines import DISTRIBUTION_TEXT, judge
from steinflow.study.leaderboard.run import Results
from steinflow.study.leaderboard.tables import SITUATION, decision_chart, win_table, worst_cells
from steinflow.study.leaderboard.versions import ROWS, code_version

WORST = 10
SECTIONS = {
    "1": "Against the best published method of each cell",
    "2": "Against each published method",
    "3": "Low temperature, high noise, six dimensions and more",
    "4": "At equal time, with a ReLU critic of two layers of 256",
    "5": "Networks and mixtures that no choice has seen",
}
MARKS = {"met": "✓", "missed": "✗", "shown": "", "incomplete": "…"}


def draw(cells: pl.DataFrame, paper: bool = False) -> Iterator[Picture]:
    """Every figure that has cells."""
    for name, caption in FIGURES.items():
        subset = cells.filter(caption.where)
        if subset.height:
            yield drawn(name, caption.title, caption.text, partial(caption.draw, subset), paper)


def status(line: dict[str, Any]) -> str:
    """A word for a line."""
    if line["estimate"] is None:
        return "incomplete"
    return {None: "shown", True: "met", False: "missed"}[line["met"]]


def by_section(lines: list[dict[str, Any]]) -> dict[str, list[list[dict[str, Any]]]]:
    """Under each heading, every line with its scopes side by side."""
    sections: dict[str, dict[str, list[dict[str, Any]]]] = {
        title: {} for title in SECTIONS.values()
    }
    for line in lines:
        section = sections[SECTIONS[line["id"].split("-")[0]]]
        section.setdefault(line["text"], []).append(line | {"status": status(line)})
    return {title: list(pairs.values()) for title, pairs in sections.items()}


def chart(rows: pl.DataFrame, actions: pl.DataFrame) -> list[tuple[list[str], dict[int, Any]]]:
    """The decision chart with the budgets side by side."""
    by_place: dict[tuple[str, ...], dict[int, Any]] = {}
    for line in decision_chart(rows, actions).to_dicts():
        place = *(line[name] for name in SITUATION[:-1]), line["gives"]
        by_place.setdefault(place, {})[line["budget"]] = line
    return [(list(place), budgets) for place, budgets in by_place.items()]


def write(
    results: Results, times: pl.DataFrame, out: Path, command: str, paper: bool = False
) -> Path:
    """figures/, leaderboard.json and report.html, with tables/ for a paper; returns the page."""
    rows, actions = results
    lines = judge(rows, actions, times)
    with explained(out):
        pictures = list(draw(tabulate(rows, actions), paper))
        keep_pictures(out, pictures)
        if paper:
            keep_tables(out, {"wins": win_table(rows, actions)})
        write_json(out / "leaderboard.json", {
            "code": code_version(ROWS),
            "lines": lines,
            "worst": worst_cells(rows, actions, WORST).to_dicts(),
            "milliseconds": times.to_dicts(),
        })  # fmt: skip
        keep_page(out, render(results, times, lines, pictures, command))
    return out / "report.html"


def time_table(times: pl.DataFrame) -> list[dict[str, Any]]:
    """A row a support, dimension and budget; milliseconds a method."""
    if times.is_empty():
        return []
    place = ["support", "dim", "budget"]
    return times.pivot("method", index=place, values="milliseconds").sort(place).to_dicts()


def render(
    results: Results,
    times: pl.DataFrame,
    lines: list[dict[str, Any]],
    pictures: list[Picture],
    command: str,
) -> str:
    """The page as text."""
    rows, actions = results
    template = page("steinflow.study.leaderboard", "leaderboard.html.jinja")
    words = [status(line) for line in lines]
    axes = ("dim", "q", "tau", "alpha", "budget", "states", "trials", "seed")
    return template.render(
        sections=by_section(lines),
        marks=MARKS,
        counts={word: words.count(word) for word in ("met", "missed", "incomplete")},
        wins=win_table(rows, actions).to_dicts(),
        worst=worst_cells(rows, actions, WORST).to_dicts(),
        figures=embedded(pictures),
        chart=chart(rows, actions),
        times=time_table(times),
        out=left_out(rows).to_dicts(),
        disputed=disputed(actions).to_dicts(),
        driven=0 if actions.is_empty() else actions.select(DRIVEN).n_unique(),
        flow={"samples": SAMPLES, "steps": STEPS},
        cells=tabulate(rows, actions).height,
        methods=[name for name in LOOKS if name in values(rows, "method")],
        grid={name: values(rows, name) for name in axes},
        supports=SUPPORTS,
        distributions=DISTRIBUTION_TEXT,
        cost={"value": VALUE, "gradient": GRADIENT},
        command=command,
    )
