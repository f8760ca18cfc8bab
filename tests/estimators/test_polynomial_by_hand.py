"""The estimator behind `auto` once more, in NumPy, term by term and dimension by dimension."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import pytest
from jax.nn import softmax

import steinflow as sf
from steinflow.draws import weights
from steinflow.estimators.polynomial import fit
from tests.helpers import draws_at


class Whole(NamedTuple):
    """One dimension's terms, centred, and what they are weighed by."""

    u: np.ndarray
    rows: list[np.ndarray]
    raw: list[np.ndarray]


def divided(a, b):
    """a/b, or a where there is nothing to divide by."""
    return a / np.where(b > np.finfo(float).tiny, b, 1.0)


def one_dimension(a, x, slope, low, high, w, level, order):
    """u and the Stein terms of a dimension, by the definitions."""
    alpha, sigma = float(level.alpha), float(level.sigma)
    u = (alpha * a - x) / sigma**2
    score, phi, bent = slope - alpha * u, np.ones_like(a), np.zeros_like(a)
    if np.isfinite(high - low):
        half, power = 0.5 * (high - low), max(1.0, 0.5 * (high - low) * alpha / sigma)
        r = (a - 0.5 * (low + high)) / half
        phi = 1.0 - np.abs(r) ** (2 * power)
        bent = -2 * power * np.abs(r) ** (2 * power - 1) * np.sign(r) / half
    h = (phi * score + bent) / alpha
    scale = max(np.sqrt(w @ (a - w @ a) ** 2), sigma / alpha / 1e3)
    z = np.clip((a - w @ a) / scale, -1e3, 1e3)
    raw = [z**m * h + (m * z ** (m - 1) * phi / (scale * alpha) if m else 0) for m in range(order)]
    return Whole(u - w @ u, [row - w @ row for row in raw], raw)


def first_shares(every, w, prior):
    """C of the first terms: their own, shrunk to a scalar, or a broad fit's where that is sure;
    and how sure it is."""
    ess, even = 1 / np.sum(w**2), 0.5 * (w + prior)
    us, hs = np.array([one.u for one in every]), np.array([one.rows[0] for one in every])
    v, g = (part - (part @ even)[:, None] for part in (us, hs))
    wide, product, square = v**2 @ even, (v * g) @ even, g**2 @ even
    free = rested(g, square, even) * max(0, 1 - 2 / w.size)
    missed = left_of(product, square, wide, free)
    met = divided(product.sum() ** 2, square.sum() * wide.sum())
    anywhere = -(met**2) * divided(product.sum(), square.sum())
    broad = -divided(product, square)

    whole, product, square = us**2 @ w, (us * hs) @ w, hs**2 @ w
    near = np.where(whole > np.finfo(float).tiny, divided(whole, w @ (1 - w)), wide)
    beside = np.minimum(1.0, missed * np.maximum(1.0, divided(wide, near)))
    trust = 1 / (1 + (beside * ess / 0.02) ** 2)
    scalar = -divided(product.sum(), square.sum())
    equations = max(len(every) * (ess - 1), 0.0)
    doubt = left_of(product.sum(), square.sum(), whole.sum(), 1 - 1 / max(equations, 1.0))
    gain = -anywhere * (2 * product.sum() + anywhere * square.sum())
    anywhere *= np.clip(divided(gain, whole.sum()), 0, 1)
    scalar = divided(scalar * equations + anywhere * doubt, equations + doubt)
    free = (1 - 1.5 / ess) * rested(hs, square, w)
    share = square.mean() / ess * left_of(product, square, whole, free)
    own = divided(share * scalar - product, square + share)
    return trust * broad + (1 - trust) * own, (0.02 / (missed * ess)) ** 2


def left_of(product, square, whole, free):
    left = np.maximum(1 - divided(product**2, square * whole), 32 * np.finfo(float).eps)
    return np.minimum(1.0, left / np.maximum(free, np.finfo(float).tiny))


