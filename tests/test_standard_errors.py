"""Standard errors of the default hold: a tenth of benchmarks/evidence.py, with seeds of its own."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import steinflow as sf
from steinflow.levels import cast
from steinflow.study.conditions import FAMILIES
from steinflow.study.leaderboard.problems import at_temperature, random_mixture, spread
from steinflow.targets import random_networks

pytestmark = pytest.mark.slow

KINDS = ("linear", "quadratic", "multimodal", "mixture", "pairs")
MEMBERS = ("separable", "mixture", "pairs")
TAUS = (0.1, 0.5)  # in units of the spread of Q
ALPHAS = np.array([0.1, 0.3, 0.5, 0.7, 0.9])
LEVELS = sf.Level(ALPHAS, 1.0 - ALPHAS)
SUPPORTS = {"box": sf.Box(-1.0, 1.0), "real": sf.RealSpace()}
KEYS, SEED = 32, 50_021
# support, d, N, whether levels share draws, precision: a half of all combinations
SETTINGS = (
    ("box", 2, 16, True, "float64"), ("box", 2, 64, False, "float64"),
    ("box", 6, 64, True, "float64"), ("box", 6, 16, False, "float32"),
    ("real", 2, 16, False, "float64"), ("real", 2, 64, True, "float32"),
    ("real", 6, 64, False, "float64"), ("real", 6, 16, True, "float64"),
)  # fmt: skip


def members_of(kind, dim, support):
    """Q of every kind as data; the separable one is this one's, if it is separable."""
    return {
        "separable": FAMILIES[kind if kind in FAMILIES else "quadratic"](1.0, dim, support),
        "mixture": random_mixture(SEED + dim, dim, support),
        "pairs": random_networks(SEED + dim, 1.0, dim, support),
    }


@jax.jit
def point_of(key, target, levels):
    """Noisy points of an action from pi, and the truth there."""
    first, second = jax.random.split(key)
    action = target.sample(first, 1)[0]
    noise = jax.random.normal(second, (5, action.size))
    xs = levels.alpha[:, None] * action + levels.sigma[:, None] * noise
    return xs, jax.lax.map(lambda at: target.exact_score(*at), (xs, levels))


@partial(jax.jit, static_argnames=("num_draws", "shared"))
def repeated(keys, number, tau, members, xs, levels, support, num_draws, shared):
    """Estimates of auto and of noise at five levels for every key."""
    count = 1 if shared else 5
    members = jax.tree.map(lambda leaf: jnp.stack([jnp.asarray(leaf)] * count), members)

    def q(action, members):
        each = [partial(lambda name, a, m: m[name].value(a), name) for name in MEMBERS]
        return jax.lax.switch(number, each, action, members)

    target = sf.Boltzmann(q, jnp.full(count, tau), support, members)

    def once(key):
        def estimates(method):
            if not shared:
                return sf.score_targets(key, target, xs, levels, method, num_draws=num_draws)
            estimates = sf.score_targets(key, target, xs[None], levels, method, num_draws=num_draws)
            return jax.tree.map(lambda leaf: leaf[0], estimates)

        return estimates("auto"), estimates("noise")

    return jax.lax.map(once, keys, batch_size=8)


def errors_of(result, exact):
    """|error|/std_error, [keys, level, d]."""
    error = np.asarray(result.info.std_error, float)
    gap = np.abs(np.asarray(result.score, float) - np.asarray(exact))
    return gap / np.maximum(error, 1e-6 * (1.0 + np.abs(np.asarray(exact))))


@pytest.fixture(scope="module")
def cells():
    """Of every cell that counts: errors in units of the standard error, and where reliable."""
    result, levels = [], jax.tree.map(jnp.asarray, LEVELS)
    for index, (name, dim, num_draws, shared, dtype) in enumerate(SETTINGS):
        support = SUPPORTS[name]
        for number, kind in enumerate(KINDS):
            members = members_of(kind, dim, support)
            member = kind if kind in MEMBERS else "separable"
            one = jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], members[member])
            for factor in TAUS:
                tau = factor * float(spread(one)[0])
                warm = {key: at_temperature(v, jnp.asarray(tau)) for key, v in members.items()}
                key = jax.random.key(SEED + 100 * index + number)
                xs, exact = point_of(key, warm[member], levels)
                low = cast((jnp.asarray(tau), warm, xs, levels, support), dtype)
                keys = jax.random.split(jax.random.fold_in(key, 1), KEYS)
                auto, noise = repeated(
                    keys, MEMBERS.index(member), *low, num_draws=num_draws, shared=shared
                )
                ours, plain = errors_of(auto, exact), errors_of(noise, exact)
                counts = np.mean(auto.info.ess, axis=0) >= 10.0
                counts &= np.mean(plain > 3.0, axis=(0, 2)) <= 0.05
                reliable = np.asarray(auto.info.reliable)
                where = (name, dim, num_draws, shared, dtype, kind, factor)
                result += [
                    ((*where, float(ALPHAS[k])), ours[:, k], reliable[:, k])
                    for k in np.flatnonzero(counts)
                ]
    return result


def test_errors_are_what_they_are_said_to_be(cells):
    """Beyond three standard errors in at most 3 %, and neither too wide."""
    every = np.concatenate([errors.ravel() for _, errors, _ in cells])
    worst = sorted(((np.mean(errors > 3.0), where) for where, errors, _ in cells), reverse=True)[:5]
    print(f"{len(cells)} cells, {np.mean(every > 3.0):.4f} beyond, {worst}")
    assert len(cells) > 150
    assert np.mean(every > 3.0) <= 0.03, worst
    assert 0.1 <= np.median(every) <= 1.2


def test_reliable_means_that_it_can_be_trusted(cells):
    sure = np.concatenate([errors[reliable].ravel() for _, errors, reliable in cells])
    print(f"{sure.size} reliable, {np.mean(sure > 3.0):.4f} beyond")
    assert sure.size > 5000 and np.mean(sure > 3.0) <= 0.01
