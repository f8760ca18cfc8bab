"""Comparisons of the leaderboard, on rows whose answer is known."""

import json
import re
from html.parser import HTMLParser
from itertools import product

import numpy as np
import polars as pl
import pytest

from steinflow.study.leaderboard.compare import (
    against,
    at_equal_time,
    best,
    left_out,
    log_eed,
    log_ratio,
    oracle,
    pooled,
    tabulate,
)
from steinflow.study.leaderboard.contest import OURS, PUBLISHED, methods
from steinflow.study.leaderboard.grid import DISTRIBUTIONS, Board
from steinflow.study.leaderboard.lines import judge
from steinflow.study.leaderboard.report import write
from steinflow.study.leaderboard.run import Results
from steinflow.study.leaderboard.tables import BEST, decision_chart, win_table, worst_cells

BOARD = Board()
FULL = {
    "support": BOARD.supports, "dim": BOARD.dims, "distribution": tuple(DISTRIBUTIONS),
    "q": BOARD.families,
    "tau": BOARD.taus, "budget": BOARD.budgets, "alpha": BOARD.alphas,
}  # fmt: skip
SMALL = {"dim": (6,), "q": ("linear", "pairs"), "tau": (0.02,), "budget": (64,)}
ONE = SMALL | {"q": ("pairs",), "alpha": (0.5,), "distribution": ("pi",), "support": ("box",)}
NO_ACTIONS = NO_TIMES = pl.DataFrame()
MSES = ("mse", "mse_a", "mse_b", "mse_se", "mse_choice")
WORTH = dict.fromkeys(PUBLISHED["box"], 1.0) | dict(zip(OURS, (20.0, 5.0), strict=True))


def rows_of(worth=WORTH, noise=0.05, **grid):
    """Rows of a grid where a method is worth so many exact draws; standard errors are a share
    `noise` of the MSE, methods are independent, and the halves of trials and states agree."""
    axes, rows = FULL | grid, []
    for place in product(*axes.values()):
        cell = dict(zip(axes, place, strict=True))
        for method in methods(cell["support"]):
            mse = 16.0 / worth[method]
            rows.append(cell | {
                "method": method, "trace": 16.0, "mse": mse, "mse_a": mse, "mse_b": mse,
                "mse_se": noise * mse, "trace_choice": 8.0,
                "mse_choice": 0.5 * mse, "reference_mse": 0.0, "eed": min(1e4, worth[method]),
                "states": 16, "trials": 64, "seed": 0,
            })  # fmt: skip
    return pl.DataFrame(rows)


def scaled(rows, factor, columns=MSES, **where):
    """The rows with all MSEs, or other columns, multiplied in some of them."""
    here = pl.all_horizontal(pl.lit(True), *(pl.col(name) == v for name, v in where.items()))
    return rows.with_columns(pl.col(columns) * pl.when(here).then(factor).otherwise(1.0))


def simulated(rivals, count=400, trials=64):
    """Rows of `count` independent cells from trials. MSE of auto is 1, those of the rivals are
    given, all others are 1,000."""
    rng, names = np.random.default_rng(5), methods("real")
    truth = np.array([{"auto": 1.0, **rivals}.get(name, 1e3) for name in names])
    losses = truth[:, None, None] * rng.gamma(2.0, 0.5, (len(names), count, trials))
    away = (losses - losses.mean(-1, keepdims=True)) / np.sqrt(trials * (trials - 1))
    rows = rows_of(**ONE | {"support": ("real",), "tau": tuple(np.arange(1.0, count + 1.0))})
    error = np.sqrt(np.sum(away**2, -1))
    columns = {"mse": losses.mean(-1), "mse_a": losses[..., ::2].mean(-1),
               "mse_b": losses[..., 1::2].mean(-1), "mse_se": error}  # fmt: skip
    return rows.with_columns(**{name: value.T.ravel() for name, value in columns.items()})


def lines_of(rows, actions=NO_ACTIONS, times=NO_TIMES):
    """The lines by id."""
    return {line["id"]: line for line in judge(rows, actions, times)}


