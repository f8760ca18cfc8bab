"""What fits on R^d have beside boxes: a step cut to size, and draws of a fit that looks ahead."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

import steinflow as sf
from steinflow.draws import draw_shared, uniforms, weights
from steinflow.proposals import FittedProposal, NormalProposal
from steinflow.proposals.fitted import shortened
from steinflow.proposals.paired import PairedProposal
from steinflow.targets import GaussianMixture, Multimodal

LEVEL, X, REAL = sf.Level(0.7, 0.4), jnp.array([0.9, -0.5]), sf.RealSpace()
ONE = NormalProposal(jnp.array([0.6, 1.4]), jnp.array([0.5, 0.9]))
TWO = NormalProposal(jnp.array([-1.6, 1.0]), jnp.array([0.3, 0.4]))


@pytest.mark.parametrize("chance", [0.0, 4.0, 400.0])  # nothing left to it, some, all
def test_a_step_is_cut_by_the_curvature_along_it(chance):
    """By hand: over 1 + e/p, e beyond p as far as it exceeds its error."""
    rng = np.random.default_rng(0)
    step, precision = np.array([3.0, -1.0, 2.0]), np.array([2.0, 5.0, 0.5])
    weight, offset = rng.dirichlet(np.ones(9)), rng.normal(size=(9, 3))
    offset -= weight @ offset
    turned = 3.0 * np.outer([0.8, 0.0, 0.6], [0.8, 0.0, 0.6])
    left = -offset @ turned + chance * rng.normal(size=(9, 3))
    length = np.sqrt(step @ step)
    far, rest = offset @ step / length, left @ step / length
    e = -(weight * far) @ rest / ((weight * far) @ far)
    doubt = 2.0 * np.sum((weight * far * (rest + e * far)) ** 2) / ((weight * far) @ rest) ** 2
    e *= max(0.0, 1.0 - doubt) if e > 0 else 0.0
    p = precision @ (step / length) ** 2
    found = shortened(*map(jnp.asarray, (step, precision, offset, left, weight)))
    assert_allclose(found, step / (1 + e / p), rtol=1e-12)
    assert (e > 0) == (chance < 100) and (chance > 0 or e > 1)
    assert_allclose(shortened(0 * found, *map(jnp.asarray, (precision, offset, left, weight))), 0)


def test_a_narrow_ridge_is_not_overshot(key):
    """Q falls along (1, ..., 1) alone: a dimension shows a d-th of the curvature, and a fit of one
    precision a dimension goes nearly d times too far."""
    dim, bend, level = 16, 9.0, sf.Level(0.7, 0.7)
    along = jnp.full(dim, dim**-0.5)
    action = uniforms(key, 400, dim, jnp.float64) * 2.0 - 1.0
    slope = bend * (4.0 - action @ along)[:, None] * along
    args = jnp.full(400, 1 / 400), jnp.zeros(dim), level
    fitted = FittedProposal().fit(action, slope, *args, REAL)
    wanted = bend * 4.0 / (bend + 1.0)
    assert abs(float(fitted.mean @ along) - wanted) < 0.2
    box = FittedProposal().fit(action, slope, *args, sf.Box(-50.0, 50.0))
    assert float(box.mean @ along) > 3 * wanted  # dimensions alone


def test_draws_look_ahead_to_the_highest_peak():
    """The same for all draws of one normal; of two, greatest where a step leads to the higher."""
    precision, tau = jnp.array([[3.0, 0.5], [3.0, 0.5]]), 0.5
    mean = jnp.array([[-3.0, 0.0], [3.0, 0.0]])
    total = precision[0] / tau + (0.7 / 0.4) ** 2
    fitted = NormalProposal(jnp.zeros(2), total**-0.5)
    action = jnp.array([[-0.5, 0.1], [-0.9, 0.4], [0.6, -0.1], [1.3, 2.0], [-1.6, 0.9]])
    for higher in (0, 1):
        target = GaussianMixture(mean, precision, jnp.eye(2)[higher], tau, REAL)
        value = jax.vmap(target.value)(action) / tau
        slope = jax.vmap(jax.grad(target.value))(action) / tau
        found = FittedProposal().ahead(fitted, value, action, slope, jnp.zeros(2), LEVEL)
        there = np.asarray((action[:, 0] > 0) == (higher == 1))
        assert np.ptp(found[there]) < 0.01 < 1.9 < found[there].min() - found[~there].max()
    infinite = jnp.array([-jnp.inf, *np.zeros(4)])
    found = FittedProposal().ahead(fitted, infinite, action, slope, jnp.zeros(2), LEVEL)
    assert jnp.isinf(found[0]) and jnp.all(jnp.isfinite(found[1:]))
    assert jnp.all(FittedProposal().ahead(TWO, value, action, 1e200 * slope, X, LEVEL) == value)


@pytest.mark.parametrize("size", [4, 7, 20_000])
def test_a_pair_has_the_density_that_it_claims(key, size):
    pair = PairedProposal(ONE, TWO, size)
    axes = [np.linspace(-8.0, 8.0, 801)] * 2
    nodes = jnp.asarray(np.stack([m.ravel() for m in np.meshgrid(*axes, indexing="ij")], -1))
    mass = 0.02**2 * jnp.exp(pair.log_prob(nodes, X, LEVEL, REAL))
    assert_allclose(mass.sum(), 1.0, rtol=1e-6)
    number = uniforms(key, size, 2, jnp.float64)
    actions = pair.actions(number, X, LEVEL, REAL)
    for j, q in enumerate((ONE, TWO)):
        own = np.flatnonzero((np.arange(size) >= size - size // 4) == (j == 1))
        assert_allclose(actions[own], q.actions(number, X, LEVEL, REAL)[own])
    share = (size // 4) / size
    assert_allclose(mass @ nodes, (1 - share) * ONE.mean + share * TWO.mean, atol=1e-6)


def test_fits_that_look_ahead_are_paired_on_rd_alone(key):
    """With the first fit of two, where it has four draws a level or more."""

    def looked(support, levels, num_draws):
        seen = []

        class Spy(FittedProposal):
            def ahead(self, *args):
                seen.append(1)
                return super().ahead(*args)

        alpha = jnp.linspace(0.3, 0.7, levels)
        given = jnp.stack([X] * levels), sf.Level(alpha, 1.0 - alpha), Spy(), num_draws
        target = Multimodal(0.5, support=support)
        jax.eval_shape(lambda key: draw_shared(key, target, *given)(jnp.asarray(0)).action, key)
        return len(seen)

    assert looked(REAL, 5, 12) == looked(REAL, 1, 40) == 1
    assert looked(REAL, 5, 11) == looked(REAL, 3, 13) == looked(sf.Box(-1.0, 1.0), 5, 12) == 0


def test_a_wrong_look_ahead_costs_draws_but_biases_nothing(key):
    class Wrong(FittedProposal):
        def ahead(self, fitted, value, action, slope, x, level):
            return -50.0 * value

    target = Multimodal(0.5)
    levels = jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], LEVEL)

    @jax.jit
    def estimate(key):
        draws = draw_shared(key, target, X[None], levels, Wrong(), 2**15)(jnp.asarray(0))
        w, u = weights(draws), (0.7 * draws.action - X) / 0.4**2
        return w @ u, jnp.sqrt((w**2) @ (u - w @ u) ** 2)

    score, error = estimate(key)
    assert jnp.all(jnp.abs(score - target.exact_score(X, LEVEL)) < 4 * error)


def test_the_higher_of_two_far_modes_is_found(key):
    """In seventeen dimensions, where the lower mode is nearer and its draws are heavier, until a
    step from the others is seen to lead higher."""

    class Blind(FittedProposal):
        def ahead(self, fitted, value, action, slope, x, level):
            return value

    dim, tight, level = 17, 81.0, sf.Level(0.9, 0.1)
    side = np.linalg.qr(np.random.default_rng(1).normal(size=(dim, dim)))[0]
    mean = jnp.asarray([2.0 * side[0], 1.0 * side[1]])  # 18 and 9 widths of the likelihood away
    precision = jnp.full((2, dim), 0.5 * tight)
    offset = jnp.sum(mean**2, axis=1) * tight / 6.0 + jnp.array([10.0, 0.0])  # e^10 times the mass
    target, x = GaussianMixture(mean, precision, offset, 1.0), jnp.zeros((1, dim))
    exact = target.exact_score(x[0], level)
    levels = jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], level)

    def found(proposal):
        method = sf.auto()._replace(proposal=proposal)

        @jax.jit
        def is_near(key):
            score = sf.score_targets(key, target, x[None], levels, method, num_draws=128).score
            return jnp.linalg.norm(score[0, 0] - exact) < 0.1 * jnp.linalg.norm(exact)

        return int(sum(is_near(each) for each in jax.random.split(key, 16)))

    assert found(FittedProposal()) >= 8 > 5 >= found(Blind())
