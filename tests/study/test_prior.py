"""Preset prior: its truth, its tests, and a tiny run from end to end."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest

from steinflow.cli import main
from steinflow.levels import Level
from steinflow.study.conditions import FAMILIES, StudyConfig
from steinflow.study.prior import lines
from steinflow.study.prior.lines import against_best, consistency, holm, judge, needed
from steinflow.study.prior.problem import BLIND, METHODS, ROWS, WEIGHTED, behaviour, tilted
from steinflow.study.prior.run import all_cells, compute, grid_of, rows_of
from steinflow.supports import Box, RealSpace
from steinflow.targets import Boltzmann
from tests.helpers import exact_score, grid_posterior

TINY = StudyConfig(
    "prior", query_points=4, taus=(0.5,), num_draws=(2048,), alphas=(0.8,), families=("quadratic",)
)
LEVEL = Level(0.8, 0.6)
X = jnp.array([-0.9, 0.2])


@pytest.mark.parametrize("family", ["quadratic", "linear", "quadratic-outside"])
@pytest.mark.parametrize("support", [RealSpace(), Box(-1.0, 1.0)])
def test_the_truth_is_that_of_the_policy_with_its_prior(family, support):
    """The mixture of Gaussians against a product rule over mu exp(Q/tau) itself."""
    q, mu = FAMILIES[family](0.3, 2, support), behaviour(2, support)
    with_prior = Boltzmann(q.value, 0.3, support, log_prior=mu.value)
    edge = 1.0 if support.has_bounds else 6.0
    nodes, weight = grid_posterior(with_prior, X, LEVEL, (-edge, -edge), (edge, edge), 24)
    score = (LEVEL.alpha * (weight @ nodes) - X) / LEVEL.sigma**2
    np.testing.assert_allclose(exact_score(tilted(q, mu), X, LEVEL), score, atol=1e-7)
    assert np.abs(exact_score(q, X, LEVEL) - score).max() > 0.1  # the prior matters


@pytest.fixture(scope="module")
def tested():
    """A line an estimator, of one cell on R^d."""
    return {line["estimator"]: line for line in consistency(rows_with_prior())}


def rows_with_prior():
    """The rows of the tiny preset's cell on R^d."""
    grid = grid_of(TINY)
    cell = all_cells(grid)[0]
    part = {name: np.asarray(value) for name, value in compute(grid, cell).items()}
    return pl.DataFrame(list(rows_of(grid, cell, part)))


@pytest.mark.parametrize("name", [*METHODS, WEIGHTED])
def test_every_consistent_estimator_is_with_a_prior(tested, name):
    """64 tests at most, of 8 components, at a family-wise false alarm of 5 %; the seed is fixed."""
    assert tested[name]["verdict"] == "supported", tested[name]
    assert tested[name]["components"] >= 2


def test_the_gradient_of_the_prior_is_needed(tested):
    assert tested[BLIND]["verdict"] == "refuted" and tested[BLIND]["largest_t"] > 20.0


def test_a_prior_without_a_gradient_is_found(tested, monkeypatch):
    """The mutation itself: weights know log mu and gradients do not."""

    def value(self, action):
        return self.q(action) + self.tau * jax.lax.stop_gradient(self.log_prior(action))

    monkeypatch.setattr(Boltzmann, "value", value)
    jax.clear_caches()
    try:
        mutant = {line["estimator"]: line for line in consistency(rows_with_prior())}
    finally:
        jax.clear_caches()
    assert mutant["gradient"]["verdict"] == "refuted"
    assert np.isclose(mutant["gradient"]["largest_t"], tested[BLIND]["largest_t"])
    for name in ("noise", WEIGHTED):  # they take no gradient
        assert mutant[name]["verdict"] == "supported"


