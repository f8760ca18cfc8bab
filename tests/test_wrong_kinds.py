"""Arguments of another kind: each is one sentence that says what to give; and strict promotion."""

import re
from contextlib import contextmanager

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import steinflow as sf

LEVEL, BOX = sf.Level(0.8, 0.6), sf.Box(-1.0, 1.0)
XS, X = jnp.array([[0.3, -0.2]]), jnp.array([0.3, -0.2])
KEY = jax.random.key(0)


def bowl(a):
    return -jnp.sum(a**2)


TARGET = sf.Boltzmann(bowl, 0.5)
GOOD = {
    sf.score_target: {"key": KEY, "target": TARGET, "x": X, "level": LEVEL, "estimator": "noise"},
    sf.score_targets: {"key": KEY, "targets": TARGET, "xs": XS, "levels": LEVEL,
                       "estimator": "noise"},
    sf.begin: {"key": KEY, "xs": XS, "levels": LEVEL, "tau": 0.5, "support": BOX,
               "method": "noise", "num_draws": 4},
    sf.sample: {"key": KEY, "target": TARGET, "schedule": sf.LinearFlow(), "dim": 2,
                "num_samples": 1, "num_steps": 1},
    sf.score_matching_loss: {"predict": lambda x, level: x, "key": KEY, "targets": TARGET,
                             "xs": XS, "levels": LEVEL, "estimator": "noise"},
    sf.Boltzmann: {"q": bowl, "tau": 0.5, "support": BOX},
    sf.Level: {"alpha": 0.5, "sigma": 0.5},
    sf.Box: {"low": -1.0, "high": 1.0},
    sf.Method: {"proposal": None, "estimator": sf.NoiseExpectation(), "space": "action"},
    sf.FittedProposal: {},
    sf.ShrunkControlVariate: {},
    sf.InSample: {"kind": "scalar", "shrink": 0.0},
    sf.ControlVariate: {"by": sf.InSample()},
    sf.Blend: {"c": 0.5},
    sf.Constant: {"c": 0.5},
    sf.Curvature: {"precision": 1.0},
    sf.latent: {"target": sf.Boltzmann(bowl, 0.5, BOX)},
    sf.posterior_mean: {"score": X, "x": X, "level": LEVEL},
    sf.noise: {"score": X, "x": X, "level": LEVEL},
    sf.velocity: {"score": X, "x": X, "level": LEVEL},
}  # fmt: skip
NO_KEYS = (None, "0", 0.5, XS, jax.random.split(KEY, 2))
NO_POINTS = (None, "point", ["a", "b"], [["a", "b"]], object(), {"x": 1.0}, 1j * XS)
NO_LEVELS = (None, (0.8, 0.6), 0.5, "0.5", sf.Level)
NO_TAUS = (None, "cold", object(), [0.1, "a"], 0.5j, -1.0)
NO_SUPPORTS = (None, (-1.0, 1.0), "box", sf.RealSpace, 3)
NO_METHODS = (3, 0.5, sf.NoiseExpectation, sf.auto, ("noise",), "nois", "")
NO_COUNTS = (None, 4.0, "4", 0, -1, True, (4,))
NO_TARGETS = (None, bowl, "target", sf.Boltzmann, 3)
NO_NUMBERS = (None, "half", object(), 0.5j)
WRONG = {
    (sf.score_target, "key"): NO_KEYS, (sf.score_targets, "key"): NO_KEYS,
    (sf.begin, "key"): NO_KEYS, (sf.sample, "key"): NO_KEYS,
    (sf.score_matching_loss, "key"): NO_KEYS,
    (sf.score_target, "x"): (*NO_POINTS, XS, 0.5), (sf.score_targets, "xs"): (*NO_POINTS, X, 0.5),
    (sf.begin, "xs"): (*NO_POINTS, X, 0.5, [[0.1], [0.2, 0.3]]),
    (sf.score_matching_loss, "xs"): (*NO_POINTS, X),
    (sf.score_target, "level"): (*NO_LEVELS, sf.Level(X + 1.0, X + 1.0)),
    (sf.score_targets, "levels"): NO_LEVELS, (sf.begin, "levels"): NO_LEVELS,
    (sf.score_matching_loss, "levels"): NO_LEVELS,
    (sf.posterior_mean, "level"): NO_LEVELS, (sf.noise, "level"): NO_LEVELS,
    (sf.velocity, "level"): NO_LEVELS,
    (sf.begin, "tau"): NO_TAUS, (sf.Boltzmann, "tau"): NO_TAUS,
    (sf.begin, "support"): NO_SUPPORTS, (sf.Boltzmann, "support"): NO_SUPPORTS,
    (sf.score_target, "estimator"): NO_METHODS, (sf.score_targets, "estimator"): NO_METHODS,
    (sf.begin, "method"): NO_METHODS, (sf.sample, "estimator"): NO_METHODS,
    (sf.score_target, "proposal"): (3, "fitted", sf.FittedProposal, sf.NoiseExpectation()),
    (sf.score_target, "num_draws"): NO_COUNTS, (sf.score_targets, "num_draws"): NO_COUNTS,
    (sf.begin, "num_draws"): NO_COUNTS, (sf.sample, "num_draws"): NO_COUNTS,
    (sf.sample, "num_samples"): NO_COUNTS, (sf.sample, "num_steps"): NO_COUNTS,
    (sf.sample, "dim"): (2.0, "2", 0, -1, (2,)),
    (sf.sample, "schedule"): (None, "flow", sf.LinearFlow, 0.5),
    (sf.score_target, "target"): NO_TARGETS, (sf.score_targets, "targets"): NO_TARGETS,
    (sf.sample, "target"): NO_TARGETS, (sf.score_matching_loss, "targets"): NO_TARGETS,
    (sf.latent, "target"): NO_TARGETS,
    (sf.score_matching_loss, "predict"): (None, "net", lambda x: x, lambda x, level: 0.0),
    (sf.score_matching_loss, "units"): (None, "nois", 3, ("score",)),
    (sf.score_matching_loss, "weight"): ("sigma", 2.0),
    (sf.Boltzmann, "q"): (None, "q", 0.5),
    (sf.Level, "alpha"): (*NO_NUMBERS, 0.0, -1.0, float("nan")),
    (sf.Level, "sigma"): (*NO_NUMBERS, 0.0, -1.0, float("inf")),
    (sf.Box, "low"): (*NO_NUMBERS, 1.0, -float("inf"), [[0.0]]),
    (sf.Box, "high"): (*NO_NUMBERS, -2.0, float("nan")),
    (sf.Method, "proposal"): (3, "fitted", sf.FittedProposal),
    (sf.Method, "estimator"): (None, "noise", sf.NoiseExpectation, sf.InSample()),
    (sf.Method, "space"): ("tahn", None, 3), (sf.Method, "quasi"): ("yes", None),
    (sf.FittedProposal, "ess_share"): ("0.3", None, -0.1, 1.5, float("nan")),
    (sf.FittedProposal, "reach"): ("6", None, -1.0, 0.0, float("nan")),
    (sf.FittedProposal, "temperatures"): (1.5, "16", 1, None, True),
    (sf.ShrunkControlVariate, "folds"): (1.5, "4", 1, None, True),
    (sf.InSample, "kind"): (None, "diag", 3), (sf.InSample, "shrink"): (*NO_NUMBERS, -0.1),
    (sf.ControlVariate, "by"): (None, "scalar", 0.5, sf.InSample, sf.NoiseExpectation()),
    (sf.Blend, "c"): NO_NUMBERS, (sf.Constant, "c"): NO_NUMBERS,
    (sf.Curvature, "precision"): NO_NUMBERS[1:],
}  # fmt: skip
CASES = [(call, name, number) for (call, name), bad in WRONG.items() for number in range(len(bad))]


