"""Running moments of observations."""

import numpy as np

from steinflow.rl.normaliser import Normaliser


def test_running_moments_are_those_of_all_observations():
    normaliser, rng = Normaliser(2, 3), np.random.default_rng(0)
    parts = [rng.normal(5.0, 3.0, (2, n, 3)).astype(np.float32) for n in (1, 4, 7)]
    for part in parts:
        normaliser.update(part)
    whole = np.concatenate(parts, axis=1)
    wanted = (whole - whole.mean(axis=1, keepdims=True)) / whole.std(axis=1, keepdims=True)
    assert np.allclose(normaliser(whole), wanted, atol=1e-3)
