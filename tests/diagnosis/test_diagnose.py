"""A diagnosis of critics whose truth is known, and what it recommends."""

import json
import re
from functools import partial
from html.parser import HTMLParser

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest

import steinflow as sf
from steinflow.diagnosis.report import write
from steinflow.diagnosis.table import RESOLVED
from tests.helpers import exact_flux, exact_score

BOX = sf.Box(-1.0, 1.0)
TAU, STATES = 1.0, 8
OBSERVATIONS = jnp.zeros((STATES, 1))
METHODS = {name: sf.ESTIMATORS[name] for name in ("noise", "gradient", "idem", "rfm", "auto")}
ACTIONS = np.random.default_rng(0).uniform(-0.6, 0.6, (STATES, 2))
TARGET = sf.targets.Multimodal(TAU, 2, BOX)


def critic(action, observation):
    """A separable one, the same at every state."""
    return TARGET.value(action)


def diagnosed(**options):
    """A small diagnosis."""
    given = {"methods": METHODS, "dim": 2, "num_draws": (8,), "trials": 24, "chunks": 16,
             "reference_draws": 256, "factors": (0.25,), "current": ("noise", 16)}  # fmt: skip
    return sf.diagnose(critic, OBSERVATIONS, TAU, BOX, **(given | options))


@pytest.fixture(scope="module")
def result():
    return diagnosed()


def truths(result, what, factor=1.0):
    """An exact vector at every point, [b, l, d]."""
    target = sf.targets.Multimodal(TAU * factor, 2, BOX)
    levels, xs = result.measured.levels, result.measured.points["action"]
    every = jax.vmap(jax.vmap(partial(what, target), (0, 0)), (0, None))
    return np.asarray(jax.jit(every)(xs, levels))


@pytest.mark.slow
@pytest.mark.parametrize("factor", [0.25, 1.0])
def test_the_reference_is_as_good_as_it_says(result, factor):
    """Squared errors over what it claims for them, by level."""
    reference = result.measured.references["action", factor]
    errors = np.sum((reference.score - truths(result, exact_score, factor)) ** 2, axis=-1)
    assert np.all(errors < 24.0 * reference.mse)
    assert np.all(errors.sum(axis=0) < 3.0 * reference.mse.sum(axis=0))
    assert np.all(errors.sum(axis=0) > 0.02 * reference.mse.sum(axis=0))
    trace = truths(result, lambda target, x, level: target.exact_trace(x, level), factor)
    np.testing.assert_allclose(reference.trace, trace, rtol=0.25)
    assert 0.95 < np.mean(reference.trace / trace) < 1.05


def test_resolved_means_that_the_reference_errs_a_tenth_at_most(result):
    """By the exact score: its true error against the true errors of the estimators."""
    for factor in (0.25, 1.0):
        reference = result.measured.references["action", factor]
        errors = np.sum((reference.score - truths(result, exact_score, factor)) ** 2, (0, 2))
        rows = result.rows.filter((pl.col("factor") == factor) & (pl.col("estimator") != "rfm"))
        for row in rows.filter("resolved").to_dicts():
            level = int(np.argmin(np.abs(np.asarray(result.measured.levels.alpha) - row["alpha"])))
            assert errors[level] < 2.0 * RESOLVED * row["mse"] * STATES
    assert result.rows["resolved"].mean() > 0.8


@pytest.mark.slow
def test_a_starved_reference_is_not_believed():
    few = diagnosed(methods={name: METHODS[name] for name in ("noise", "idem")}, reference_draws=4,
                    chunks=4, trials=4, factors=(), actions=ACTIONS, num_draws=(),
                    current=("noise", 256))  # fmt: skip
    assert not resolved_share(few, "noise") and resolved_share(few, "idem")


def resolved_share(diagnosis, name):
    """The share of an estimator's rows that are resolved."""
    return diagnosis.rows.filter(pl.col("estimator") == name)["resolved"].mean()


def test_the_bounds_bias_the_published_gradient_by_the_flux(result):
    reference = result.measured.references["action", 1.0]
    flux = truths(result, exact_flux)
    errors = np.sum((reference.bias - flux) ** 2, axis=-1)
    assert np.all(errors < 24.0 * reference.bias_mse)
    assert np.sum(flux**2) > 100.0 * np.sum(reference.bias_mse)  # there is something to see
    table = result.boundary.filter(pl.col("factor") == 1.0)
    assert np.all(table["boundary"].to_numpy() > 0) and np.all(table["bias"].to_numpy() > 0)