def times_of(ours, **grid):
    """Every published method takes a millisecond, auto as many as are given."""
    axes = FULL | grid
    return pl.DataFrame(
        [
            {"support": support, "dim": dim, "budget": budget, "method": name,
             "milliseconds": ours if name == "auto" else 1.0}
            for support, dim, budget in product(axes["support"], axes["dim"], axes["budget"])
            for name in (*PUBLISHED[support], "auto")
        ]
    )  # fmt: skip


def test_the_error_of_a_ratio_is_that_of_both_methods():
    ratios = against(tabulate(simulated({"cvsi": 2.0}), NO_ACTIONS), "auto", "cvsi")
    z = (ratios.log - np.log(0.5)) / ratios.error
    assert abs(z.mean()) < 4.5 / np.sqrt(z.size) and 0.87 < z.std() < 1.15  # 1 ± 4 of its errors


def test_an_oracle_does_not_profit_from_its_own_luck():
    """Two equal rivals: the better of the trials at hand looks better than it is."""
    cells = tabulate(simulated({"cvsi": 2.0, "rfm": 2.0}), NO_ACTIONS)
    log, error = oracle(cells, "auto")
    z = (log - np.log(0.5)) / error
    assert abs(z.mean()) < 4.5 / np.sqrt(z.size) and 0.87 < z.std() < 1.15
    lucky = np.maximum(*(log_eed(cells, name) for name in ("cvsi", "rfm")))
    naive = (lucky - log_eed(cells, "auto") - np.log(0.5)) / error
    assert naive.mean() > 6.0 / np.sqrt(z.size)


def test_an_oracle_is_chosen_on_one_half_and_measured_on_the_other():
    rows = scaled(rows_of(**ONE), 0.25, ["mse_a"], method="cvsi")
    rows = scaled(rows, 3.0, ["mse_b"], method="cvsi")
    cells = tabulate(rows, NO_ACTIONS)
    # half a chooses cvsi, 3 times worse than the rest on half b; half b another one
    assert np.exp(oracle(cells, "auto").log) == pytest.approx(np.sqrt(1 / 60 * 1 / 20))


def test_capped_values_have_ratio_one_and_no_error():
    cells = tabulate(rows_of(WORTH | {"auto": 1e9, "cvsi": 2e4, "qne": 1e3}, **ONE), NO_ACTIONS)
    assert against(cells, "auto", "cvsi") == (0.0, 0.0)
    log, error = against(cells, "auto", "qne")
    assert log == pytest.approx(np.log(0.1)) and error == pytest.approx(0.05)


def test_errors_add_within_a_problem_and_in_squares_between():
    rows = rows_of(**ONE | {"alpha": (0.1, 0.5), "q": ("pairs", "mixture", "coupled")})
    cells = tabulate(rows, NO_ACTIONS)
    result = pooled(cells, np.arange(6.0), np.full(6, 0.3))
    assert result.estimate == 2.5
    assert result.high - result.estimate == pytest.approx(1.96 * np.sqrt(3 * 0.6**2) / 6)


def test_an_estimate_that_is_not_finite_is_worth_nothing():
    rows = rows_of(**ONE).with_columns(
        mse=pl.when(pl.col("method") == "auto").then(float("nan")).otherwise("mse")
    )
    assert log_ratio(tabulate(rows, NO_ACTIONS), "auto", "qne") > 600


def test_published_methods_on_the_whole_space():
    cells = tabulate(rows_of(WORTH | {"qne": 3.0, "gradient": 2.0}, **SMALL), NO_ACTIONS)
    real = cells.filter(pl.col("support") == "real")
    assert np.exp(log_eed(real, "sdac")) == pytest.approx(np.full(real.height, 3.0))
    assert np.exp(log_eed(real, "idem")) == pytest.approx(np.full(real.height, 2.0))
    assert np.exp(log_eed(cells, "sdac")).min() == pytest.approx(1.0)


def test_rfm_can_be_left_out_on_boxes_only():
    cells = tabulate(rows_of(WORTH | {"rfm": 4.0}, **SMALL), NO_ACTIONS)
    box = (cells["support"] == "box").to_numpy()
    ratios = np.exp(oracle(cells, "auto", latent=False).log)
    assert ratios[box] == pytest.approx(0.05) and ratios[~box] == pytest.approx(0.2)
    assert set(best(cells)) == {PUBLISHED["box"].index("rfm")}


