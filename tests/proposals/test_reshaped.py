"""The normal on a box that is reshaped by the gradients that it does not explain."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats

import steinflow as sf
from steinflow.draws import draw_shared, uniforms, weights
from steinflow.proposals import FittedProposal, NormalProposal, ReshapedProposal
from steinflow.proposals.reshaped import reshaped
from steinflow.proposals.smoothing import smoothed
from steinflow.targets import Multimodal

LOW, HIGH = np.array([-1.0, 0.0]), np.array([1.0, 3.0])
BOX = sf.Box(jnp.asarray(LOW), jnp.asarray(HIGH))
LEVEL, X = sf.Level(0.7, 0.4), jnp.array([0.9, -0.5])
LEVELS = sf.Level(jnp.array([0.1, 0.3, 0.5, 0.7, 0.9]), jnp.array([0.9, 0.7, 0.5, 0.3, 0.1]))
INSIDE, OUTSIDE = ((0.2, 1.0), (0.5, 0.9)), ((3.0, -4.0), (0.6, 1.5))


def smoothed_by_hand(place, mean, weight, least=1e-5):
    """Functions at the middles of the intervals, by processes with dense covariances."""
    frequency, n = np.pi * np.arange(1, 17) / 48, np.sum(weight > 0)
    seen = weight > 0
    place, mean, noise = place[seen], mean[seen], weight.mean() / weight[seen]

    def sines(at):
        return np.sin(np.outer(at - 16 + 24, frequency)) / np.sqrt(24)

    evidence, weights_of_means = [], []
    for share in (least, 1e-1):
        for length in (3.0, 6.0, 12.0):
            density = np.sqrt(2 * np.pi) * length * np.exp(-0.5 * (length * frequency) ** 2)
            own = sines(place) @ (density[:, None] * sines(place).T)
            whole = own + share * np.diag(noise)
            variance = mean @ np.linalg.solve(whole, mean) / n
            law = stats.multivariate_normal(np.zeros(n), variance * whole)
            evidence.append(law.logpdf(mean))
            cross = np.concatenate([sines(place), sines(np.arange(32) + 0.5)])
            cross = cross @ (density[:, None] * sines(place).T)
            weights_of_means.append(cross @ np.linalg.inv(whole))
    each = np.exp(evidence - np.max(evidence))
    smoother = np.einsum("c,cij->ij", each / each.sum(), weights_of_means)
    missed = (mean - smoother[:n] @ mean) / (1 - np.diag(smoother[:n]))
    return max(0.0, 1 - np.sum(missed**2 / noise) / np.sum(mean**2 / noise)) * smoother[n:] @ mean


def by_hand(mean, scale, action, left, weight, low, high):
    """Ends of the 32 intervals of one dimension, and the log factor of each."""
    law = stats.truncnorm((low - mean) / scale, (high - mean) / scale, mean, scale)
    first, last = law.ppf([0.001, 0.999])
    width = (last - first) / 32
    place = np.clip(np.floor((action - first) / width), 0, 31).astype(int)
    weight = weight * ((first <= action) & (action <= last))
    within, places, means = (np.bincount(place, weight * each, 32) for each in (1, action, left))
    places, means = ((each / np.where(within > 0, within, 1)) for each in (places, means))
    rise = smoothed_by_hand((places - first) / width, means * width, within)
    edges = np.concatenate([[low], first + width * np.arange(1, 32), [high]])
    plain = np.diff(law.cdf(edges))
    drawn = plain * np.exp(np.cumsum(rise) - 0.5 * rise)
    drawn = 0.95 * drawn / drawn.sum() + 0.05 * plain
    return edges, np.log(drawn / plain)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_means_of_intervals_are_smoothed_by_processes(dtype, seed):
    """A curve, a curve in noise, and nothing known: by hand."""
    rng, m = np.random.default_rng(seed), np.arange(32)
    place = m + rng.uniform(size=32)
    means = np.stack(
        [np.sin(0.3 * place), np.sin(0.3 * place) + rng.normal(size=32), np.zeros(32)], -1
    )
    weight = rng.dirichlet(np.full(32, 0.5), 3).T * (rng.uniform(size=(32, 3)) < 0.6)
    weight[:, 2] = 0.0
    places = np.broadcast_to(place[:, None], means.shape)
    found = smoothed(*(jnp.asarray(each, dtype) for each in (places, means, weight)))
    close, least = (1e-6, 1e-5) if dtype == jnp.float64 else (1e-2, 1e4 * np.finfo(dtype).eps)
    for j in (0, 1):
        wanted = smoothed_by_hand(place, means[:, j], weight[:, j], least)
        assert_allclose(found[:, j], wanted, atol=close)
    assert np.median(np.abs(found[:, 0] - np.sin(0.3 * (m + 0.5)))) < 0.02
    assert np.all(found[:, 2] == 0.0)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_what_cannot_be_smoothed_is_left_out(dtype):
    """Noise alone, a single mean, and means whose squares overflow."""
    rng = np.random.default_rng(2)
    place = np.arange(32)[:, None] + rng.uniform(size=(32, 1))
    noise, alone = rng.normal(size=(32, 1)), np.eye(32)[:, :1]
    huge = noise * np.finfo(dtype).max ** 0.75
    given = (noise, np.ones((32, 1))), (alone, alone), (huge, np.ones((32, 1)))
    for mean, weight in given:
        found = smoothed(*(jnp.asarray(each, dtype) for each in (place, mean, weight)))
        assert np.all(np.abs(found) < 0.3)


def some(seed=0, draws=90):
    """Draws, what is left of their slopes, and their weights; some lie outside all intervals."""
    rng = np.random.default_rng(seed)
    action = rng.uniform(LOW, HIGH, (draws, 2))
    left = np.stack([6 * np.sin(7 * action[:, 0]), rng.normal(size=draws)], -1)
    left += 0.5 * rng.normal(size=(draws, 2))
    return action, left, rng.dirichlet(np.full(draws, 0.5))


@pytest.mark.parametrize(("mean", "scale"), [INSIDE, OUTSIDE])
def test_the_factors_are_those_of_the_formulas(mean, scale):
    """Slopes of the first dimension follow a curve; those of the second are noise alone."""
    action, left, weight = some()
    weight[-1] = 0.3  # one draw counts more, and all weights no longer sum to 1
    normal = NormalProposal(jnp.array(mean), jnp.array(scale))
    weight /= weight.sum()
    found = reshaped(normal, *map(jnp.asarray, (action, left, weight)), BOX)
    plain, log_factors = normal.log_prob(jnp.asarray(action), X, LEVEL, BOX), 0.0
    for j in (0, 1):
        own = mean[j], scale[j], action[:, j], left[:, j], weight, LOW[j], HIGH[j]
        edges, factor = by_hand(*own)
        assert_allclose(found.log_factor[:, j], factor, atol=1e-5)
        log_factors += factor[np.clip(np.searchsorted(edges, action[:, j]) - 1, 0, 31)]
    assert_allclose(
        found.log_prob(jnp.asarray(action), X, LEVEL, BOX) - plain, log_factors, atol=1e-5
    )
    assert np.ptp(found.log_factor[:, 0]) > 1.0


def test_nodes_are_those_of_gauss_and_legendre():
    """Cubics are integrated exactly where the density is constant over an interval."""
    action, left, weight = some()
    flat = NormalProposal(jnp.zeros(2), jnp.full(2, 1e5))
    law = reshaped(flat, *map(jnp.asarray, (action, left, weight)), BOX)
    nodes, share = law.nodes(X, LEVEL, BOX)
    assert nodes.shape == share.shape == (64, 2)
    for j in (0, 1):
        inner = law.low[j] + law.width[j] * np.arange(1, 32)
        edges = np.concatenate([[LOW[j]], inner, [HIGH[j]]])
        for power in range(4):
            whole = np.diff(edges ** (power + 1)) / (power + 1) / np.diff(edges)
            wanted = np.sum(np.diff(law.below[:, j]) * whole)
            assert_allclose(np.sum(share[:, j] * nodes[:, j] ** power), wanted, rtol=1e-8)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
@pytest.mark.parametrize(("mean", "scale"), [INSIDE, OUTSIDE])
def test_draws_follow_the_density_that_they_claim(key, mean, scale, dtype):
    box = sf.Box(jnp.asarray(LOW, dtype), jnp.asarray(HIGH, dtype))
    normal = NormalProposal(jnp.array(mean, dtype), jnp.array(scale, dtype))
    proposal = reshaped(normal, *(jnp.asarray(each, dtype) for each in some(1)), box)
    x = X.astype(dtype)
    axes = [np.linspace(low, high, 1201) for low, high in zip(LOW, HIGH, strict=True)]
    middles = [0.5 * (axis[1:] + axis[:-1]) for axis in axes]
    nodes = jnp.asarray(
        np.stack([m.ravel() for m in np.meshgrid(*middles, indexing="ij")], -1), dtype
    )
    area = np.prod(HIGH - LOW) / 1200**2
    mass = area * np.exp(np.asarray(proposal.log_prob(nodes, x, LEVEL, box))).reshape(1200, 1200)
    assert abs(mass.sum() - 1) < 2e-3
    actions = np.asarray(proposal.actions(uniforms(key, 40_000, 2, dtype), x, LEVEL, box))
    for j in (0, 1):
        cdf = np.concatenate([[0.0], np.cumsum(mass.sum(1 - j))])
        claimed = partial(np.interp, xp=axes[j], fp=cdf)
        assert stats.kstest(actions[:, j], claimed).pvalue > 0.01
        nodes, share = (np.asarray(each)[:, j] for each in proposal.nodes(x, LEVEL, box))
        for power in range(4):  # expectations of functions of one coordinate
            wanted = mass.sum(1 - j) @ middles[j] ** power
            assert_allclose(share @ nodes**power, wanted, rtol=3e-3, atol=3e-3)


def test_a_separable_posterior_is_nearly_drawn_from_itself(key):
    """Two peaks a dimension: of 4,000 draws the normal's are worth 3, the reshaped one's 3,170."""
    peaks = sf.Boltzmann(lambda a: -8.0 * jnp.sum((a**2 - 0.4) ** 2), 0.2, sf.Box(-1.0, 1.0))
    level, x = sf.Level(0.2, 0.8), jnp.zeros(3)
    action = sf.TruncatedGaussianProposal().actions(
        uniforms(key, 400, 3, jnp.float64, True), x, level, peaks.support
    )
    slope, even = jax.vmap(jax.grad(peaks.value))(action) / peaks.tau, jnp.full(400, 1 / 400)
    ours = FittedProposal()
    normal = ours.fit(action, slope, even, x, level, peaks.support)
    own = ours.reshape(normal, action, slope, even, x, level, peaks.support)
    assert isinstance(own, ReshapedProposal)
    worth = []
    for proposal in (normal, own):
        more = proposal.actions(uniforms(key, 4000, 3, jnp.float64), x, level, peaks.support)
        log_w = jax.vmap(peaks.value)(more) / peaks.tau
        log_w += proposal.log_ratio(more, x, level, peaks.support)
        w = jax.nn.softmax(log_w)
        worth.append(1 / (4000 * float(jnp.sum(w**2))))
    assert worth[0] < 0.01 and worth[1] > 0.7, worth


def test_a_fit_need_not_be_reshaped():
    normal = NormalProposal(*map(jnp.array, INSIDE))
    for ours in (FittedProposal(reshaped=False), FittedProposal()):
        given = *map(jnp.asarray, some()), X, LEVEL, BOX
        found = ours.reshape(normal, *given)
        assert (found is normal) != ours.reshaped == isinstance(found, ReshapedProposal)


def test_a_wrong_shape_costs_draws_but_biases_nothing(key):
    uneven = []

    class Wrong(sf.FittedProposal):
        def reshape(self, fitted, action, slope, weight, x, level, support):
            wrong = reshaped(fitted, action, 30.0 * jnp.sin(9.0 * action), weight, support)
            jax.debug.callback(lambda f: uneven.append(np.ptp(f)), wrong.log_factor)
            return wrong

    target = Multimodal(0.5, support=BOX)
    levels = jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], LEVEL)

    @jax.jit
    def estimate(key):
        draws = draw_shared(key, target, X[None], levels, Wrong(), 2**15)(jnp.asarray(0))
        w, u = weights(draws), (0.7 * draws.action - X) / 0.4**2
        return w @ u, jnp.sqrt((w**2) @ (u - w @ u) ** 2)

    score, error = estimate(key)
    jax.effects_barrier()
    assert len(uneven) == 4 and min(uneven) > 2.0
    assert jnp.all(jnp.abs(score - target.exact_score(X, LEVEL)) < 4 * error)


@pytest.mark.parametrize(
    ("support", "levels", "num_draws", "turns"),
    [(BOX, 5, 8, 4), (BOX, 3, 13, 0), (BOX, 1, 40, 4), (sf.RealSpace(), 5, 8, 0)],
)
def test_fits_on_a_box_are_reshaped_where_there_are_two(key, support, levels, num_draws, turns):
    """The first by the weights for flat Q, the last mostly by its own; what stands beside either,
    by weights for what that leaves to it."""
    seen, left, used, right = [], [], [], []

    class Spy(sf.FittedProposal):
        def weigh(self, *args):
            w = super().weigh(*args)
            seen.append((w, jax.nn.softmax(args[1])))
            return w

        def ahead(self, *args):
            found = super().ahead(*args)
            left.append(found[1])
            return found

        def reshape(self, fitted, action, slope, weight, *given):
            w, flat = seen[-1]
            wanted = 0.9 * w + 0.1 * flat if len(seen) == 3 else flat
            if len(seen) % 2 == 0:
                wanted = w * left[-1] + 1e-3 * used[-1]
                wanted = wanted / jnp.sum(wanted)
            used.append(weight)
            jax.debug.callback(lambda ok: right.append(bool(ok)), jnp.allclose(weight, wanted))
            return super().reshape(fitted, action, slope, weight, *given)

    alpha, target = jnp.linspace(0.3, 0.7, levels), Multimodal(0.5, support=support)
    given = jnp.stack([X] * levels), sf.Level(alpha, 1.0 - alpha), Spy(), num_draws
    jax.jit(lambda key: draw_shared(key, target, *given)(jnp.asarray(0)).action)(key)
    jax.effects_barrier()
    assert len(right) == turns * levels and all(right)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_nothing_is_nan_at_the_ends(key, dtype):
    """tau = 1e-3, x inside and ten sigma outside the box, Q = ±1e6 cos(3 a)."""

    @jax.jit
    def score(size, alpha, x):
        target = sf.Boltzmann(lambda a: size * jnp.sum(jnp.cos(3.0 * a)), dtype(1e-3), BOX)
        levels = jax.tree.map(lambda leaf: jnp.full(5, leaf), sf.Level(alpha, 1 - alpha))
        xs = jnp.broadcast_to(x, (1, 5, 2))
        return sf.score_targets(key, target, xs, levels, num_draws=32).score

    for alpha in (1e-3, 0.5, 1 - 1e-3):
        for size in (0.0, 1e6, -1e6):
            for x in (np.array([0.3, 0.4]), alpha * HIGH + 10 * (1 - alpha)):
                found = score(*(jnp.asarray(v, dtype) for v in (size, alpha, x)))
                assert jnp.all(jnp.isfinite(found)), (alpha, size, x)
