"""A step cut to size on R^d, and draws of a fit that looks ahead, beside another."""

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

LEVEL, X = sf.Level(0.7, 0.4), jnp.array([0.9, -0.5])
REAL, BOX = sf.RealSpace(), sf.Box(-1.0, 1.0)
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
        given = jnp.zeros(2), LEVEL, REAL, (1, 2)
        found, left = FittedProposal().ahead(fitted, value, action, slope, *given)
        assert jnp.all(left == 1.0)
        there = np.asarray((action[:, 0] > 0) == (higher == 1))
        assert np.ptp(found[there]) < 0.01 < 1.9 < found[there].min() - found[~there].max()
    infinite = jnp.array([-jnp.inf, *np.zeros(4)])
    found, _ = FittedProposal().ahead(fitted, infinite, action, slope, *given)
    assert jnp.isinf(found[0]) and jnp.all(jnp.isfinite(found[1:]))
    steep = FittedProposal().ahead(TWO, value, action, 1e200 * slope, X, *given[1:])
    assert jnp.all(steep[0] == value)


@pytest.mark.parametrize(("turn", "longest"), [((1, 2), 5.0), ((2, 2), 1.0)])
def test_looks_end_at_walls_of_a_box_and_after_some_deviations(turn, longest):
    """By hand; a draw that looks at the fitted mean has nothing left to it."""
    rng, box = np.random.default_rng(3), sf.Box(-1.0, jnp.array([1.0, 2.0]))
    action, value = rng.uniform(-1.0, [1.0, 2.0], (50, 2)), rng.normal(size=50)
    slope = 30.0 * rng.normal(size=(50, 2))
    mean, scale = np.array([0.6, 3.0]), np.array([0.1, 0.3])
    precise = (0.7 / 0.4) ** 2
    action[0] = mean[0], 2.0
    slope[0] = -precise * (np.asarray(X) / 0.7 - action[0])  # it stays
    steep = slope + precise * (np.asarray(X) / 0.7 - action)
    step = np.clip(scale**2 * steep, -longest * scale, longest * scale)
    point = np.clip(action + step, -1.0, [1.0, 2.0])
    likelihood = -0.5 * np.sum((np.asarray(X) - 0.7 * action) ** 2, axis=1) / 0.4**2
    wanted = value + likelihood + np.sum((point - action) * steep, axis=1)
    away = (point - [0.6, 2.0]) / scale
    fitted = NormalProposal(jnp.asarray(mean), jnp.asarray(scale))
    given = *map(jnp.asarray, (value, action, slope)), X, LEVEL, box, turn
    found, left = FittedProposal().ahead(fitted, *given)
    assert_allclose(found - found[0], wanted - wanted[0], rtol=1e-10, atol=1e-10)
    assert_allclose(left, 1.0 - np.exp(-0.1 * np.sum(away**2, axis=1)), atol=1e-12)
    assert left[0] < 1e-12 and left.max() > 0.9
    assert np.sum(point == [1.0, 2.0]) > 1 and np.any(np.abs(step) == longest * scale)
    assert FittedProposal(reshaped=False).ahead(fitted, *given) is None


