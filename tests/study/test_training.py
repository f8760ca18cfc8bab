"""Preset training: distances, judgements, and a small run from end to end."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest

from steinflow.cli import main
from steinflow.study.training.densities import DENSITIES
from steinflow.study.training.distances import energy, sliced_wasserstein, squared_mmd
from steinflow.study.training.lines import compare


def test_distances_are_zero_between_equal_laws_and_know_a_shift():
    x, y = jax.random.normal(jax.random.key(0), (2, 800, 2))
    away = y + jnp.array([1.0, 0.0])
    assert abs(float(energy(x, y))) < 0.01 and abs(float(squared_mmd(x, y))) < 0.01
    key = jax.random.key(1)
    assert float(sliced_wasserstein(key, x, y)) < 0.12
    # a shift of 1 projects to |cos|, 2/pi on average
    assert abs(float(sliced_wasserstein(key, x, x + jnp.array([1.0, 0.0]))) - 2 / np.pi) < 0.1
    # E|N(m, 2I)| - E|N(0, 2I)| in the plane, by quadrature of the Rice distribution
    assert abs(float(energy(x, away)) - 0.4155) < 0.09
    assert float(squared_mmd(x, away)) > 0.1


@pytest.mark.parametrize("name", DENSITIES)
def test_every_density_has_samples_where_its_policy_can_go(name):
    target = DENSITIES[name]()
    points = np.asarray(target.sample(jax.random.key(0), 200))
    assert np.isfinite(points).all() and np.abs(points).max() < 4.0
    assert not target.support.has_walls or np.abs(points).max() <= 1.0


def rows(finals, seeds=3):
    """Distances that fall as 1/steps to an end of their own."""
    return pl.DataFrame([
        {"policy": "flow", "density": "d", "method": method, "seed": seed, "steps": step,
         "evaluations": 10 * step, "sliced_wasserstein": end * (1 + seed / 10) + 1.0 / step}
        for method, end in finals.items() for seed in range(seeds) for step in range(100, 1100, 100)
    ])  # fmt: skip


def test_the_least_and_the_share_of_evaluations():
    (line,) = compare(rows({"noise": 0.2, "auto": 0.1, "rfm": 0.15}))
    assert line["best"] == "rfm" and line["least"] and line["share"] == 0.1
    (line,) = compare(rows({"noise": 0.2, "auto": 0.3}))
    assert not line["least"] and line["share"] is None


@pytest.mark.slow
def test_a_small_run_and_its_page(tmp_path, monkeypatch, capsys):
    import steinflow.study.training.run as training

    small = training.Plan(densities=("corner",), seeds=2, samples=64, checkpoints=3, every=5)
    monkeypatch.setattr(training, "plan_of", lambda config: small)
    monkeypatch.setattr(training, "METHODS", {"noise": 1, "auto": 2})
    assert main(["study", "--preset", "training", "--out", str(tmp_path), "--quiet"]) == 0
    found = pl.read_parquet(tmp_path / "rows.parquet")
    assert found.height == 2 * (2 + 1) * 3
    assert found["evaluations"].max() == 15 * 64 * 4 * 8
    assert len(json.loads((tmp_path / "training.json").read_text())) == 2
    assert (tmp_path / "report.html").read_text().count("data:image/svg") == 3
    stamps = {p: p.stat().st_mtime_ns for p in (tmp_path / "cells").glob("*.shard")}
    assert main(["study", "--preset", "training", "--out", str(tmp_path), "--quiet"]) == 0
    assert stamps and stamps == {p: p.stat().st_mtime_ns for p in stamps}
