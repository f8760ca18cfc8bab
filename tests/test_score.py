"""The front door: shapes, names, bad input, precision, compilations."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import steinflow as sf
from steinflow.targets import Bimodal, Boltzmann

LEVEL, X = sf.Level(0.8, 0.6), jnp.array([0.3, -0.2])


def bowl(a):
    """A plain Q."""
    return -jnp.sum(a**2)


TARGET = Boltzmann(bowl, 0.5)
BOXED = Boltzmann(bowl, 0.5, sf.Box(-1.0, 1.0))


def test_what_an_estimate_holds(key):
    estimate = sf.score_target(key, TARGET, X, LEVEL, num_draws=128)
    assert estimate.score.shape == (2,) and estimate.info.std_error.shape == (2,)
    assert 1 <= estimate.info.ess <= 128 and 0 < estimate.info.max_weight <= 1
    assert int(estimate.info.num_values) == 128 and int(estimate.info.num_grads) == 128
    assert bool(estimate.info.reliable) == (float(estimate.info.ess) >= sf.diagnostics.RELIABLE_ESS)
    noise = sf.score_target(key, TARGET, X, LEVEL, "noise", num_draws=128)
    assert int(noise.info.num_grads) == 0 and float(noise.info.coefficient) == 0


def test_names_methods_and_estimators_are_the_same(key):
    first = sf.score_target(key, TARGET, X, LEVEL, "noise")
    for other in (sf.ESTIMATORS["noise"], sf.NoiseExpectation()):
        assert jnp.array_equal(first.score, sf.score_target(key, TARGET, X, LEVEL, other).score)


@pytest.mark.parametrize("name", sf.ESTIMATORS)
def test_every_method_works_on_both_supports(key, name):
    for target in (TARGET, BOXED):
        estimate = sf.score_target(key, target, X, LEVEL, name, num_draws=32)
        assert jnp.all(jnp.isfinite(estimate.score))


def test_the_std_error_is_that_of_repetition(key):
    """The delta method against 500 repetitions, within a tenth."""
    estimate = jax.vmap(lambda k: sf.score_target(k, TARGET, X, LEVEL, "noise", num_draws=512))(
        jax.random.split(key, 500)
    )
    ratio = jnp.sqrt(jnp.mean(estimate.info.std_error**2, axis=0)) / jnp.std(estimate.score, axis=0)
    assert jnp.all(jnp.abs(ratio - 1) < 0.1)


def test_compiles_once_a_shape(key):
    count = 0

    def counted(a):
        nonlocal count
        count += 1
        return bowl(a)

    @jax.jit
    def many(key, xs, alpha, tau):
        levels = sf.Level(alpha, jnp.sqrt(1 - alpha**2))
        return sf.score_targets(key, Boltzmann(counted, tau), xs, levels, num_draws=16)

    for k in range(3):
        many(key, jnp.ones((4, 2)) * k, jnp.linspace(0.2, 0.9, 4), 0.5 + k)
        if k == 0:
            traced = count
    assert count == traced


def test_gradients_stop(key):
    gradient = jax.grad(lambda x: jnp.sum(sf.score_target(key, TARGET, x, LEVEL).score))(X)
    assert jnp.all(gradient == 0)


def test_many_states_equal_one_by_one(key):
    """Contexts, temperatures and levels run over the states."""
    q = lambda a, c: -jnp.sum((a - c["at"]) ** 2)  # noqa: E731
    at = jax.random.normal(key, (5, 2))
    tau, xs = jnp.linspace(0.2, 1.0, 5), jax.random.normal(jax.random.key(1), (5, 2))
    alpha = jnp.linspace(0.2, 0.9, 5)
    many = sf.score_targets(
        key, Boltzmann(q, tau, context={"at": at}), xs, sf.Level(alpha, 1 - alpha), num_draws=32
    )
    for k, one_key in enumerate(jax.random.split(key, 5)):
        target = Boltzmann(functools.partial(q, c={"at": at[k]}), tau[k])
        level = sf.Level(alpha[k], 1 - alpha[k])
        one = sf.score_target(one_key, target, xs[k], level, num_draws=32)
        assert jnp.allclose(many.score[k], one.score, rtol=1e-10)


def test_levels_of_a_state_share_their_evaluations(key):
    count = 0

    def counted(a):
        nonlocal count
        count += 1
        return bowl(a)

    levels = sf.Level(jnp.array([0.2, 0.5, 0.9]), jnp.array([0.8, 0.5, 0.1]))
    estimates = sf.score_targets(key, Boltzmann(counted, 0.5), jnp.ones((4, 3, 2)), levels)
    assert estimates.score.shape == (4, 3, 2) and estimates.info.ess.shape == (4, 3)
    assert int(estimates.info.num_values.sum()) == 4 * 3 * 64
    per_state = sf.Level(jnp.tile(levels.alpha, (4, 1)), jnp.tile(levels.sigma, (4, 1)))
    again = sf.score_targets(key, Boltzmann(bowl, 0.5), jnp.ones((4, 3, 2)), per_state)
    assert jnp.allclose(estimates.score, again.score)


def test_modules_and_closures_as_q(key):
    critic = eqx.nn.MLP(2, "scalar", 16, 1, key=key)
    estimate = jax.jit(lambda k, x: sf.score_target(k, Boltzmann(critic, 0.5), x, LEVEL).score)
    assert jnp.all(jnp.isfinite(estimate(key, X)))


def test_float32_agrees_with_float64(key):
    """On the same draws, to 1e-3 of |s| + sqrt(trace), where ESS > 2."""
    from steinflow.draws import uniforms
    from steinflow.estimators.reduce import reduce
    from steinflow.levels import cast
    from steinflow.methods import default_proposal
    from steinflow.points import Point
    from steinflow.stages import from_uniforms

    rules = [sf.ESTIMATORS[name].estimator for name in sf.ESTIMATORS]
    rules.append(sf.ControlVariate(sf.InSample("matrix")))

    @jax.jit
    def both(target):
        point = Point(X, LEVEL, target.support)
        numbers = uniforms(key, 64, 2, jnp.float64)
        draws = from_uniforms(
            numbers, target, point, default_proposal(target.support), hessian=True
        )
        exact = [reduce(draws, point, rule, True).score for rule in rules]
        low = cast((draws, point, rules), jnp.float32)
        rough = [reduce(low[0], low[1], rule, True).score for rule in low[2]]
        scale = jnp.linalg.norm(target.exact_score(X, LEVEL)) + target.exact_trace(X, LEVEL) ** 0.5
        return exact, rough, scale

    for target in (Bimodal(0.5), Bimodal(0.5, support=sf.Box(-1.0, 1.0))):
        exact, rough, scale = both(target)
        for full, half in zip(exact, rough, strict=True):
            assert half.dtype == jnp.float32
            assert jnp.linalg.norm(full - half) < 1e-3 * scale


def test_float32_points_stay_float32(key):
    estimate = sf.score_target(key, BOXED, X.astype(jnp.float32), LEVEL)
    assert estimate.score.dtype == jnp.float32


def test_extreme_inputs_are_finite(key):
    """tau = 1e-3, alpha near 0 and 1, x far outside the box, Q = ±1e6, in float32."""
    for alpha in (1e-3, 1 - 1e-3):
        for scale in (1.0, 1e6, -1e6):
            target = Boltzmann(lambda a, s=scale: s * bowl(a), 1e-3, sf.Box(-1.0, 1.0))
            level = sf.Level(alpha, 1 - alpha)
            x = jnp.full(3, alpha + 10 * (1 - alpha), jnp.float32)
            for name in sf.ESTIMATORS:
                estimate = sf.score_target(key, target, x, level, name, num_draws=32)
                assert jnp.all(jnp.isfinite(estimate.score)), (alpha, scale, name)


BAD = {
    "tau zero": (lambda k: Boltzmann(bowl, 0.0), "tau must be positive"),
    "tau negative": (lambda k: Boltzmann(bowl, -1.0), "tau must be positive"),
    "tau NaN": (lambda k: Boltzmann(bowl, float("nan")), "tau must be positive"),
    "exact tau": (lambda k: Bimodal(0.0), "tau must be positive"),
    "sigma": (lambda k: sf.Level(0.8, 0.0), "sigma must be positive"),
    "alpha": (lambda k: sf.Level(0.0, 1.0), "alpha must be positive"),
    "level NaN": (lambda k: sf.Level(float("nan"), 1.0), "alpha must be positive"),
    "box order": (lambda k: sf.Box(1.0, 1.0), "low must be below high"),
    "box shapes": (lambda k: sf.Box(jnp.zeros(2), jnp.ones(3)), "length of the action"),
    "box infinite": (lambda k: sf.Box(-jnp.inf, 1.0), "RealSpace"),
    "no draws": (lambda k: sf.score_target(k, TARGET, X, LEVEL, num_draws=0), "num_draws"),
    "half a draw": (lambda k: sf.score_target(k, TARGET, X, LEVEL, num_draws=1.5), "num_draws"),
    "matrix x": (lambda k: sf.score_target(k, TARGET, X[None], LEVEL), "which takes many points"),
    "levels": (lambda k: sf.score_target(k, TARGET, X, sf.Level(X + 1, X + 1)), "level.alpha"),
    "width": (
        lambda k: sf.score_target(k, Bimodal(1.0, dim=3), X, LEVEL),
        "the target has d = 3",
    ),
    "box width": (
        lambda k: sf.score_target(k, Boltzmann(bowl, 1.0, sf.Box(-jnp.ones(3), 1.0)), X, LEVEL),
        "does not fit the bounds",
    ),
    "q width": (
        lambda k: sf.score_target(k, Boltzmann(lambda a: jnp.ones(3) @ a, 1.0), X, LEVEL),
        "q could not be evaluated",
    ),
    "q not scalar": (
        lambda k: sf.score_target(k, Boltzmann(lambda a: a, 1.0), X, LEVEL),
        "must return a scalar",
    ),
    "q not callable": (lambda k: Boltzmann(3.0, 1.0), "must be a function"),
    "no target": (lambda k: sf.score_target(k, bowl, X, LEVEL), "Boltzmann"),
    "matrix fit": (
        lambda k: sf.score_target(
            k, TARGET, X, LEVEL, sf.ControlVariate(sf.InSample("matrix")), num_draws=2
        ),
        "num_draws must be an integer >= 3",
    ),
    "name": (lambda k: sf.score_target(k, TARGET, X, LEVEL, "gradiant"), "'gradient'"),
    "kind": (lambda k: sf.InSample("diag"), "'diagonal'"),
    "shrink": (lambda k: sf.InSample("scalar", -1.0), "shrink must be"),
    "estimator": (lambda k: sf.score_target(k, TARGET, X, LEVEL, 3), "must be a name"),
    "proposal": (lambda k: sf.score_target(k, TARGET, X, LEVEL, proposal=3), "proposal"),
    "boundary": (
        lambda k: sf.score_target(k, BOXED, X, LEVEL, sf.GradientExpectation()),
        "boundary='vanishing'",
    ),
    "boundary of a blend": (
        lambda k: sf.score_target(k, BOXED, X, LEVEL, sf.Blend(0.5)), "boundary='vanishing'",
    ),
    "unknown boundary": (
        lambda k: sf.score_target(k, BOXED, X, LEVEL, sf.Blend(0.5, "gone")), "boundary must be",
    ),
    "blend of vectors": (
        lambda k: sf.score_target(k, TARGET, X, LEVEL, sf.Blend(jnp.ones(2))), "one scalar c",
    ),
    "constant": (
        lambda k: sf.score_target(
            k, TARGET, X, LEVEL, sf.ControlVariate(sf.Constant(jnp.ones(3)))
        ),
        "c must have shape",
    ),
    "NaN": (
        lambda k: sf.score_target(k, Boltzmann(lambda a: jnp.sum(a) / 0.0, 1.0), X, LEVEL),
        "NaN or +inf at",
    ),
    "all impossible": (
        lambda k: sf.score_target(k, Boltzmann(lambda a: -jnp.inf * jnp.sum(a**2), 1.0), X, LEVEL),
        "-inf at every draw",
    ),
    "context": (
        lambda k: sf.score_targets(
            k, Boltzmann(lambda a, c: jnp.sum(a * c), 1.0, context=jnp.ones(3)), X[None], LEVEL
        ),
        "leading axis b = 1",
    ),
    "tau axis": (
        lambda k: sf.score_targets(k, Boltzmann(bowl, jnp.ones(3)), X[None], LEVEL), "tau",
    ),
    "levels axis": (
        lambda k: sf.score_targets(k, TARGET, X[None], sf.Level(jnp.ones(3), jnp.ones(3))),
        "levels",
    ),
    "xs": (lambda k: sf.score_targets(k, TARGET, X, LEVEL), "xs must be"),
    "units": (
        lambda k: sf.score_matching_loss(
            lambda x, level: x, k, TARGET, X[None], LEVEL, units="nois"
        ),
        "'noise'",
    ),
    "dim of a sample": (lambda k: sf.sample(k, TARGET, sf.LinearFlow()), "pass dim="),
    "steps": (lambda k: sf.sample(k, TARGET, sf.LinearFlow(), 2, num_steps=0), "num_steps"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_sentence_with_the_remedy(key, untyped, case):
    call, says = BAD[case]
    with pytest.raises(ValueError) as caught:
        call(key)
    text = str(caught.value)
    assert says in text and len(text) < 700


def test_traced_bad_values_give_nan(key):
    def score(tau, alpha, sigma, low):
        target = Boltzmann(bowl, tau, sf.Box(low, 1.0))
        return sf.score_target(key, target, X, sf.Level(alpha, sigma)).score

    good = (0.5, 0.8, 0.6, -1.0)
    assert jnp.all(jnp.isfinite(jax.jit(score)(*good)))
    for k, bad in enumerate((-0.5, 0.0, -0.6, 1.0)):
        arguments = [*good[:k], bad, *good[k + 1 :]]
        assert jnp.all(jnp.isnan(jax.jit(score)(*arguments)))


def test_traced_bad_values_of_q_are_counted(key):
    def holes(a):
        return jnp.where(a[0] > 0.5, jnp.inf, bowl(a))

    estimate = jax.jit(lambda k: sf.score_target(k, Boltzmann(holes, 0.5), X, LEVEL))(key)
    assert jnp.all(jnp.isnan(estimate.score)) and 0 < int(estimate.info.num_invalid) < 64

    def rough(a):  # finite values, gradients that are not
        return bowl(a) + jnp.sqrt(jnp.abs(a[0] - a[0]))

    estimate = jax.jit(lambda k: sf.score_target(k, Boltzmann(rough, 0.5), X, LEVEL))(key)
    assert jnp.all(jnp.isnan(estimate.score)) and int(estimate.info.num_invalid) == 64


def test_minus_infinity_is_weight_zero(key):
    def half(a):
        return jnp.where(a[0] > 0.2, -jnp.inf, bowl(a))

    estimate = sf.score_target(key, Boltzmann(half, 0.5), X, LEVEL, "noise", num_draws=4096)
    assert int(estimate.info.num_invalid) == 0 and jnp.all(jnp.isfinite(estimate.score))


def test_numpy_points_are_welcome(key, untyped):
    estimate = sf.score_target(key, TARGET, np.array([0.3, -0.2]), LEVEL)
    assert jnp.allclose(estimate.score, sf.score_target(key, TARGET, X, LEVEL).score)


@pytest.mark.parametrize(
    ("q", "context", "sentence"),
    [
        (lambda a: -float(a[0]), None, "q in plain Python answers by sf.begin"),
        (lambda a: -jnp.sum(a), jnp.zeros((1, 3)), r"write q\(action, context\)"),
        (lambda a, s: -jnp.sum(a), None, r"Write q\(action\): \[d\] -> \[\]"),
    ],
)
def test_a_q_of_another_kind_has_a_remedy_of_its_own(key, q, context, sentence):
    target = Boltzmann(q, 1.0, context=context)
    with pytest.raises(ValueError, match=sentence):
        sf.score_targets(key, target, X[None], LEVEL, "noise", num_draws=4)
