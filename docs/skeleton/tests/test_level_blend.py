"""What the docstring promises: exactness, and the right limit where nothing is Gaussian."""

import jax
import jax.numpy as jnp
import pytest
from steinflow_skeleton.level_blend import LevelBlend

import steinflow as sf

X, LEVEL = jnp.array([0.4, -0.7]), sf.Level(0.8, 0.6)


def compared(target, estimator, num_draws):
    """An estimate at X and the exact score, compiled at once."""

    @jax.jit
    def both(key):
        found = sf.score_target(key, target, X, LEVEL, estimator, num_draws=num_draws)
        return found, target.exact_score(X, LEVEL)

    return both(jax.random.key(0))


def test_one_draw_is_exact_where_it_should_be():
    normal = sf.targets.GaussianMixture([[0.3, -0.2]], [2.0 * jnp.eye(2)], [0.0], tau=1.0)
    found, exact = compared(normal, LevelBlend(2.0), 1)
    assert jnp.allclose(found.score, exact, rtol=1e-4)


@pytest.mark.parametrize("support", [sf.RealSpace(), sf.Box(-1.0, 1.0)])
def test_many_draws_tend_to_the_score(support):
    target = sf.targets.Bimodal(tau=0.5, support=support)
    found, exact = compared(target, "level-blend", 20_000)
    z = (found.score - exact) / found.info.std_error
    assert jnp.all(jnp.abs(z) < 4.5)  # wrongly in one of 70,000 runs


def test_a_bad_setting_is_a_sentence():
    with pytest.raises(ValueError, match="kappa must not be negative"):
        compared(sf.targets.Bimodal(0.5), LevelBlend(-1.0), 8)