def rested(row, square, w):
    share = divided(w * row**2, square[:, None])
    return np.maximum(1 - np.sum(share**2, axis=1), np.finfo(float).tiny)


def by_hand(draws, target, level, order):
    """The estimate, by Gram and Schmidt on the terms themselves."""
    w, prior = (np.asarray(softmax(v)) for v in (draws.log_weight, draws.log_prior))
    a, x, slope = (np.asarray(v) for v in (draws.action, draws.x, draws.slope))
    low, high = target.support.bounds(x.size)
    every = [
        one_dimension(a[:, j], x[j], slope[:, j], float(low[j]), float(high[j]), w, level, order)
        for j in range(x.size)
    ]
    (firsts, odds), ess = first_shares(every, w, prior), 1 / np.sum(w**2)
    small = 32 * np.finfo(float).eps
    shares = np.zeros((x.size, order))
    for j, (u, rows, _) in enumerate(every):
        rest, found = u, []  # directions, and what each is in terms
        for m, row in enumerate(rows):
            own, direction, made = w @ row**2, row, np.eye(order)[m]
            for before, its in found:
                square = w @ before**2
                along = divided(w @ (row * before), square) if square > 0 else 0.0
                direction, made = direction - along * before, made - along * its
            if w @ direction**2 <= small * own:
                direction = 0 * direction
            square, product, left, c = w @ direction**2, w @ (direction * u), w @ rest**2, firsts[j]
            if m:
                explained = divided(product**2, square)
                freedom = (ess - 1 - m - 3) * rested(row[None], np.array([own]), w)[0]
                chance = max(left - explained, small * (w @ u**2))
                sure = square > 0 and freedom * explained > chance
                c = -divided(product, square) * (1 - chance / (freedom * explained) if sure else 0)
            rest = rest + c * direction
            found.append((direction, made))
            shares[j] += c * made
    noise = (level.alpha * a - x) / level.sigma**2
    raw = np.array([[w @ term for term in one.raw] for one in every])
    score = w @ noise + np.sum(shares * raw, axis=1)
    room = odds * (noise.max(axis=0) - noise.min(axis=0))
    return np.clip(score, noise.min(axis=0) - room, noise.max(axis=0) + room), shares[:, 0]


def agree(action, log_weight, target, order, level):
    """The estimate, and its first coefficient, are those by hand."""
    draws = draws_at(target, jnp.asarray(action), jnp.asarray(log_weight), jnp.ones(3))
    prior = np.random.default_rng(1).normal(size=log_weight.size)
    draws = draws._replace(log_prior=jnp.asarray(prior))
    found = fit(draws, level, order)
    score, coefficient = by_hand(draws, target, level, order)
    mean = np.asarray(weights(draws)) @ np.asarray(found.terms)
    np.testing.assert_allclose(mean, score, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(found.coefficient, coefficient, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("count", [2, 4, 9, 60])
@pytest.mark.parametrize("heat", [0.05, 1.0, 8.0])
@pytest.mark.parametrize("support", [sf.RealSpace(), sf.Box(-1.0, jnp.array([0.8, 1.5, 4.0]))])
def test_the_estimate_is_that_of_its_formulas(count, heat, support):
    rng, target = np.random.default_rng(count), sf.targets.Multimodal(1.0, 3, support)
    for order, *level in ((3, 0.7, 0.4), (1, 0.3, 0.9), (4, 0.95, 0.2), (3, 0.001, 0.999)):
        action, log_weight = rng.uniform(-1.0, 0.8, (count, 3)), rng.normal(size=count) / heat
        agree(action, log_weight, target, order, sf.Level(*level))


def test_terms_that_depend_on_each_other_are_left_out():
    """Three places, met eight times each, have two directions."""
    rng, target = np.random.default_rng(0), sf.targets.Multimodal(1.0, 3)
    action = np.repeat(rng.uniform(-1.0, 1.0, (3, 3)), 8, axis=0)
    agree(action, rng.normal(size=24) / 4.0, target, 4, sf.Level(0.7, 0.4))