@pytest.mark.parametrize(("energy", "ratio"), [(0.0129, 0.05), (0.0131, 1.0)])
def test_a_win_over_rfm_counts_where_its_actions_are_not_clearly_better(energy, ratio):
    """Two standard errors of the difference are .003."""
    at = {"dim": 6, "q": "pairs", "tau": 0.02, "budget": 64, "energy_se": 0.0015 / np.sqrt(2)}
    actions = pl.DataFrame(
        [at | {"method": "auto", "energy": energy}, at | {"method": "rfm", "energy": 0.01}]
    )
    cells = tabulate(rows_of(**SMALL), actions)
    ratios = cells.select("support", "q", r=np.exp(log_ratio(cells, "auto", "rfm")))
    here = (pl.col("support") == "box") & (pl.col("q") == "pairs")
    assert ratios.filter(here)["r"].to_numpy() == pytest.approx(ratio)
    assert ratios.filter(~here)["r"].to_numpy() == pytest.approx(0.05)
    assert np.exp(log_ratio(cells, "auto", "cvsi")) == pytest.approx(np.full(cells.height, 0.05))


def test_cells_with_a_doubtful_truth_are_left_out_and_listed():
    rows = rows_of(**SMALL)
    doubt = (pl.col("q") == "pairs") & (pl.col("alpha") == 0.3) & (pl.col("method") == "rfm")
    for reference, count in ((1.59, 0), (1.61, 6)):  # the MSE of rfm is 16
        table = rows.with_columns(reference_mse=pl.when(doubt).then(reference).otherwise(0.0))
        assert left_out(table).height == count
        assert tabulate(table, NO_ACTIONS).height == 60 - count


def test_bars_are_met_by_whole_intervals():
    lines = lines_of(rows_of(WORTH | {"auto": 15.0}, noise=0.1, **SMALL))
    line = lines["1-auto-pi"]
    assert line["estimate"] == pytest.approx(1 / 15.0) and line["low"] < 0.07 < line["high"]
    assert line["met"] is False and lines["1-auto-lag"]["met"] is True
    assert lines_of(rows_of(noise=0.01, **SMALL))["1-auto-pi"]["met"] is True
    assert lines["1-auto-uniform"]["met"] is None and lines["1-auto-uniform"]["estimate"] < 0.07
    assert (lines["1-auto-pi"]["bar"], lines["1-auto-pi-hard"]["bar"]) == (0.07, 0.08)


@pytest.mark.parametrize(("ours", "factor"), [(4.0, 0.5), (0.25, 2.0)])
def test_at_equal_time_a_rival_moves_along_its_own_slope(ours, factor):
    """Its MSE falls with the root of its budget; auto takes four times as long, or a fourth."""
    grid = ONE | {"budget": (16, 64, 256)}
    rows = scaled(scaled(rows_of(**grid), 0.5, budget=64), 0.25, budget=256)
    cells = tabulate(rows, NO_ACTIONS)
    same = at_equal_time(cells, times_of(ours, dim=(6,)))
    for name in ("cvsi", "sdac"):
        moved = same[f"mse:{name}"].to_numpy() / cells[f"mse:{name}"].to_numpy()
        assert moved == pytest.approx(np.full(3, factor))
    assert same["mse:auto"].equals(cells["mse:auto"])


def test_the_lines_of_equal_time():
    """A single budget: an MSE falls as its inverse, and auto of twice the time gains half."""
    rows, times = rows_of(noise=0.01, **SMALL), times_of(2.0, dim=(6,), budget=(64,))
    lines = lines_of(rows, times=times)
    assert lines["4-equal-time-pi"]["estimate"] == pytest.approx(0.1)
    assert lines["4-equal-time-pi"]["met"] is True and lines["4-equal-time-pi"]["bar"] == 0.12
    slow = lines_of(rows, times=times_of(3.0, dim=(6,), budget=(64,)))
    assert slow["4-equal-time-pi-hard"]["estimate"] == pytest.approx(0.15)
    assert slow["4-equal-time-lag"]["met"] is False
    assert "4-equal-time-pi" not in lines_of(rows)


