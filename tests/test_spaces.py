"""Spaces: what Q says at actions, pulled back, beside autodiff of the posed target."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import steinflow as sf
from steinflow.draws import Reply, evaluate
from steinflow.spaces import SPACES
from steinflow.targets import Multimodal

BOX = sf.Box(jnp.array([-1.0, 0.0]), jnp.array([1.0, 3.0]))
TAU = 0.4
TARGET = Multimodal(TAU, 2, BOX)
Y = jnp.asarray(np.random.default_rng(0).normal(size=(25, 2))) * jnp.array([1.0, 2.0])


def posed(space):
    return sf.Method(None, sf.NoiseExpectation(), space).pose(TARGET)


@pytest.mark.parametrize("name", SPACES)
def test_pulled_back_is_what_the_posed_target_says(name):
    space, hidden = SPACES[name], posed(name)
    y = jnp.clip(Y, *BOX.bounds(2)) if name == "action" else Y

    @jax.jit
    def both():
        reply = evaluate(TARGET, space.action(y, BOX), True, False)
        pulled = space.pull_back(y, reply, jnp.asarray(TAU), BOX)
        return pulled, jax.vmap(jax.value_and_grad(hidden.value))(y)

    pulled, (value, gradient) = both()
    np.testing.assert_allclose(pulled.value, value, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(pulled.gradient, gradient, rtol=1e-10, atol=1e-12)
    bare = space.pull_back(y, Reply(pulled.value, None, None), jnp.asarray(TAU), BOX)
    assert bare.gradient is None


@pytest.mark.parametrize("name", SPACES)
def test_a_space_stands_for_actions_in_the_box(name):
    space, far = SPACES[name], 40.0 * Y
    action = space.action(far, BOX)
    low, high = BOX.bounds(2)
    assert jnp.all((action >= low) & (action <= high))
    assert space.support(BOX).has_bounds == (name == "action")
    assert space.is_exact(sf.RealSpace()) and space.is_exact(BOX) == (name != "clipped")


@pytest.mark.parametrize("name", SPACES)
def test_on_the_whole_space_nothing_changes(name):
    space, real = SPACES[name], sf.RealSpace()
    reply = Reply(jnp.sum(Y, -1), 2.0 * Y, None)
    result = space.pull_back(Y, reply, jnp.asarray(TAU), real)
    assert jnp.array_equal(space.action(Y, real), Y)
    assert jnp.array_equal(result.value, reply.value)
    assert jnp.array_equal(result.gradient, reply.gradient)


def test_which_methods_are_consistent_where():
    ways = {name: sf.ESTIMATORS[name] for name in ("auto", "lfgi", "rfm", "sdac", "idem")}
    assert all(method.is_consistent(sf.RealSpace()) for method in ways.values())
    assert [name for name, method in ways.items() if not method.is_consistent(BOX)] == [
        "sdac", "idem"
    ]  # fmt: skip