def test_it_recommends_what_is_better_and_not_dearer(result):
    advice = result.recommendation
    assert advice.verdict == "change" and advice.best.estimator == "auto"
    assert advice.best.cost <= advice.current.cost and advice.best.low > 1.0
    assert advice.best.gain > 1.2
    assert any("Train with auto" in sentence for sentence in advice.sentences)
    latent = [choice for choice in advice.choices if choice.estimator == "rfm"]
    assert latent and all(np.isnan(choice.gain) for choice in latent)
    ratio = {c.num_draws: c.gain for c in advice.choices if c.estimator == "noise"}
    assert ratio[16] == pytest.approx(1.0) and 0.3 < ratio[8] < 0.8  # about a half


@pytest.mark.slow
def test_it_keeps_what_is_best():
    kept = diagnosed(methods={"cvsi": sf.ESTIMATORS["cvsi"], "idem": METHODS["idem"]},
                     current=("cvsi", 16), num_draws=(), factors=(), trials=8, actions=ACTIONS,
                     reference_draws=64)  # fmt: skip
    assert kept.recommendation.verdict == "keep" and kept.recommendation.best.estimator == "cvsi"
    assert "Nothing that was measured is significantly better" in kept.recommendation.sentences[1]


def test_linear_q_on_real_space_needs_no_draws():
    methods = {name: METHODS[name] for name in ("gradient", "noise")}
    line = sf.diagnose(
        lambda action, state: action @ jnp.array([1.0, -2.0]) + state[0], np.zeros((8, 1)), 1.0,
        sf.RealSpace(), actions=np.zeros((8, 2)), methods=methods, current=("gradient", 4),
        num_draws=(4,), factors=(), trials=2, reference_draws=512, chunks=4,
    )  # fmt: skip
    rows = line.rows.filter(pl.col("estimator") == "gradient")
    exact = rows["eed"].to_numpy() == 1e4
    assert np.all(exact[1:]) and line.boundary["boundary"].sum() == 0.0
    few = line.measured.references["action", 1.0].ess[:, 0] < 50.0  # where nothing is known
    assert exact[0] or np.any(few)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"tau": -1.0}, "must be positive"),
        ({"current": ("nois", 4)}, "Did you mean 'noise'"),
        ({"num_draws": (1,)}, "at least|>= 2"),
        ({"actions": np.zeros((2, 2))}, "actions must be"),
        ({"actions": np.zeros((8, 3))}, "dim is 2"),
        ({"observations": jnp.zeros((2, 1))}, "b >= 8"),
        ({"q": lambda a, s: a}, "scalar|could not be evaluated"),
        ({"q": lambda a, s: a[0] * jnp.nan, "factors": ()}, "NaN or infinite over"),
        ({"levels": sf.Level(0.5, 0.5)}, "levels must be"),
        ({"chunks": 2}, ">= 4"),
    ],
)
def test_bad_input_is_a_sentence(options, words):
    tau = options.pop("tau", TAU)
    q, state = options.pop("q", critic), options.pop("observations", OBSERVATIONS)
    given = {"methods": {"noise": METHODS["noise"]}, "dim": 2, "current": ("noise", 4),
             "actions": ACTIONS, "reference_draws": 16, "chunks": 4}  # fmt: skip
    with pytest.raises(ValueError, match=words):
        sf.diagnose(q, state, tau, BOX, **(given | options))


def test_an_estimator_that_does_not_apply_is_left_out():
    methods = {"noise": METHODS["noise"], "bare": sf.Method(None, sf.GradientExpectation())}
    result = diagnosed(methods=methods, factors=(), trials=2, reference_draws=16, chunks=4,
                      actions=ACTIONS, num_draws=())  # fmt: skip
    assert set(result.rows["estimator"]) == {"noise"}
    assert "boundary" in result.settings["left_out"]["bare"]
    assert result.recommendation.verdict == "cannot tell"


@pytest.mark.slow
def test_the_report_says_it_first_and_escapes_names(result, tmp_path):
    path = write(result, tmp_path, "<script>alert(1)</script>", "steinflow diagnose 'a&b'")
    text = path.read_text()
    assert not re.search(r'(src|href)="(?!data:)', text) and "<script" not in text
    assert "&lt;script&gt;" in text and "a&amp;b" in text
    assert text.index("Train with auto") < text.index("<figure") < text.index("All choices")
    HTMLParser().feed(text)
    drawn = sorted(path.name for path in (tmp_path / "figures").iterdir())
    names = ("boundary", "draws", "slices", "worth")
    assert drawn == [f"{name}.{kind}" for name in names for kind in ("png", "svg")]
    about = json.loads((tmp_path / "diagnosis.json").read_text())
    assert about["verdict"] == "change" and about["best"]["estimator"] == "auto"
    assert pl.read_parquet(tmp_path / "rows.parquet").equals(result.rows)
