"""The two losses of the agent, once more in NumPy."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

import steinflow as sf
from steinflow.methods import as_method
from steinflow.rl.actor import boltzmann, noise_levels, score_loss
from steinflow.rl.critic import Batch, critic_loss, td_target
from steinflow.rl.heads import Categorical
from steinflow.rl.networks import Critics, Denoiser

STATES, MANY, DIM, LEVELS, DRAWS = 5, 4, 2, 3, 16
RNG = np.random.default_rng(11)


@pytest.fixture(scope="module", autouse=True)
def single_precision():
    with jax.enable_x64(False):
        yield


def floats(*shape):
    return RNG.normal(size=shape).astype(np.float32)


@pytest.fixture(scope="module")
def critics():
    return Critics(jax.random.key(3), 3, DIM, (8,), 2)


@pytest.mark.parametrize("bonus", [0.0, 0.7])
def test_the_goal_of_the_critics(critics, bonus):
    batch = Batch(
        floats(STATES, 3), floats(STATES, DIM), floats(STATES), floats(STATES, 3),
        np.array([0.9, 0.0, 0.5, 0.9, 0.9], np.float32),
    )  # fmt: skip
    actions = floats(STATES, MANY, DIM)
    pairs = zip(batch.next_obs, actions, strict=True)
    values = [[np.min(critics(*map(jnp.asarray, (s, a)))) for a in row] for s, row in pairs]
    values = np.array(values) + np.float32(bonus)
    weight = np.exp(values / 0.5) / np.exp(values / 0.5).sum(1, keepdims=True)
    best = {"hard": values.max(1), "mean": values.mean(1), "soft": (weight * values).sum(1)}
    batch, actions, tau = jax.tree.map(jnp.asarray, (batch, actions, np.float32(0.5)))
    for name, value in best.items():
        goal = td_target(critics, batch, actions, tau, name, bonus)
        assert_allclose(goal[:, 0], batch.reward + np.asarray(batch.discount) * value, rtol=1e-5)
    q = np.array([critics(s, a) for s, a in zip(batch.obs, batch.action, strict=True)])
    loss, mean = critic_loss(critics, batch, goal)
    assert_allclose(loss, np.sum(np.mean((q - np.asarray(goal)) ** 2, 0)), rtol=1e-5)
    assert_allclose(mean, q.mean(), atol=1e-6)

    def all_of_it(critics):
        return jnp.sum(td_target(critics, batch, actions, tau, "soft"))

    assert not any(np.any(g) for g in jax.tree.leaves(eqx.filter_grad(all_of_it)(critics)))


def softmax(logits):
    weight = np.exp(logits - logits.max(-1, keepdims=True))
    return weight / weight.sum(-1, keepdims=True)


@pytest.mark.parametrize("bonus", [0.0, 0.7])
def test_the_goal_of_categorical_critics(bonus):
    """The whole distribution of the critic with the least mean at each action, atom by atom."""
    head = Categorical(atoms=11, bound=2.0)
    critics = Critics(jax.random.key(3), 3, DIM, (8,), 2, head=head)
    critics = jax.tree.map(lambda leaf: 5.0 * leaf, critics)  # far from uniform
    discount = np.array([0.9, 0.0, 0.5, 0.9, 0.9], np.float32)
    batch = Batch(
        floats(STATES, 3), floats(STATES, DIM), floats(STATES), floats(STATES, 3), discount
    )  # fmt: skip
    actions, z = floats(STATES, MANY, DIM), np.linspace(-2.0, 2.0, 11)
    goals = {name: np.zeros((STATES, 11)) for name in ("hard", "mean", "soft")}
    picked = set()
    for i in range(STATES):
        pairs = [(jnp.asarray(batch.next_obs[i]), jnp.asarray(a)) for a in actions[i]]
        members = np.array([critics.outputs(*pair) for pair in pairs])
        q = softmax(members) @ z
        least, values = q.argmin(1), q.min(1) + bonus
        picked |= set(least)
        weights = {"hard": np.eye(MANY)[values.argmax()], "mean": np.full(MANY, 1 / MANY)}
        weights["soft"] = softmax(values / 0.5)
        for m in range(MANY):
            for p, atom in zip(softmax(members)[m, least[m]], z, strict=True):
                value = batch.reward[i] + discount[i] * (atom + bonus)
                place = (np.clip(value, -2.0, 2.0) + 2.0) / 0.4
                for name, weight in weights.items():
                    for k in range(11):
                        goals[name][i, k] += weight[m] * p * max(0.0, 1.0 - abs(place - k))
    assert picked == {0, 1}
    batch, actions, tau = jax.tree.map(jnp.asarray, (batch, actions, np.float32(0.5)))
    for name, wanted in goals.items():
        goal = td_target(critics, batch, actions, tau, name, bonus)
        assert_allclose(goal, wanted, atol=2e-5)
    loss, mean = critic_loss(critics, batch, goal)
    outputs = np.array(
        [critics.outputs(s, a) for s, a in zip(batch.obs, batch.action, strict=True)]
    )
    crossed = -np.sum(np.asarray(goal)[:, None] * np.log(softmax(outputs)), -1)
    assert_allclose(loss, np.sum(np.mean(crossed, 0)), rtol=1e-5)
    assert_allclose(mean, np.mean(softmax(outputs) @ z), atol=1e-5)


def test_times_are_stratified_and_keep_away_from_the_ends():
    levels = noise_levels(jax.random.key(1), sf.LinearFlow(), 200, LEVELS)
    place = (np.asarray(levels.alpha) - 0.01) / 0.98 * LEVELS - np.arange(LEVELS)
    assert place.shape == (200, LEVELS) and 0.0 <= place.min() < 0.02 < 0.98 < place.max() <= 1.0
    assert np.all(np.abs(place.mean(0) - 0.5) < 0.08)


def by_hand(policy, key, targets, obs, particle, method):
    """The loss, and what the draws say of themselves."""
    states, (for_level, for_noise, for_draws) = len(particle), jax.random.split(key, 3)
    levels = noise_levels(for_level, sf.LinearFlow(), states, LEVELS)
    alpha, sigma = (np.asarray(v)[..., None] for v in (levels.alpha, levels.sigma))
    eps = np.asarray(jax.random.normal(for_noise, (states, LEVELS, DIM)))
    x = alpha * particle[:, None] + sigma * eps
    estimate = eqx.filter_jit(lambda *place: sf.score_targets(*place, num_draws=DRAWS))
    result = estimate(for_draws, targets, jnp.asarray(x), levels, method)
    goal = (x + sigma**2 * np.asarray(result.score)) / alpha
    if policy.bounded:
        goal = np.clip(goal, -1.0, 1.0)
    each_level = jax.vmap(policy, (None, 0, 0))
    guess = np.asarray(jax.vmap(each_level)(jnp.asarray(obs), jnp.asarray(x), levels))
    error = np.where(np.isfinite(goal), guess - goal, 0.0)
    errors = np.asarray(result.info.std_error) * sigma**2 / alpha
    return np.mean(np.sum(error**2, -1)), np.sqrt(np.mean(errors**2)), result.info


@pytest.mark.parametrize(("name", "bounded"), [("auto", True), ("noise", True), ("noise", False)])
def test_the_loss_of_the_policy(critics, name, bounded):
    key, obs, particle = jax.random.key(4), floats(STATES, 3), np.tanh(floats(STATES, DIM))
    policy = Denoiser(jax.random.key(5), 3, DIM, (8,), bounded)
    targets, method = boltzmann(critics, jnp.float32(0.3), jnp.asarray(obs)), as_method(name, None)
    arguments = (jnp.asarray(obs), jnp.asarray(particle), sf.LinearFlow(), method, LEVELS, DRAWS)
    result, info = eqx.filter_jit(lambda t: score_loss(policy, key, t, *arguments))(targets)
    loss, error, expected = by_hand(policy, key, targets, obs, particle, method)
    assert_allclose((result, info.std_error), (loss, error), rtol=1e-4)
    assert_allclose(info.ess, np.mean(expected.ess), rtol=1e-4)
    assert_allclose(info.coefficient, np.mean(expected.coefficient), rtol=1e-4)
    assert (info.loss, info.invalid, info.entropy) == (result, 0.0, 0.0)


def test_draws_that_are_no_numbers_teach_nothing():
    def q(action, bad):
        return jnp.where(bad, jnp.nan, -jnp.sum((action - 0.9) ** 2))

    key, obs, particle = jax.random.key(0), floats(2, 3), floats(2, DIM)
    policy, method = Denoiser(jax.random.key(5), 3, DIM, (8,)), as_method("noise", None)
    context = jnp.array([True, False])
    targets = sf.Boltzmann(q, tau=0.3, support=sf.Box(-1.0, 1.0), context=context)

    @jax.jit
    def loss_of(obs):
        arguments = obs, jnp.asarray(particle), sf.LinearFlow(), method, LEVELS, DRAWS
        return score_loss(policy, key, targets, *arguments)

    result, info = loss_of(jnp.asarray(obs))
    assert info.invalid == LEVELS * LEVELS * DRAWS and result > 0.0
    assert_allclose(result, by_hand(policy, key, targets, obs, particle, method)[0], rtol=1e-4)
    grad = jax.grad(lambda obs: loss_of(obs)[0])(jnp.asarray(obs))
    assert not np.any(grad[0]) and np.any(grad[1]) and np.all(np.isfinite(grad))