def test_hard_cells_are_judged_by_themselves():
    rows = scaled(rows_of(**SMALL), 4.0, method="auto", q="pairs")
    lines = lines_of(rows)
    assert lines["2-qne"]["estimate"] == pytest.approx(0.1) and lines["2-qne"]["met"]
    assert lines["2-qne-hard"]["estimate"] == pytest.approx(0.2) and not lines["2-qne-hard"]["met"]
    assert lines["2-qne-hard"]["cells"] == lines["2-qne"]["cells"] // 2 == 30


def test_the_worst_cells_are_listed():
    rows = rows_of(**SMALL)
    bad = {"method": "auto", "distribution": "lag", "q": "pairs", "alpha": 0.7, "support": "real"}
    rows = scaled(rows, 40.0, **bad)
    worst = worst_cells(rows, NO_ACTIONS, 3)
    assert worst.height == 3 and worst["ratio"][:2].to_list() == pytest.approx([2.0, 0.05])
    assert worst["low"][0] < 2.0 < worst["high"][0] and worst["eed_auto"][0] == pytest.approx(0.5)


def test_shares_of_cells_worth_an_exact_draw():
    rows = rows_of(WORTH | {"auto": 1.5}, **SMALL | {"alpha": (0.1, 0.3, 0.5, 0.9)})
    rows = scaled(rows, 2.0, method="auto", alpha=0.5)
    lines = lines_of(scaled(rows, 9.0, method="auto", alpha=0.9))
    share = lines["3-share-auto-pi"]
    assert share["estimate"] == pytest.approx(2 / 3) and share["cells"] == 12
    assert share["met"] is False and share["low"] <= 2 / 3 <= share["high"]
    gain = lines["3-gain-lag"]
    assert gain["estimate"] == pytest.approx((1.5 * 1.5 * 0.75) ** (1 / 3), rel=1e-6)
    assert gain["low"] < gain["estimate"] < gain["high"] and gain["met"] is False
    assert lines_of(rows_of(**SMALL))["3-share-auto-pi"]["met"] is True
    assert lines_of(rows_of(**SMALL))["3-gain-lag"]["met"] is True


def test_held_out_states_are_compared_with_those_used_for_choices():
    """auto spends a quarter of its error on the choice half: a third of that on the other."""
    rows = scaled(rows_of(**SMALL), 0.5, ["mse_choice"], method="auto")
    lines = lines_of(rows)
    assert lines["5-auto-pi-choice"]["estimate"] == pytest.approx(0.5 / 20)
    assert lines["5-auto-pi-held"]["estimate"] == pytest.approx(1.5 / 20)
    assert lines["5-auto-pi"]["estimate"] == pytest.approx(3.0)
    assert lines["5-auto-pi"]["met"] is False and lines["5-one-level-pi"]["met"] is True
    assert lines["5-auto-pi"]["cells"] == 10  # pairs only
    few = scaled(rows_of(**SMALL), 2.0, ["mse_choice", "trace_choice"])  # no states are left
    assert lines_of(few)["5-auto-pi"]["met"] is None


def test_lines_without_cells_are_incomplete():
    lines = lines_of(rows_of(**SMALL | {"distribution": ("pi",), "support": ("box",), "dim": (2,)}))
    for name in ("1-auto-lag", "3-share-auto-pi", "3-gain-lag-hard", "5-auto-uniform"):
        assert lines[name]["estimate"] is lines[name]["met"] is None and lines[name]["cells"] == 0
    assert lines["1-auto-pi"]["met"] is True
    empty = rows_of(**SMALL).clear()
    assert all(line["estimate"] is None for line in judge(empty, NO_ACTIONS, NO_TIMES))
    assert worst_cells(empty, NO_ACTIONS, 5).is_empty()
    assert win_table(empty, NO_ACTIONS).is_empty() and decision_chart(empty, NO_ACTIONS).is_empty()


def test_a_cell_that_lacks_a_method_is_in_no_line():
    rows = rows_of(**SMALL)
    rows = rows.filter(~((pl.col("method") == "cvsi") & (pl.col("alpha") == 0.1)))
    assert lines_of(rows)["1-auto-pi"]["cells"] == 16


