"""The paper's objectives as losses on a network."""

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest

import steinflow as sf

LEVELS = sf.Level(jnp.array([0.3, 0.8, 0.95]), jnp.array([0.954, 0.6, 0.312]))
TARGET = sf.targets.Multimodal(0.7)


def network(key):
    """A small policy: (x, level) -> [d]."""
    mlp = eqx.nn.MLP(3, 2, 16, 2, key=key)
    return mlp, lambda m: lambda x, level: m(jnp.append(x, level.alpha))


@pytest.mark.parametrize("units", ["score", "noise", "posterior_mean", "velocity"])
def test_blending_losses_and_targets_has_one_parameter_gradient(key, units):
    """(1-c) L_NE + c L_GE and the loss on the blended target, on shared draws."""
    mlp, wrap = network(key)
    xs, c = jax.random.normal(key, (3, 2)), 0.3

    def loss(mlp, estimator):
        return sf.score_matching_loss(
            wrap(mlp), key, TARGET, xs, LEVELS, estimator=estimator, units=units
        )[0]

    gradient = eqx.filter_grad(loss)
    parts = gradient(mlp, "noise"), gradient(mlp, "gradient")
    blended = gradient(mlp, sf.Blend(c))
    mixed = jax.tree.map(lambda a, b: (1 - c) * a + c * b, *parts)
    for one, other in zip(jax.tree.leaves(blended), jax.tree.leaves(mixed), strict=True):
        assert jnp.allclose(one, other, rtol=1e-9, atol=1e-12)
    values = (1 - c) * loss(mlp, "noise") + c * loss(mlp, "gradient")
    assert not jnp.allclose(values, loss(mlp, sf.Blend(c)))  # they differ by a constant


def test_the_loss_is_the_weighted_squared_error(key):
    xs = jax.random.normal(key, (3, 2))
    loss, estimate = sf.score_matching_loss(
        lambda x, level: jnp.zeros(2), key, TARGET, xs, LEVELS, "noise",
        units="noise", weight=lambda level: level.sigma,
    )  # fmt: skip
    noise = -LEVELS.sigma[:, None] * estimate.score
    assert jnp.allclose(loss, jnp.mean(LEVELS.sigma * jnp.sum(noise**2, axis=1)))


def test_levels_of_a_state_in_a_loss(key):
    xs = jax.random.normal(key, (4, 3, 2))
    loss, estimate = sf.score_matching_loss(lambda x, level: x, key, TARGET, xs, LEVELS)
    assert loss.shape == () and estimate.score.shape == (4, 3, 2)


def test_training_on_targets_approaches_the_exact_score(key):
    """A network trained on the estimated targets ends nearer the truth than the targets."""
    import optax

    mlp, wrap = network(key)
    level, optimiser = sf.Level(0.8, 0.6), optax.adam(3e-3)
    state = optimiser.init(eqx.filter(mlp, eqx.is_array))

    @eqx.filter_jit
    def step(mlp, state, key):
        first, second = jax.random.split(key)
        xs = 1.2 * jax.random.normal(first, (256, 2))

        def loss(mlp):
            return sf.score_matching_loss(wrap(mlp), second, TARGET, xs, level, num_draws=8)

        gradient = eqx.filter_grad(lambda mlp: loss(mlp)[0])(mlp)
        updates, state = optimiser.update(gradient, state)
        return eqx.apply_updates(mlp, updates), state

    for k in jax.random.split(key, 400):
        mlp, state = step(mlp, state, k)
    xs = jax.random.normal(key, (256, 2))
    exact = jax.jit(jax.vmap(lambda x: TARGET.exact_score(x, level)))(xs)
    learned = jax.vmap(lambda x: wrap(mlp)(x, level))(xs)
    targets = jax.jit(lambda: sf.score_targets(key, TARGET, xs, level, num_draws=8))().score
    error = [float(jnp.mean(jnp.sum((v - exact) ** 2, -1))) for v in (learned, targets)]
    assert error[0] < 0.5 * error[1], error


def test_a_conditional_policy_sees_the_state(key):
    """With a context predict takes it too: every state its own, in every level."""
    seen, xs = jnp.array([[1.0, 2.0], [3.0, -1.0]]), jax.random.normal(key, (2, 3, 2))
    q = lambda action, at: -jnp.sum((action - at) ** 2)  # noqa: E731
    target = sf.Boltzmann(q, 0.5, context=seen)
    arguments = key, target, xs, LEVELS, "noise"

    def predict(x, level, at):
        return at + level.alpha * x

    loss, estimate = sf.score_matching_loss(predict, *arguments, num_draws=4)
    guess = seen[:, None] + LEVELS.alpha[:, None] * xs
    assert jnp.allclose(loss, jnp.mean(jnp.sum((guess - estimate.score) ** 2, axis=-1)))
    flat, one = sf.score_matching_loss(
        predict, key, target, xs[:, 0], sf.Level(0.5, 0.5), "noise", num_draws=4
    )
    guess = seen + 0.5 * xs[:, 0]
    assert jnp.allclose(flat, jnp.mean(jnp.sum((guess - one.score) ** 2, axis=-1)))


def test_a_near_name_is_proposed_and_no_other(key):
    for units, hint in (("velocty", " Did you mean 'velocity'? "), ("eps", " ")):
        with pytest.raises(
            ValueError, match=rf"Unknown units '{units}'\.{hint.replace('?', '.')}Known"
        ):
            sf.score_matching_loss(
                lambda x, level: x, key, TARGET, jnp.zeros((3, 2)), LEVELS, units=units
            )
