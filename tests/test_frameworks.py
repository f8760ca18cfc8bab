"""Score targets in other people's loops: plain functions, Equinox modules, Flax functions."""

import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import steinflow as sf

BATCH, OBS, DIM, HIDDEN = 4, 3, 2, 16


class FlaxCritic(nn.Module):
    """The critic in Flax: (observation, action) -> []."""

    @nn.compact
    def __call__(self, observation, action):
        hidden = jnp.concatenate([observation, action])
        for _ in range(2):
            hidden = jnp.tanh(nn.Dense(HIDDEN)(hidden))
        return nn.Dense(1)(hidden)[0]


def plain_critic(layers, observation, action):
    """The critic in plain arrays."""
    value = jnp.concatenate([observation, action])
    for k, (kernel, bias) in enumerate(layers):
        value = value @ kernel + bias
        value = jnp.tanh(value) if k + 1 < len(layers) else value
    return value[0]


def weights():
    """Kernels [in, out] and biases in float64, the same for every framework."""
    rng = np.random.default_rng(7)
    widths = [OBS + DIM, HIDDEN, HIDDEN, 1]
    return [
        (jnp.asarray(rng.normal(size=(i, o)) / np.sqrt(i)), jnp.asarray(0.3 * rng.normal(size=o)))
        for i, o in pairwise(widths)
    ]


class Kind(NamedTuple):
    """A critic: its parameters, a pytree of arrays, and (params, observation, action) -> []."""

    params: Any
    apply: Callable[..., Any]


def plain():
    """A Python function of arrays."""
    return Kind(weights(), plain_critic)


def equinox():
    """An Equinox module, parted into its arrays and the rest."""
    mlp = eqx.nn.MLP(OBS + DIM, "scalar", HIDDEN, 2, activation=jnp.tanh, key=jax.random.key(0))
    flat = [array for kernel, bias in weights() for array in (kernel.T, bias)]
    where = lambda m: [a for layer in m.layers for a in (layer.weight, layer.bias)]  # noqa: E731
    arrays, rest = eqx.partition(eqx.tree_at(where, mlp, flat), eqx.is_array)

    def apply(arrays, observation, action):
        return eqx.combine(arrays, rest)(jnp.concatenate([observation, action]))

    return Kind(arrays, apply)


def flax():
    """A Flax module's apply, and its variables."""
    layers = {f"Dense_{k}": {"kernel": w, "bias": b} for k, (w, b) in enumerate(weights())}
    return Kind({"params": layers}, FlaxCritic().apply)


KINDS = {"function": plain(), "equinox": equinox(), "flax": flax()}
LEVELS = sf.Level(jnp.array([0.3, 0.6, 0.9]), jnp.array([0.7, 0.4, 0.1]))
ONE_EACH = sf.Level(jnp.array([0.3, 0.5, 0.7, 0.9]), jnp.array([0.7, 0.5, 0.3, 0.1]))
TAU = jnp.array(0.3)


def problem(batch=BATCH):
    """Observations [b, 3] and noisy points of three levels [b, 3, 2]."""
    first, second = jax.random.split(jax.random.key(batch))
    return jax.random.normal(first, (batch, OBS)), jax.random.normal(second, (batch, 3, DIM))


def scores_of(apply, estimator="noise"):
    """What a user jits: parameters shared by all states in q, an observation for each state."""

    def scores(key, params, observations, xs, levels, tau):
        q = lambda action, observation: apply(params, observation, action)  # noqa: E731
        target = sf.Boltzmann(q, tau, context=observations)
        return sf.score_targets(key, target, xs, levels, estimator, num_draws=8).score

    return scores


def close(actual, wanted, relative):
    """Whether all errors are below relative (1 + |wanted|)."""
    return bool(jnp.all(jnp.abs(actual - wanted) <= relative * (1 + jnp.abs(wanted))))


def shifted(tree, by):
    """Other values of the same shapes."""
    return jax.tree.map(lambda leaf: leaf + by, tree)


@pytest.fixture(scope="module")
def jitted():
    """Each kind's scores, compiled once for all tests of this file."""
    return {name: jax.jit(scores_of(kind.apply)) for name, kind in KINDS.items()}


