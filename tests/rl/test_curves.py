"""Learning curves over seeds."""

import numpy as np

from steinflow.rl.curves import interquartile_mean, interval


def test_interquartile_means_and_their_intervals():
    values = np.array([[0.0, 1.0], [1.0, 1.0], [2.0, 1.0], [100.0, 1.0]])
    assert np.allclose(interquartile_mean(values), [1.5, 1.0])
    low, high = interval(values)
    assert low[0] < 1.5 < high[0] and low[1] == high[1] == 1.0
