"""Ask and tell: the same estimates as with a JAX Q, whoever answers."""

from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import steinflow as sf

STATES, LEVELS, DIM, DRAWS = 2, 3, 2, 7
BOX = sf.Box(jnp.array([-1.0, 0.0]), jnp.array([1.0, 3.0]))
SUPPORTS = {"real": sf.RealSpace(), "box": BOX}
TAU = 0.5
CORNERS = [
    (shape, support, dtype)
    for dtype, shape, support in product(("float32", "float64"), ("one", "levels"), SUPPORTS)
]
# auto everywhere, the others at two opposite corners each
CASES = [("auto", *corner) for corner in CORNERS]
for number, other in enumerate(sorted(set(sf.ESTIMATORS) - {"auto"})):
    CASES += [(other, *CORNERS[number % 8]), (other, *CORNERS[7 - number % 8])]


def q(a):
    """Neither quadratic nor separable."""
    return 0.5 * jnp.cos(3.0 * a[0] + a[1]) - jnp.sum((a - 0.4) ** 2)


VALUES = jax.jit(jax.vmap(jax.vmap(q)))
BOTH = jax.jit(jax.vmap(jax.vmap(jax.value_and_grad(q))))
HESSIANS = jax.jit(jax.vmap(jax.vmap(jax.hessian(q))))


def problem(shape="one", dtype="float64"):
    """Noisy points and their levels."""
    rng = np.random.default_rng(3)
    if shape == "one":
        xs, levels = rng.normal(size=(STATES, DIM)), sf.Level(jnp.array([0.4, 0.8]), 0.5)
    else:
        alpha = jnp.array([0.3, 0.6, 0.9])
        xs, levels = rng.normal(size=(STATES, LEVELS, DIM)), sf.Level(alpha, 1.0 - alpha)
    return jnp.asarray(xs, dtype), jax.tree.map(jnp.asarray, levels)


def begun(method="auto", shape="one", support="box", dtype="float64", num_draws=DRAWS):
    return sf.begin(
        jax.random.key(8), *problem(shape, dtype), TAU, SUPPORTS[support], method, num_draws
    )


def answer(state, actions):
    """What q says, no more of it than is needed."""
    if not state.needs_gradient:
        return (VALUES(actions),)
    return (*BOTH(actions), HESSIANS(actions) if state.needs_hessian else None)


def finished(state, hand_over=lambda state: state):
    """The state, done, handed over between all calls."""
    while not state.done:
        state, actions = sf.ask(hand_over(state))
        state = sf.tell(hand_over(state), *answer(state, actions))
    return hand_over(state)


def same(result, wanted):
    """Bit for bit."""
    pairs = zip(jax.tree.leaves(result), jax.tree.leaves(wanted), strict=True)
    return all(a.dtype == b.dtype and np.array_equal(a, b, equal_nan=True) for a, b in pairs)


@pytest.mark.parametrize(("name", "shape", "support", "dtype"), CASES)
def test_it_is_score_targets_bit_for_bit(name, shape, support, dtype):
    xs, levels = problem(shape, dtype)
    target = sf.Boltzmann(q, TAU, SUPPORTS[support])
    wanted = sf.score_targets(jax.random.key(8), target, xs, levels, name, num_draws=DRAWS)
    result = sf.estimate(finished(begun(name, shape, support, dtype)))
    assert same(result, wanted)
    assert result.score.shape == xs.shape and result.score.dtype == xs.dtype


def rebuilt(state):
    """Flattened and put together again."""
    leaves, tree = jax.tree.flatten(state)
    return jax.tree.unflatten(tree, leaves)


def through_numpy(state):
    """Saved as NumPy arrays, and read again."""

    def saved(leaf):
        is_key = isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        return (is_key, np.asarray(jax.random.key_data(leaf) if is_key else leaf).copy())

    def read(pair):
        array = jnp.asarray(pair[1])
        return jax.random.wrap_key_data(array) if pair[0] else array

    return jax.tree.map(read, jax.tree.map(saved, state), is_leaf=lambda p: isinstance(p, tuple)
                        and len(p) == 2 and isinstance(p[0], bool))  # fmt: skip


