"""Every estimator converges to the exact score, at every level, on R^d and on a box."""

from statistics import NormalDist

import jax
import jax.numpy as jnp
import pytest

import steinflow as sf
from steinflow import targets
from tests.helpers import LEVELS, exact_flux, exact_score, mixture, noised, sample

N = 2**16
REAL = {
    "noise": sf.NoiseExpectation(),
    "gradient": sf.GradientExpectation(),
    "blend": sf.Blend(0.4),
    "constant-scalar": sf.ControlVariate(sf.Constant(0.3)),
    "constant-matrix": sf.ControlVariate(sf.Constant(jnp.array([[0.5, 0.2], [-0.1, 0.3]]))),
    "curvature": sf.ControlVariate(sf.Curvature()),
    "in-sample-scalar": sf.ControlVariate(sf.InSample("scalar")),
    "in-sample-diagonal": sf.ControlVariate(sf.InSample("diagonal")),
    "in-sample-matrix": sf.ControlVariate(sf.InSample("matrix")),
    "shrunk": sf.ShrunkControlVariate(),
    "auto": sf.auto(),
}
BOXED = REAL | {
    "gradient": sf.GradientExpectation("vanishing"),
    "blend": sf.Blend(0.4, "vanishing"),
}
PROBLEMS = {
    "mixture": (mixture(1.5), REAL),
    "multimodal": (targets.Multimodal(1.5), REAL),
    "mixture-box": (mixture(0.5, support=sf.Box(-1.0, 1.0)), BOXED),
    "multimodal-box": (targets.Multimodal(0.5, support=sf.Box(-1.0, 1.0)), BOXED),
    "bound-box": (targets.Quadratic(0.2, support=sf.Box(-1.0, 1.0), center=1.0), BOXED),
    "skew-box": (
        targets.Multimodal(0.5, support=sf.Box(jnp.array([-2.0, 0.0]), jnp.array([1.0, 5.0]))),
        BOXED,
    ),
}
# components in all: 6 problems x 11 estimators x 3 levels x 2; family-wise false alarm 1 %
TESTS = 6 * 11 * 3 * 2
LIMIT = NormalDist().inv_cdf(1 - 0.01 / TESTS / 2)


@pytest.mark.parametrize("problem", PROBLEMS)
def test_estimates_agree_with_the_truth(key, problem):
    target, estimators = PROBLEMS[problem]
    levels = jax.tree.map(lambda *leaves: jnp.stack([jnp.asarray(x) for x in leaves]), *LEVELS)
    xs = jnp.stack([noised(jax.random.key(k), target, level) for k, level in enumerate(LEVELS)])
    exact = jax.vmap(exact_score, in_axes=(None, 0, 0))(target, xs, levels)
    each = jax.jit(
        lambda: [
            sf.score_targets(key, target, xs, levels, e, num_draws=N) for e in estimators.values()
        ]
    )()
    for name, estimate in zip(estimators, each, strict=True):
        assert jnp.all(estimate.info.ess >= 1000), (name, estimate.info.ess)
        z = jnp.abs(estimate.score - exact) / estimate.info.std_error
        assert jnp.all(z < LIMIT), (name, z)


def test_shared_draws_agree_with_the_truth(key):
    """Three levels of one state, weighed by the deterministic mixture of their proposals."""
    levels = sf.Level(jnp.array([0.3, 0.8, 0.95]), jnp.array([0.954, 0.6, 0.312]))
    for target in (targets.Multimodal(0.5), mixture(0.5, support=sf.Box(-1.0, 1.0))):
        action = sample(target, key, 1)[0]
        eps = jax.random.normal(key, (3, 2))
        xs = levels.alpha[:, None] * action + levels.sigma[:, None] * eps
        exact = jax.vmap(exact_score, in_axes=(None, 0, 0))(target, xs, levels)
        estimators = ("noise", "gradient", sf.ControlVariate(sf.InSample("matrix")))
        for estimate in jax.jit(
            lambda target=target, xs=xs, estimators=estimators: [
                sf.score_targets(key, target, xs[None], levels, estimator, num_draws=2**15)
                for estimator in estimators
            ]
        )():
            assert estimate.score.shape == (1, 3, 2)
            z = jnp.abs(estimate.score[0] - exact) / estimate.info.std_error[0]
            assert jnp.all(z < LIMIT), z


def test_the_gradient_that_ignores_the_bounds_is_wrong_by_the_boundary_flux(key):
    """Optimum at a bound: biased by > 10 standard errors, exactly by the flux."""
    level = sf.Level(0.9, 0.1)
    target = targets.Linear(0.25, dim=1, support=sf.Box(-1.0, 1.0))  # pi ∝ exp(2a)
    x = jnp.array([0.95])
    exact, flux = (
        exact_score(target, x, level),
        exact_flux(target, x, level),
    )
    assert abs(float(exact[0]) + 10.85) < 0.01

    def z(estimator, truth):
        estimate = sf.score_target(key, target, x, level, estimator, num_draws=N)
        return estimate, float(jnp.abs(estimate.score - truth)[0] / estimate.info.std_error[0])

    ignored, wrong = z(sf.GradientExpectation("ignored"), exact)
    assert abs(float(ignored.score[0]) - 2.22) < 0.01
    assert float(jnp.abs(ignored.score - exact - flux)[0]) < 1e-10  # linear: no variance at all
    assert wrong > 10 and not bool(ignored.info.reliable)
    assert z(sf.GradientExpectation("vanishing"), exact)[1] < LIMIT

    target = targets.Quadratic(0.2, support=sf.Box(-1.0, 1.0), center=1.0)
    level, x = sf.Level(0.8, 0.6), jnp.array([0.7, 0.9])
    exact, flux = (
        exact_score(target, x, level),
        exact_flux(target, x, level),
    )
    estimate = sf.score_target(
        key, target, x, level, sf.GradientExpectation("ignored"), num_draws=N
    )
    assert jnp.all(jnp.abs(estimate.score - exact) > 10 * estimate.info.std_error)
    assert jnp.all(jnp.abs(estimate.score - exact - flux) < LIMIT * estimate.info.std_error)


COVERED = {name: estimator for name, estimator in REAL.items() if name != "auto"}


@pytest.mark.parametrize("problem", ["mixture", "multimodal"])
def test_intervals_cover_at_large_effective_sample_size(problem):
    """95 % intervals: 93.5-96.5 % of 2,000 repetitions at ESS >= 200."""
    target, level, x = PROBLEMS[problem][0], sf.Level(0.8, 0.6), jnp.array([0.3, -0.4])
    exact = exact_score(target, x, level)

    @jax.jit
    @jax.vmap
    def repeat(key):
        hits = {}
        for name, estimator in COVERED.items():
            estimate = sf.score_target(key, target, x, level, estimator, num_draws=1024)
            hits[name] = jnp.mean(jnp.abs(estimate.score - exact) <= 1.96 * estimate.info.std_error)
        return hits, estimate.info.ess

    hits, ess = repeat(jax.random.split(jax.random.key(7), 2000))
    assert ess.min() >= 200
    for name, hit in hits.items():
        assert 0.935 <= float(hit.mean()) <= 0.965, name
