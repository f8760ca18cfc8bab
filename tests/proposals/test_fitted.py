"""The proposal that is fitted to gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import steinflow as sf
from steinflow.draws import draw_shared, uniforms, weights
from steinflow.proposals import NormalProposal
from steinflow.targets import GaussianMixture, Multimodal

BOX = sf.Box(jnp.array([-1.0, 0.0]), jnp.array([1.0, 3.0]))
LEVEL, X = sf.Level(0.7, 0.4), jnp.array([0.9, -0.5])


@pytest.mark.parametrize("support", [sf.RealSpace(), BOX])
def test_the_fit_is_exact_for_a_gaussian_with_independent_dimensions(key, support):
    """From any draws the posterior itself, before it is cut to the support."""
    precision, mean, tau = jnp.array([3.0, 0.5]), jnp.array([0.2, 0.4]), 0.5
    target = GaussianMixture(mean[None], precision[None], [0.0], tau, support)
    proposal = sf.FittedProposal()
    action = proposal.actions(uniforms(key, 9, 2, jnp.float64), X, LEVEL, support)
    slope = jax.vmap(jax.grad(target.value))(action) / tau
    fitted = proposal.fit(action, slope, jnp.full(9, 1 / 9), X, LEVEL, support)
    total = precision / tau + (0.7 / 0.4) ** 2
    center = (precision * mean / tau + 0.7 * X / 0.4**2) / total
    assert jnp.allclose(fitted.scale, total**-0.5) and jnp.allclose(fitted.mean, center)


@pytest.mark.parametrize("support", [sf.RealSpace(), BOX])
def test_a_normal_proposal_has_the_density_that_it_claims(key, support):
    proposal = NormalProposal(jnp.array([0.6, 2.4]), jnp.array([0.5, 0.9]))
    low, high = ((-3.0, -4.0), (4.0, 8.0)) if not support.has_walls else BOX.bounds(2)
    axes = [np.linspace(lo, hi, 801) for lo, hi in zip(low, high, strict=True)]
    nodes = jnp.asarray(np.stack([m.ravel() for m in np.meshgrid(*axes, indexing="ij")], -1))
    ends = [np.where((np.arange(801) % 800) == 0, 0.5, 1.0) * (a[1] - a[0]) for a in axes]
    rule = jnp.asarray(np.outer(*ends).ravel())
    mass = rule * jnp.exp(proposal.log_prob(nodes, X, LEVEL, support))
    assert abs(float(mass.sum()) - 1) < 1e-4
    actions = proposal.actions(uniforms(key, 20_000, 2, jnp.float64), X, LEVEL, support)
    mean = mass @ nodes
    for values, truth in ((actions, mean), ((actions - mean) ** 2, mass @ (nodes - mean) ** 2)):
        z = (values.mean(0) - truth) / (values.std(0) / np.sqrt(20_000))
        assert jnp.all(jnp.abs(z) < 4)


def test_a_wrong_fit_costs_draws_but_biases_nothing(key):
    """Weights of a mixture with a proposal in the wrong place still have mean p/q."""

    class Wrong(sf.FittedProposal):
        def fit(self, action, slope, weight, x, level, support):
            return NormalProposal(x / level.alpha + 1.0, jnp.full(2, 0.05))

    target = Multimodal(0.5, support=BOX)
    levels = jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], LEVEL)
    draws = draw_shared(key, target, X[None], levels, Wrong(), 2**15)(jnp.asarray(0))
    w, u = weights(draws), (0.7 * draws.action - X) / 0.4**2
    score = w @ u
    error = jnp.sqrt((w**2) @ (u - score) ** 2)
    assert jnp.all(jnp.abs(score - target.exact_score(X, LEVEL)) < 4 * error)


@pytest.mark.parametrize("num_draws", [1, 2, 3, 5])
def test_few_draws_are_enough(key, num_draws):
    target = Multimodal(0.5, support=BOX)
    found = sf.score_target(key, target, X, LEVEL, num_draws=num_draws)
    assert jnp.all(jnp.isfinite(found.score))
    assert int(found.info.num_values) == int(found.info.num_grads) == num_draws


def test_many_draws_on_a_box_find_a_mode_that_the_likelihood_never_meets(key):
    """Half of the posterior sits seven widths of the likelihood away from x/alpha."""
    level, x, tight = sf.Level(0.9, 0.1), jnp.array([0.7]), 81.0
    near, far = 50.0, 2000.0  # precisions of the modes at x/alpha and at 0
    even = 0.5 * far * tight / (far + tight) * (0.7 / 0.9) ** 2
    even += 0.5 * jnp.log((far + tight) / (near + tight))
    mean, precision = jnp.array([[0.7 / 0.9], [0.0]]), jnp.array([[near], [far]])
    offset = jnp.stack([jnp.zeros_like(even), even])
    target = GaussianMixture(mean, precision, offset, 1.0, sf.Box(-1.0, 1.0))
    exact = target.exact_score(x, level)
    found = sf.score_target(key, target, x, level, num_draws=4096).score
    assert abs(exact[0]) > 10.0  # the near mode alone has score 0, the far one -70
    assert jnp.linalg.norm(found - exact) < 0.1 * jnp.linalg.norm(exact)


@pytest.mark.parametrize(
    ("num_draws", "levels", "sizes"),
    [
        (2, 20, [1]),
        (3, 14, [1, 1]),
        (19, 2, [9]),
        (33, 2, [11, 11]),
        (3, 1, [1]),
        (43, 1, [10, 10]),
    ],
)
def test_how_many_draws_each_fit_gives_and_sees(key, num_draws, levels, sizes):
    """Two from forty draws of all levels on; each sees all draws before it, and so does another
    beside it, from two draws on, at the first one's temperature."""
    seen = []

    class Spy(sf.FittedProposal):
        def fit(self, action, slope, weight, x, level, support):
            seen.append(action.shape[0])
            return super().fit(action, slope, weight, x, level, support)

        def weigh(self, value, log_prior, own, turn):
            seen.append(turn)
            return super().weigh(value, log_prior, own, turn)

    alpha, target = jnp.linspace(0.3, 0.7, levels), Multimodal(0.5, support=BOX)
    given = jnp.stack([X] * levels), sf.Level(alpha, 1.0 - alpha), Spy(), num_draws
    draws = draw_shared(key, target, *given, quasi=True)(jnp.asarray(0))
    assert draws.action.shape == (levels * num_draws, 2)
    expected, before = [], num_draws - sum(sizes)
    for k, size in enumerate(sizes):
        expected += [(k + 1, len(sizes)), levels * before]
        expected += [(1, 2), levels * before] if len(sizes) == 2 and size > 1 else []
        before += size
    assert seen == expected


def test_a_fit_is_believed_by_the_share_of_the_gradient_that_it_explains():
    """Gradients -P a + e, e as large as P a and uncorrelated with it: half of P."""
    level, even, slope = sf.Level(0.5, 0.5), jnp.full(4, 0.25), 6.0
    action = jnp.array([[-1.0], [-1.0], [1.0], [1.0]])
    gradient = -slope * action + slope * jnp.array([[1.0], [-1.0], [1.0], [-1.0]])
    args = action, gradient, even, jnp.zeros(1), level, sf.RealSpace()
    fitted = sf.FittedProposal().fit(*args)
    assert jnp.allclose(fitted.mean, 0.0) and jnp.allclose(
        fitted.scale, (0.5 * slope + 1.0) ** -0.5
    )
