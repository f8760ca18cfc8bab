"""The compiled update: seeds side by side, samples inside the box, what is learned."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from steinflow.rl.agent import POINTS, Learner, Sizes, act, initial, learn_all
from steinflow.rl.config import CHOICES, TrainConfig
from steinflow.rl.critic import BACKUPS, Batch
from steinflow.rl.heads import HEADS
from steinflow.rl.policies import ACTORS
from steinflow.rl.temperature import TEMPERATURES
from steinflow.samplers import SAMPLERS

SIZES = Sizes(3, 2)


def learner(**options):
    small = {"hidden": (16, 16), "batch_size": 32, "num_levels": 2, "flow_steps": 3}
    return Learner(TrainConfig(**small | options), SIZES)


DELAY = TrainConfig.policy_delay


def data(seeds, rounds, delay, batch=32):
    """Rewards -|a - .5|² of one-step episodes: Q is known, and so is the best action."""
    rng = np.random.default_rng(0)
    shape = (rounds, delay, batch)
    obs = rng.normal(size=(*shape, 3))
    action = rng.uniform(-1, 1, (*shape, 2))
    reward = -np.sum((action - 0.5) ** 2, axis=-1)
    one = Batch(obs, action, reward, obs, np.zeros(shape))
    return jax.tree.map(lambda leaf: jnp.asarray(np.stack([leaf] * seeds), jnp.float32), one)


def agents(learner, seeds):
    return jax.vmap(lambda seed: initial(learner, seed))(jnp.asarray(seeds))


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["flow", "diffusion", "gaussian"])
def test_every_policy_finds_the_best_action_of_a_known_q(policy):
    agent = learner(policy=policy, policy_delay=1, actor_lr=3e-3, critic_lr=3e-3)
    states = agents(agent, [0])
    states, info = learn_all(agent, states, data(1, 600, 1))
    network = jax.tree.map(lambda leaf: leaf[0], states.policy)  # its own samples, none chosen by Q
    samples = agent.actor.sample(jax.random.key(9), network, jnp.zeros((64, 3)), 2, 1).actions
    assert np.isfinite(info.critic_loss).all()
    assert float(jnp.abs(samples).max()) <= 1.0
    assert np.allclose(jnp.mean(samples, axis=(0, 1)), 0.5, atol=0.2)
    assert act(agent, states, jnp.asarray(0), jnp.zeros((1, 64, 3))).shape == (1, 64, 2)


def test_the_choices_of_the_options_are_those_of_the_code():
    known = {"policy": ACTORS, "backup": BACKUPS, "temperature_mode": TEMPERATURES}
    known |= {"actor_points": POINTS, "critic": HEADS, "sampler": SAMPLERS}
    known["objective"] = {"score", "cloning", "weighted", "diffusion-ql"}  # each in test_datasets
    assert {name: set(result) for name, result in known.items()} == {
        name: set(result) for name, result in CHOICES.items()
    }
    with pytest.raises(ValueError, match="Did you mean 'auto'"):
        TrainConfig(estimator="autoo")


def test_states_of_an_update_of_the_policy():
    asked = [
        ({}, 24), ({"policy": "gaussian"}, 256), ({"batch_size": 16}, 16),
        ({"actor_batch": 99}, 99), ({"actor_batch": 512}, 256),
    ]  # fmt: skip
    for options, states in asked:
        assert TrainConfig(**options).policy_states == states


def test_proposals_that_one_action_is_chosen_from():
    """One where the policy is that of offline data, which knows the actions that Q does not."""
    for objective, usual in (("score", 8), ("diffusion-ql", 8), ("cloning", 1), ("weighted", 1)):
        data = {} if objective == "score" else {"data": "a", "offline_steps": 1, "steps": 0}
        config = TrainConfig(objective=objective, eval_particles=5, temperature=0.2, **data)
        assert (config.proposals(greedy=False), config.proposals(greedy=True)) == (usual, 5)


@pytest.mark.slow
def test_a_seed_among_others_learns_what_it_learns_alone():
    agent = learner()
    together, _ = learn_all(agent, agents(agent, [3, 4]), data(2, 100, DELAY))
    alone, _ = learn_all(agent, agents(agent, [4]), data(1, 100, DELAY))
    pairs = zip(jax.tree.leaves(together), jax.tree.leaves(alone), strict=True)
    for one, other in pairs:
        assert np.allclose(one[1], other[0], atol=1e-4)
    assert int(alone.updates[0]) == 100 * DELAY


def test_learning_rates_fall_to_nothing_at_the_end():
    agent = learner(steps=120, warmup=40, updates_per_step=0.5, anneal=0.5)  # 40 updates in all
    shares = [float(agent.rate_factor(updates)) for updates in (0, 20, 25, 30, 40, 50)]
    assert np.allclose(shares, [1.0, 1.0, 0.75, 0.5, 0.0, 0.0])
    assert learner(steps=120).rate_factor(jnp.array(100)) == 1.0
    twice = learner(steps=120, warmup=40, anneal=1.0, action_repeat=2)  # 40 decisions
    assert float(twice.rate_factor(10)) == 0.75

    def changed(updates):
        before = agents(agent, [0])._replace(updates=jnp.array([updates], jnp.int32))
        kept = jax.tree.map(np.asarray, (before.policy, before.critics))
        after, _ = learn_all(agent, before, data(1, 1, DELAY))
        pairs = zip(
            jax.tree.leaves(kept), jax.tree.leaves((after.policy, after.critics)), strict=True
        )
        return [bool(np.any(a != np.asarray(b))) for a, b in pairs]

    assert all(changed(20)) and not any(changed(40))
    with pytest.raises(ValueError, match="anneal must lie in"):
        learner(anneal=1.5)