def carried(state):
    """Carried through two steps of a scan."""
    return jax.lax.scan(lambda carry, _: (carry, None), state, length=2)[0]


@pytest.mark.parametrize("hand_over", [rebuilt, through_numpy, carried])
def test_a_state_survives(hand_over):
    """Nothing in it is a function, and all that is no array is in its tree."""
    first = begun()
    assert all(isinstance(leaf, jax.Array | np.ndarray) for leaf in jax.tree.leaves(first))
    wanted = sf.estimate(finished(first))
    assert same(sf.estimate(finished(begun(), hand_over)), wanted)


def test_the_whole_loop_in_a_scan():
    """Over two keys, each equal to the loop from outside up to rounding."""
    xs, levels = problem()
    keys = jax.random.split(jax.random.key(2), 2)

    def one(carry, key):
        state = finished(sf.begin(key, xs, levels, TAU, BOX, "auto", DRAWS))
        return carry + 1, sf.estimate(state).score

    count, scores = jax.jit(lambda: jax.lax.scan(one, 0, keys))()
    assert count == 2
    for key, score in zip(keys, scores, strict=True):
        outside = sf.estimate(finished(sf.begin(key, xs, levels, TAU, BOX, "auto", DRAWS)))
        np.testing.assert_allclose(score, outside.score, rtol=1e-9, atol=1e-9)


def test_a_simulator_of_values_only(untyped):
    """A plain Python function: lists of floats, no gradients."""
    state = begun("noise", dtype="float32")
    assert not state.needs_gradient
    while not state.done:
        state, actions = sf.ask(state)
        rows = np.asarray(actions, float).tolist()
        values = [[-((a - 0.4) ** 2) - (b - 0.4) ** 2 for a, b in row] for row in rows]
        state = sf.tell(state, values)
    result = sf.estimate(state)
    assert result.score.dtype == jnp.float32 and int(result.info.num_grads.sum()) == 0
    quadratic = sf.Boltzmann(lambda a: -jnp.sum((a - 0.4) ** 2), TAU, BOX)
    xs, levels = problem(dtype="float32")
    wanted = sf.score_targets(jax.random.key(8), quadratic, xs, levels, "noise", num_draws=DRAWS)
    np.testing.assert_allclose(result.score, wanted.score, rtol=1e-4, atol=1e-5)


def test_a_critic_in_numpy(untyped):
    """Float64 values and gradients for a state in single precision."""
    state = begun(dtype="float32")
    while not state.done:
        state, actions = sf.ask(state)
        a = np.asarray(actions, np.float64)
        wave = 3.0 * a[..., 0] + a[..., 1]
        values = 0.5 * np.cos(wave) - np.sum((a - 0.4) ** 2, -1)
        gradients = -0.5 * np.sin(wave)[..., None] * np.array([3.0, 1.0]) - 2.0 * (a - 0.4)
        state = sf.tell(state, values, gradients)
    result, wanted = sf.estimate(state), sf.estimate(finished(begun(dtype="float32")))
    assert result.score.dtype == jnp.float32
    np.testing.assert_allclose(result.score, wanted.score, rtol=1e-3, atol=1e-3)


def test_asked_again_before_it_is_told_the_same_actions_are_given():
    first, actions = sf.ask(begun())
    again, same_actions = sf.ask(first)
    assert same(same_actions, actions) and same(again.stages, first.stages)
    after = sf.tell(first, *answer(first, actions))
    assert len(after.evaluations) == 1 and len(sf.ask(after)[0].stages) == 2


def test_later_turns_go_by_other_numbers():
    """A fit that is the first proposal again: no action is asked for twice."""

    class Same(sf.FittedProposal):
        def fit(self, draws, point):
            return self.first(point)

    state, asked = begun(sf.Method(Same(), sf.NoiseExpectation(), quasi=True)), []
    while not state.done:
        state, actions = sf.ask(state)
        asked.append(np.asarray(actions[0]))
        state = sf.tell(state, *answer(state, actions))
    rows = np.concatenate(asked)
    assert len(np.unique(rows, axis=0)) == len(rows) == DRAWS