def test_holm_is_that_of_the_textbook():
    np.testing.assert_allclose(holm(np.array([0.01, 0.04, 0.03, 0.005])), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(holm(np.array([0.9, 0.6])), [1.0, 1.0])


def test_holm_raises_few_false_alarms():
    """20 true hypotheses in 2,000 families: 5 % of families, within four standard errors."""
    p = np.random.default_rng(0).uniform(size=(2000, 20))
    alarms = np.mean([holm(row).min() < 0.05 for row in p])
    assert abs(alarms - 0.05) < 4.0 * np.sqrt(0.05 * 0.95 / 2000)


def made_up(mse):
    """Rows of two cells with a prior, of these MSE."""
    return pl.DataFrame([
        {"q": q, "tau": 1.0, "alpha": 0.8, "dim": 2, "box": box, "prior": True, "budget": 64,
         "estimator": name, "mse": value, "mse_se": 0.01 * value, "trace": 1.0}
        for q, box in (("a", False), ("b", True)) for name, value in mse.items()
    ])  # fmt: skip


def test_auto_is_compared_with_the_best_of_each_cell():
    others = {"noise": 0.04, "rfm": 0.01}
    result = against_best(made_up({"auto": 0.02} | others), 64, tuple(others))
    # on the box rfm has a score of its own: 2 there, and 1/2 on R^d
    assert np.isclose(result.estimate, np.sqrt(2.0 * 0.5)) and result.below == 0.5
    assert result.low < 1.0 < result.high
    worse = against_best(made_up({"auto": 0.2} | others), 64, tuple(others))
    assert lines.below_one(worse._asdict()) == "refuted"
    better = against_best(made_up({"auto": 0.005} | others), 64, tuple(others))
    assert lines.below_one(better._asdict()) == "supported"


@pytest.mark.parametrize(
    ("tests", "verdict"),
    [((0, 0), "undecided"), ((9, 0), "refuted"), ((9, 3), "depends"), ((9, 9), "supported")],
)
def test_what_is_needed_is_seen_in_every_cell(tests, verdict):
    assert needed(dict(zip(("tested", "rejected"), tests, strict=True))) == verdict


def test_where_too_few_draws_count_nothing_is_said():
    nothing = {"tested": 0, "p_value": None, "largest_t": None}
    rows = made_up(dict.fromkeys(ROWS, 1.0)).with_columns(
        **{k: pl.lit(v) for k, v in nothing.items()}
    )
    lines = consistency(rows)
    assert [line["verdict"] for line in lines] == ["undecided"] * len(ROWS)
    assert {line["cells"] for line in lines} == {2}


def test_options_out_of_range_are_a_sentence(tmp_path, capsys):
    study = ["study", "--preset", "prior", "--out", str(tmp_path)]
    assert main([*study, "--families", "bimodal"]) == 2
    assert "Unknown Q-function of preset prior 'bimodal'" in capsys.readouterr().err
    assert main([*study, "--estimators", "qne"]) == 2
    assert "preset prior takes no estimators" in capsys.readouterr().err


@pytest.mark.slow
def test_a_tiny_run_and_its_page(tmp_path, capsys):
    command = ["study", "--preset", "prior", "--out", str(tmp_path), "--executor", "serial",
               "--quiet", "--query-points", "4", "--taus", "0.5", "--num-draws", "2048",
               "--alphas", "0.8", "--families", "quadratic"]  # fmt: skip
    assert main(command) == 0
    assert "supported  Every estimator" in capsys.readouterr().out
    rows = pl.read_parquet(tmp_path / "rows.parquet")
    assert rows.height == 2 * (len(ROWS) + len(METHODS))
    content = json.loads((tmp_path / "prior.json").read_text())
    assert content == json.loads(json.dumps(judge(rows)))
    assert {claim["id"]: claim["verdict"] for claim in content["claims"]} == {
        "consistent": "supported", "gradient-of-prior": "supported",
        "samples": "supported", "auto": "supported",
    }  # fmt: skip
    text = (tmp_path / "report.html").read_text()
    assert text.count("data:image/svg") == 2 and "http" not in text.split("<body>")[0]
    assert all(name in text for name in ROWS)
    stamps = {p: p.stat().st_mtime_ns for p in (tmp_path / "cells").glob("*.shard")}
    assert main(command) == 0
    assert stamps and stamps == {p: p.stat().st_mtime_ns for p in stamps}