def test_the_win_table():
    rows = scaled(rows_of(**SMALL), 40.0, method="auto", alpha=0.1)  # ratio 2
    rows = scaled(rows, 19.0, method="auto", alpha=0.3)  # .95, within the noise
    table = win_table(rows, NO_ACTIONS).filter(pl.col("rival") == "rfm")
    assert table["cells"].to_list() == [30, 30]
    for column, share in (("better", 0.8), ("clearly_better", 0.6), ("clearly_worse", 0.2)):
        assert table[column].to_list() == pytest.approx([share, share])
    rivals = win_table(rows, NO_ACTIONS).filter(pl.col("support") == "real")["rival"].to_list()
    assert rivals == [*PUBLISHED["real"], BEST]


def test_the_decision_chart():
    rows = rows_of(WORTH | {"cvsi": 2.0}, **SMALL)
    rows = scaled(rows, 20.0, method="auto", alpha=0.1)
    rows = scaled(rows, 80.0, method="auto", alpha=0.9)
    rows = scaled(rows, 80.0, method="auto", alpha=0.7)
    chart = decision_chart(scaled(rows, 1e-3, q="linear"), NO_ACTIONS)  # linear is easy
    box = chart.filter(pl.col("support") == "box").rows_by_key(["noise", "gives"], named=True)
    quiet, noisy = (box[noise, "gradients"][0] for noise in ("α > 0.5", "α ≤ 0.5"))
    assert noisy["use"] == "auto" and noisy["simple"] == "cvsi"
    assert noisy["saves"] == pytest.approx((20 * 20 * 1) ** (1 / 3) / 2)
    assert quiet["use"] == "cvsi" and quiet["saves"] == pytest.approx(1 / 8)
    assert box["α ≤ 0.5", "values"][0]["use"] == "qne"
    assert chart.height == 8


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A page of few cells, with actions, a disputed one and a cell left out."""
    rows = rows_of(**SMALL | {"dim": (2, 6)})
    doubt = (pl.col("q") == "pairs") & (pl.col("alpha") == 0.3) & (pl.col("dim") == 2)
    rows = rows.with_columns(reference_mse=pl.when(doubt).then(9.0).otherwise(0.0))
    at = {"dim": 6, "q": "pairs", "tau": 0.02, "budget": 64, "energy_se": 0.001}
    actions = pl.DataFrame(
        [at | {"method": "auto", "energy": 0.1}, at | {"method": "rfm", "energy": 0.01}]
    )
    folder, times = tmp_path_factory.mktemp("page"), times_of(2.0, dim=(2, 6), budget=(64,))
    return write(Results(rows, actions), times, folder, "steinflow --out '<script>'")


@pytest.mark.slow
def test_the_page_is_self_contained_escaped_and_starts_with_the_bars(page):
    text = page.read_text()
    assert text.startswith("<!DOCTYPE html>") and "prefers-color-scheme: dark" in text
    assert not re.search(r'(src|href)="(?!data:)', text) and "<script" not in text
    assert "&lt;script&gt;" in text
    order = ["The bars", "Where auto wins", "The worst cells", "<h2>Time", "<figure",
             "Which estimator", "Cells left out", "How it was measured"]  # fmt: skip
    places = [text.index(words) for words in order]
    assert places == sorted(places)
    assert "✓ met" in text and "✗ missed" in text and "6 cells are in no number" in text
    assert "in 1 problems on boxes" in text


def test_every_tag_of_the_page_is_closed(page):
    open_tags = []

    class Balance(HTMLParser):
        def handle_starttag(self, tag, attrs):
            if tag not in {"meta", "img"}:
                open_tags.append(tag)

        def handle_endtag(self, tag):
            assert open_tags.pop() == tag, self.getpos()

    Balance().feed(page.read_text())
    assert not open_tags


def test_the_files_beside_the_page(page):
    content = json.loads((page.parent / "leaderboard.json").read_text())
    lines = content["lines"]
    assert len({line["id"] for line in lines}) == len(lines) > 80
    assert {"text", "cells", "estimate", "low", "high", "bar", "aim", "met"} <= set(lines[0])
    assert len(content["worst"]) == 10 and content["code"]
    assert {row["method"] for row in content["milliseconds"]} == {*PUBLISHED["box"], "auto"}
    pictures = {path.name for path in (page.parent / "figures").iterdir()}
    names = ("ratios", "levels", "exact-draws", "heat-box", "heat-real")
    assert pictures == {f"{name}.{kind}" for name in names for kind in ("svg", "png")}