def test_the_kinds_are_one_critic():
    """The set-up: equal values and gradients, and not a constant."""
    observations, xs = problem()
    both = lambda kind: jax.vmap(  # noqa: E731
        jax.value_and_grad(kind.apply, argnums=2), in_axes=(None, 0, 0)
    )(kind.params, observations, xs[:, 0])
    value, slope = both(KINDS["function"])
    assert jnp.std(value) > 0.01 and jnp.all(jnp.linalg.norm(slope, axis=-1) > 0.01)
    for kind in KINDS.values():
        assert close(both(kind)[0], value, 1e-14) and close(both(kind)[1], slope, 1e-14)


@pytest.mark.parametrize("name", ["equinox", "flax"])
def test_equal_weights_give_equal_scores(key, jitted, name):
    observations, xs = problem()
    rest = observations, xs, LEVELS, TAU
    wanted = jitted["function"](key, KINDS["function"].params, *rest)
    actual = jitted[name](key, KINDS[name].params, *rest)
    assert wanted.dtype == actual.dtype == jnp.float64 and actual.shape == (BATCH, 3, DIM)
    assert close(actual, wanted, 1e-12)
    other = jitted[name](key, shifted(KINDS[name].params, 0.1), *rest)
    assert jnp.all(jnp.abs(other - wanted) > 1e-6)  # every score depends on the weights


def test_equal_weights_give_equal_scores_by_default(key):
    """The same of `auto`, which also takes gradients of the critic."""
    observations, xs = problem()
    first, *others = (
        jax.jit(scores_of(kind.apply, None))(
            key, kind.params, observations, xs[:, 0], ONE_EACH, TAU
        )
        for kind in KINDS.values()
    )
    assert all(close(other, first, 1e-12) for other in others)


@pytest.mark.parametrize("name", KINDS)
def test_jit_over_a_batch_equals_eager_calls_one_by_one(key, jitted, name):
    kind, (observations, xs) = KINDS[name], problem()
    actual = jitted[name](key, kind.params, observations, xs[:, 0], ONE_EACH, TAU)
    for k, one_key in enumerate(jax.random.split(key, BATCH)):
        q = lambda action, k=k: kind.apply(kind.params, observations[k], action)  # noqa: E731
        level = jax.tree.map(lambda leaf, k=k: leaf[k], ONE_EACH)
        one = sf.score_target(one_key, sf.Boltzmann(q, TAU), xs[k, 0], level, "noise", num_draws=8)
        assert close(actual[k], one.score, 1e-10)


@pytest.mark.parametrize("name", KINDS)
def test_a_state_sees_its_own_observation_only(key, jitted, name):
    """With levels that share draws: state k is the same when all states observe what k does."""
    kind, (observations, xs) = KINDS[name], problem()
    actual = jitted[name](key, kind.params, observations, xs, LEVELS, TAU)
    for k in range(BATCH):
        same = jnp.tile(observations[k], (BATCH, 1))
        other = jitted[name](key, kind.params, same, xs, LEVELS, TAU)
        assert close(other[k], actual[k], 1e-13)
        assert not close(other[k - 1], actual[k - 1], 1e-6)


@pytest.mark.parametrize("name", KINDS)
def test_vmap_over_critics_equals_one_critic_at_a_time(key, jitted, name):
    """An ensemble: parameters with a leading axis, under jit and vmap."""
    kind, (observations, xs) = KINDS[name], problem()
    rest = observations, xs[:, 0], ONE_EACH, TAU
    ensemble = [shifted(kind.params, by) for by in (0.0, 0.1, -0.2)]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *ensemble)
    keys = jax.random.split(key, 3)
    over_critics = jax.vmap(scores_of(kind.apply), in_axes=(0, 0, None, None, None, None))
    actual = jax.jit(over_critics)(keys, stacked, *rest)
    for k, params in enumerate(ensemble):
        assert close(actual[k], jitted[name](keys[k], params, *rest), 1e-10)


