"""Preset training: distances, judgements, and a small run from end to end."""

import json
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest

from steinflow.cli import main
from steinflow.conversions import posterior_mean
from steinflow.methods import ESTIMATORS
from steinflow.schedules import LinearFlow
from steinflow.score import score_targets
from steinflow.study.training.densities import DENSITIES
from steinflow.study.training.distances import energy, sliced_wasserstein, squared_mmd
from steinflow.study.training.evidence import Evidence, Evidenced, weighed
from steinflow.study.training.learn import STATES
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
    assert not target.support.has_bounds or np.abs(points).max() <= 1.0


def test_targets_weighed_by_their_evidence_are_unbiased():
    """Σ z goal/Σ z over many keys is E[a|x]; the plain mean of the goals is not."""
    target = DENSITIES["eight-gaussians"]()
    x, level = jnp.array([[[0.9, 0.3]]]), LinearFlow()(jnp.array(0.5))
    truth = posterior_mean(target.exact_score(x[0, 0], level), x[0, 0], level)
    method = ESTIMATORS["noise"]
    method = replace(method, estimator=Evidenced(method.estimator))

    def one(key):
        estimates = score_targets(key, target, x, level, method, num_draws=3)
        return posterior_mean(estimates.score[0, 0], x[0, 0], level), estimates.info.coefficient[
            0, 0
        ]

    goals, log_z = jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(0), 40_000))
    z = jnp.exp(log_z - jnp.max(log_z))[:, None]
    mean = jnp.sum(z * goals, axis=0) / jnp.sum(z)
    error = jnp.sqrt(jnp.sum((z * (goals - mean)) ** 2, axis=0)) / jnp.sum(z)
    assert jnp.all(jnp.abs(mean - truth) < 4.0 * error)
    plain = jnp.mean(goals, axis=0)
    assert jnp.any(jnp.abs(plain - truth) > 10.0 * jnp.std(goals, axis=0) / 200.0)


def test_weights_are_one_where_the_evidence_is_as_predicted_and_errors_do_not_teach_it():
    evidence = Evidence(jax.random.key(0), 2)
    x = jax.random.normal(jax.random.key(1), (3, 4, 2))
    levels = jax.vmap(jax.vmap(LinearFlow()))(jnp.full((3, 4), 0.5))
    errors = jnp.arange(12.0).reshape(3, 4)
    log_z = jax.vmap(jax.vmap(evidence))(x, levels)
    assert np.isclose(weighed(evidence, errors, x, levels, log_z), errors.mean())
    # a target of no evidence hardly counts, and the rest as before
    none = weighed(evidence, errors, x, levels, log_z.at[2, 3].add(-30.0)) - weighed(
        evidence, 0.0 * errors, x, levels, log_z.at[2, 3].add(-30.0)
    )
    assert np.isclose(none, (errors.sum() - 11.0) / 12.0)

    def slopes(errors):
        result = jax.grad(lambda e: weighed(e, errors, x, levels, log_z + 1.0))(evidence)
        return jax.tree.leaves(result)

    for a, b in zip(slopes(errors), slopes(0.0 * errors), strict=True):
        np.testing.assert_array_equal(a, b)


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
    monkeypatch.setattr(
        training, "COURSES", {name: training.COURSES[name] for name in ("noise", "auto")}
    )
    assert main(["study", "--preset", "training", "--out", str(tmp_path), "--quiet"]) == 0
    table = pl.read_parquet(tmp_path / "rows.parquet")
    assert table.height == 2 * (2 + 1) * 3
    assert table["evaluations"].max() == 15 * STATES * 4 * 8
    assert len(json.loads((tmp_path / "training.json").read_text())) == 2
    assert (tmp_path / "report.html").read_text().count("data:image/svg") == 3
    stamps = {p: p.stat().st_mtime_ns for p in (tmp_path / "cells").glob("*.shard")}
    assert main(["study", "--preset", "training", "--out", str(tmp_path), "--quiet"]) == 0
    assert stamps and stamps == {p: p.stat().st_mtime_ns for p in stamps}
