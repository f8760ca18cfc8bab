"""pi(a) ∝ mu(a) exp(Q(a)/tau): a prior mu beside Q."""

import jax
import jax.numpy as jnp
import pytest

import steinflow as sf

MEAN, PRECISION, TAU = jnp.array([0.4, -0.3]), 2.0, 0.5


def q(action):
    return -0.5 * jnp.sum((action - 0.2) ** 2)


def log_prior(action):
    return -0.5 * PRECISION * jnp.sum((action - MEAN) ** 2)


def exact(x, level):
    """The score of alpha a + sigma eps, a of the normal that both make together."""
    precision = PRECISION + 1.0 / TAU
    mean = (PRECISION * MEAN + 0.2 / TAU) / precision
    return -(x - level.alpha * mean) / (level.alpha**2 / precision + level.sigma**2)


@pytest.mark.parametrize("name", ["noise", "gradient", "blend", "auto"])
def test_every_family_knows_the_prior(name, key):
    target, level = sf.Boltzmann(q, TAU, log_prior=log_prior), sf.Level(0.6, 0.8)
    x = jnp.array([0.5, -0.4])
    keys = jax.random.split(key, 64)
    scores = jax.vmap(
        lambda k: sf.score_target(k, target, x, level, estimator=name, num_draws=128).score
    )(keys)
    error = jnp.std(scores, axis=0, ddof=1) / 8.0
    bias = 3.0 / 128  # of self-normalisation, at most
    assert jnp.all(jnp.abs(scores.mean(axis=0) - exact(x, level)) < 4.0 * error + bias)
    without = sf.Boltzmann(q, TAU)
    plain = sf.score_target(keys[0], without, x, level, estimator=name, num_draws=128).score
    assert jnp.linalg.norm(plain - exact(x, level)) > 5.0 * jnp.max(error) + bias


def test_the_prior_of_a_state_has_its_context(key):
    target = sf.Boltzmann(
        lambda a, s: q(a), TAU, sf.Box(-1.0, 1.0), context=jnp.array([1.0, -1.0]),
        log_prior=lambda a, s: s * a[0],
    )  # fmt: skip
    xs, levels = jnp.zeros((2, 1, 2)), sf.Level(jnp.full((2, 1), 0.5), jnp.full((2, 1), 0.5))
    scores = sf.score_targets(key, target, xs, levels, num_draws=64).score
    assert scores[0, 0, 0] > scores[1, 0, 0] + 0.1


def test_a_prior_that_is_no_function_is_a_sentence():
    with pytest.raises(ValueError, match="weigh its samples"):
        sf.Boltzmann(q, TAU, log_prior=jnp.zeros((10, 2)))


@pytest.mark.parametrize("name", ["rfm", "sdac", "auto"])
def test_the_prior_of_states_with_temperatures_of_their_own(name, key):
    """Also where a method poses the box in another space."""
    tau = jnp.array([0.2, 2.0])
    xs, levels = jnp.zeros((2, 1, 2)), sf.Level(jnp.full((2, 1), 0.5), jnp.full((2, 1), 0.5))

    def scores(tau, rows):
        target = sf.Boltzmann(q, tau, sf.Box(-1.0, 1.0), log_prior=log_prior)
        level = sf.Level(levels.alpha[rows], levels.sigma[rows])
        return sf.score_targets(key, target, xs[rows], level, estimator=name, num_draws=64).score

    both = jax.jit(lambda tau: scores(tau, slice(None)))(tau)
    alone = scores(tau[:1], slice(0, 1))
    assert both.shape == (2, 1, 2) and jnp.all(jnp.isfinite(both))
    assert jnp.max(jnp.abs(both[0] - both[1])) > 0.05
    assert alone.shape == (1, 1, 2)