def shown(value):
    """A word for the test's name."""
    return value.__name__ if callable(value) else str(value)


@pytest.mark.parametrize(("call", "name", "number"), CASES, ids=shown)
def test_another_kind_of_thing_is_a_sentence(untyped, call, name, number):
    known = [field for field in WRONG if field[0] is call]
    assert known
    value = WRONG[call, name][number]
    with pytest.raises(ValueError) as caught:
        call(**(GOOD[call] | {name: value}))
    text = str(caught.value)
    assert len(text) < 500 and text[0].isupper() | text[0].islower(), text
    assert re.search(r"[.?]$", text), text


@pytest.mark.parametrize("call", GOOD, ids=shown)
def test_the_right_kinds_work(untyped, call):
    call(**GOOD[call])


def test_keys_of_the_old_kind_and_numbers_of_any_kind_work(untyped):
    """A raw key as JAX makes it by PRNGKey, lists, integers and half precision."""
    for xs in ([[0.3, -0.2]], np.array([[1, 0]]), XS.astype(jnp.float32)):
        for tau in (1, 0.5, np.float32(0.5), jnp.array(0.5), jnp.array([0.5]), [0.5]):
            state = sf.begin(KEY, xs, sf.Level(1, 0.5), tau, BOX, "noise", np.int64(2))
            assert sf.ask(state)[1].shape == (1, 2, 2)


METHODS = {**sf.ESTIMATORS, "matrix": sf.ControlVariate(sf.InSample("matrix"))}


@contextmanager
def strict():
    """Neither types nor ranks are promoted."""
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        yield


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("support", [sf.RealSpace(), BOX], ids=["real", "box"])
def test_strict_promotion(name, support):
    """Traced only: no promotion is left to be found where it runs."""
    target = sf.Boltzmann(bowl, 0.5, support)
    per_state = sf.Boltzmann(bowl, jnp.array([0.5, 0.4]), support)
    levels = sf.Level(jnp.array([0.3, 0.5, 0.9]), jnp.array([0.7, 0.5, 0.1]))
    box = sf.Boltzmann(bowl, 0.5, sf.Box([-1.0, 0.0], [1.0, 2.0])) if support.has_bounds else target

    def both(key, xs):
        method = METHODS[name]
        flat = sf.score_targets(key, per_state, xs[:, 0], LEVEL, method, num_draws=6)
        shared = sf.score_targets(key, box, xs, levels, method, num_draws=6)
        return flat, shared, sf.score_target(key, target, xs[0, 0], LEVEL, method, num_draws=6)

    for dtype in (jnp.float32, jnp.float64):
        with strict():
            result = jax.eval_shape(both, KEY, jax.ShapeDtypeStruct((2, 3, 2), dtype))
        assert all(each.score.dtype == dtype for each in result)
        assert all(each.info.std_error.dtype == dtype for each in result)


def test_strict_promotion_of_what_is_not_jitted(untyped):
    with strict():
        estimate = sf.score_target(KEY, sf.Boltzmann(bowl, 0.5, BOX), X, LEVEL, num_draws=3)
        assert jnp.all(jnp.isfinite(estimate.score))
        loss, _ = sf.score_matching_loss(
            lambda x, level: level.alpha * x, KEY, TARGET, XS, LEVEL, "noise", num_draws=2,
            units="velocity", weight=lambda level: level.sigma,
        )  # fmt: skip
        assert jnp.isfinite(loss)
        drawn = sf.sample(KEY, TARGET, sf.LinearFlow(), 2, 2, 2, "noise", num_draws=2)
        assert drawn.shape == (2, 2)