@pytest.mark.parametrize(("size", "count"), [(4, 1), (4, 2), (7, 1), (7, 3), (20_000, 5_000)])
def test_a_pair_has_the_density_that_it_claims(key, size, count):
    pair = PairedProposal(ONE, TWO, size, count)
    axes = [np.linspace(-8.0, 8.0, 801)] * 2
    nodes = jnp.asarray(np.stack([m.ravel() for m in np.meshgrid(*axes, indexing="ij")], -1))
    mass = 0.02**2 * jnp.exp(pair.log_prob(nodes, X, LEVEL, REAL))
    assert_allclose(mass.sum(), 1.0, rtol=1e-6)
    number = uniforms(key, size, 2, jnp.float64)
    actions = pair.actions(number, X, LEVEL, REAL)
    for j, q in enumerate((ONE, TWO)):
        own = np.flatnonzero((np.arange(size) >= size - count) == (j == 1))
        assert_allclose(actions[own], q.actions(number, X, LEVEL, REAL)[own])
    fewer = pair.actions(number[: 2 * size // 3], X, LEVEL, REAL)  # in the same shares
    from_one = np.all(np.isclose(fewer, ONE.actions(number, X, LEVEL, REAL)[: len(fewer)]), axis=1)
    assert abs(np.sum(~from_one) - len(fewer) * count / size) <= 1
    share = count / size
    assert_allclose(mass @ nodes, (1 - share) * ONE.mean + share * TWO.mean, atol=1e-6)


@pytest.mark.parametrize(
    ("support", "levels", "num_draws", "pairs"),
    [(REAL, 5, 12, [(4, 1)]), (REAL, 1, 40, [(10, 2)]), (REAL, 5, 11, []), (REAL, 3, 13, []),
     (BOX, 5, 12, [(4, 2), (4, 2)]), (BOX, 5, 8, [(2, 1), (2, 1)]), (BOX, 3, 13, [])],
)  # fmt: skip
def test_where_fits_are_paired(monkeypatch, key, support, levels, num_draws, pairs):
    """The first of two on R^d, with a fourth of its draws; both on a box, with half of theirs."""
    seen = []

    def spy(first, second, size, count):
        seen.append((size, count))
        return PairedProposal(first, second, size, count)

    monkeypatch.setattr("steinflow.draws.shared.PairedProposal", spy)
    alpha = jnp.linspace(0.3, 0.7, levels)
    given = jnp.stack([X] * levels), sf.Level(alpha, 1.0 - alpha), FittedProposal(), num_draws
    target = Multimodal(0.5, support=support)
    jax.eval_shape(lambda key: draw_shared(key, target, *given)(jnp.asarray(0)).action, key)
    assert seen == pairs


@pytest.mark.parametrize("support", [REAL, BOX])
def test_a_wrong_look_ahead_costs_draws_but_biases_nothing(key, support):
    class Wrong(FittedProposal):
        def ahead(self, fitted, value, action, *given):
            return -50.0 * value, jnp.abs(jnp.sin(9.0 * action[:, 0]))

    target = Multimodal(0.5, support=support)
    levels = jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], LEVEL)

    @jax.jit
    def estimate(key):
        draws = draw_shared(key, target, X[None], levels, Wrong(), 2**15)(jnp.asarray(0))
        w, u = weights(draws), (0.7 * draws.action - X) / 0.4**2
        return w @ u, jnp.sqrt((w**2) @ (u - w @ u) ** 2)

    score, error = estimate(key)
    assert jnp.all(jnp.abs(score - target.exact_score(X, LEVEL)) < 4 * error)


class Blind(FittedProposal):
    """Sees no further than its draws, and leaves all of them to the second of a pair."""

    def ahead(self, fitted, value, *given):
        return value, jnp.ones_like(value)


def number_found(proposal, target, x, level, num_draws):
    """In how many of 16 trials a score is within a tenth of the exact one."""
    exact = target.exact_score(x[0], level)
    levels = jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], level)
    method = sf.auto()._replace(proposal=proposal)

    @jax.jit
    def is_near(key):
        score = sf.score_targets(key, target, x[None], levels, method, num_draws=num_draws).score
        return jnp.linalg.norm(score[0, 0] - exact) < 0.1 * jnp.linalg.norm(exact)

    return int(sum(is_near(each) for each in jax.random.split(jax.random.key(0), 16)))


def test_the_higher_of_two_far_modes_is_found():
    """In seventeen dimensions, where the lower mode is nearer and its draws are heavier, until a
    step from the others is seen to lead higher."""
    dim, tight, level = 17, 81.0, sf.Level(0.9, 0.1)
    side = np.linalg.qr(np.random.default_rng(1).normal(size=(dim, dim)))[0]
    mean = jnp.asarray([2.0 * side[0], 1.0 * side[1]])  # 18 and 9 widths of the likelihood away
    precision = jnp.full((2, dim), 0.5 * tight)
    offset = jnp.sum(mean**2, axis=1) * tight / 6.0 + jnp.array([10.0, 0.0])  # e^10 times the mass
    target, x = GaussianMixture(mean, precision, offset, 1.0), jnp.zeros((1, dim))
    assert number_found(FittedProposal(), target, x, level, 128) >= 8
    assert number_found(Blind(), target, x, level, 128) <= 5


def test_the_higher_of_two_far_modes_of_a_box_is_found():
    """The lower one is where x comes from, twelve deviations of the likelihood away."""
    dim, level = 3, sf.Level(0.7, 0.3)
    mean, x = jnp.array([[0.6] * dim, [-0.3] * dim]), jnp.full((1, dim), -0.7 * 0.3)
    nearer = 0.5 * jnp.sum((0.7 * mean[0] - x[0]) ** 2) / 0.3**2
    offset = jnp.array([nearer + 4.0, 0.0])
    target = GaussianMixture(mean, jnp.full((2, dim), 30.0), offset, 1.0, BOX)
    assert number_found(FittedProposal(), target, x, level, 64) >= 10
    assert number_found(Blind(), target, x, level, 64) <= 3