@pytest.mark.parametrize("num_draws", [1, 2, 3, 7])
def test_the_number_of_draws_is_a_ceiling_and_actions_lie_in_the_box(num_draws):
    """Of all points together l num_draws, whatever the turns are."""
    state, asked = begun(shape="levels", num_draws=num_draws), 0
    low, high = BOX.bounds(DIM)
    while not state.done:
        state, actions = sf.ask(state)
        assert actions.shape[::2] == (STATES, DIM) and actions.shape[1] % LEVELS == 0
        assert jnp.all((actions >= low) & (actions <= high))
        asked += actions.shape[1]
        state = sf.tell(state, *answer(state, actions))
    assert asked == LEVELS * num_draws
    assert int(sf.estimate(state).info.num_values.sum()) == STATES * asked


@pytest.mark.parametrize("name", ["sdac", "rfm"])
def test_methods_of_another_space_ask_at_actions(name):
    """Where points lie outside the box, or in the latent, Q is asked inside it."""
    _, actions = sf.ask(begun(name, num_draws=64))
    low, high = BOX.bounds(DIM)
    assert jnp.all((actions >= low) & (actions <= high))


def test_what_is_impossible_and_what_is_invalid():
    state, actions = sf.ask(begun("noise", num_draws=64))
    values = VALUES(actions)
    half = jnp.where(actions[..., 0] > 0.5, -jnp.inf, values)
    fine = sf.estimate(sf.tell(state, half))
    assert int(fine.info.num_invalid.sum()) == 0 and jnp.all(jnp.isfinite(fine.score))
    bad = sf.tell(state, values.at[0, 3].set(jnp.nan))
    with pytest.raises(ValueError, match="NaN or \\+inf at 1 of the draws"):
        sf.estimate(bad)
    traced = jax.jit(sf.estimate)(bad)
    assert np.all(np.isnan(traced.score[0])) and np.all(np.isfinite(traced.score[1]))
    assert traced.info.num_invalid.tolist() == [1, 0]


def told_nothing():
    return sf.tell(begun(), jnp.zeros((2, 3)))


def told_twice():
    state, actions = sf.ask(begun())
    answers = answer(state, actions)
    return sf.tell(sf.tell(state, *answers), *answers)


def tell(values, gradients=None, method="auto"):
    return sf.tell(sf.ask(begun(method))[0], values, gradients)


K = 4  # draws of the first of two turns
WRONG = {
    "told before it is asked": (told_nothing, "Nothing was asked"),
    "told twice": (told_twice, "Nothing was asked"),
    "estimated too early": (lambda: sf.estimate(begun()), "not done"),
    "estimated before it is told": (lambda: sf.estimate(sf.ask(begun("noise"))[0]), "not done"),
    "asked when done": (lambda: sf.ask(finished(begun("noise"))), "nothing is left to ask"),
    "no gradients": (lambda: tell(jnp.zeros((2, K))), "needs gradients of Q, shape"),
    "no Hessians": (
        lambda: tell(jnp.zeros((2, 7)), jnp.zeros((2, 7, 2)), "lfgi"), "needs hessians of Q"
    ),
    "too few values": (lambda: tell(jnp.zeros((2, 1)), jnp.zeros((2, K, 2))), "values must have"),
    "flat values": (lambda: tell(jnp.zeros(2 * K), jnp.zeros((2, K, 2))), "values must have"),
    "flat gradients": (lambda: tell(jnp.zeros((2, K)), jnp.zeros((2, K))), "gradients must have"),
    "no values": (lambda: tell(None, jnp.zeros((2, K, 2))), "needs values"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_is_a_sentence(untyped, case):
    call, says = WRONG[case]
    with pytest.raises(ValueError, match=says) as caught:
        call()
    assert len(str(caught.value)) < 300