@pytest.mark.parametrize("name", KINDS)
def test_one_compilation_a_shape(key, jitted, name):
    kind, scores = KINDS[name], jitted[name]
    scores(key, kind.params, *problem(), LEVELS, TAU)
    before = scores._cache_size()
    for k in range(1, 4):  # every value changes, no shape does
        rest = (*problem(), shifted(LEVELS, 0.01 * k), TAU + k)
        scores(jax.random.fold_in(key, k), shifted(kind.params, 0.1 * k), *rest)
    assert scores._cache_size() == before
    for _ in range(2):
        scores(key, kind.params, *problem(BATCH + 1), LEVELS, TAU)
    assert scores._cache_size() == before + 1


def test_a_target_with_a_module_is_an_argument(key):
    """A module as q itself, in a target that is passed through filter_jit, new weights and all."""
    traces = []

    @eqx.filter_jit
    def scores(key, target, xs):
        traces.append(1)
        return sf.score_targets(key, target, xs, ONE_EACH, "noise", num_draws=8).score

    xs = problem()[1][:, 0]
    first, second = (eqx.nn.MLP(DIM, "scalar", 8, 1, key=jax.random.key(k)) for k in range(2))
    actual = [scores(key, sf.Boltzmann(module, TAU), xs) for module in (first, second, first)]
    assert len(traces) == 1
    assert jnp.array_equal(actual[0], actual[2]) and not close(actual[0], actual[1], 1e-6)


@pytest.mark.parametrize("name", KINDS)
def test_no_gradient_flows_through_a_score(key, name):
    """Not to the critic, observations, xs, levels or tau, though the score depends on all."""
    kind, (observations, xs) = KINDS[name], problem()
    total = lambda *arguments: jnp.sum(scores_of(kind.apply)(key, *arguments))  # noqa: E731
    arguments = kind.params, observations, xs, LEVELS, TAU
    slopes = jax.jit(jax.grad(total, argnums=tuple(range(5))))(*arguments)
    assert len(jax.tree.leaves(slopes)) == len(jax.tree.leaves(arguments))
    assert all(bool(jnp.all(slope == 0)) for slope in jax.tree.leaves(slopes))


@pytest.mark.parametrize("name", KINDS)
def test_the_gradient_of_a_loss_reaches_the_prediction_alone(key, jitted, name):
    """It is that of the squared error to fixed goals, also in xs; the critic's is zero."""
    kind, (observations, xs) = KINDS[name], problem()
    actor = jnp.asarray(np.random.default_rng(3).normal(size=(DIM, DIM)))
    scores = jitted[name](key, kind.params, observations, xs, LEVELS, TAU)
    goals = jax.vmap(jax.vmap(sf.posterior_mean), in_axes=(0, 0, None))(scores, xs, LEVELS)

    def loss(actor, xs, params):
        q = lambda action, observation: kind.apply(params, observation, action)  # noqa: E731
        predict = lambda x, level, observation: actor @ x * level.alpha  # noqa: E731
        target = sf.Boltzmann(q, TAU, context=observations)
        return sf.score_matching_loss(
            predict, key, target, xs, LEVELS, "noise", num_draws=8, units="posterior_mean"
        )[0]

    def fixed(actor, xs):
        guess = jnp.einsum("ij,blj,l->bli", actor, xs, LEVELS.alpha)
        return jnp.mean(jnp.sum((guess - goals) ** 2, axis=-1))

    *actual, to_critic = jax.jit(jax.grad(loss, argnums=(0, 1, 2)))(actor, xs, kind.params)
    for slope, wanted in zip(actual, jax.grad(fixed, argnums=(0, 1))(actor, xs), strict=True):
        assert close(slope, wanted, 1e-10) and jnp.linalg.norm(slope) > 0.1
    assert all(bool(jnp.all(slope == 0)) for slope in jax.tree.leaves(to_critic))


def test_the_loop_of_the_docs_has_thirty_lines():
    page = (Path(__file__).parent.parent / "docs" / "in-your-loop.md").read_text()
    blocks = re.findall(r"```python[^\n]*\n(.*?)```", page, re.DOTALL)
    (loop,) = [block for block in blocks if "def update" in block]
    assert "sf.score_targets" in loop and "for step in" in loop
    assert len(loop.splitlines()) <= 30
