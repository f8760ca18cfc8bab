"""Gains of one method over another, with their intervals."""

import numpy as np

from steinflow.diagnosis.recommend import Measures, compared


def test_intervals_of_gains_are_student_s_over_states():
    """One level, equal traces: log ratios of sums; a gain of four, all states alike or not."""
    ones = np.ones((8, 1))
    current = Measures(4.0 * ones, ones, np.array([True]), 8, False)
    better = Measures(ones, ones, np.array([True]), 8, False)
    np.testing.assert_allclose(compared(better, current, 0.025), (4.0, 4.0, 4.0))
    spread = Measures(np.linspace(0.2, 1.8, 8)[:, None], ones, np.array([True]), 8, False)
    gain, low, high = compared(spread, current, 0.025)
    error = np.std(spread.error, ddof=1) / np.sqrt(8)  # of the mean, which is 1
    np.testing.assert_allclose(gain, 4.0)
    np.testing.assert_allclose(np.log((high / gain, gain / low)), 2.365 * error, rtol=0.05)
    assert np.isnan(compared(better._replace(latent=True), current, 0.025)[0])
