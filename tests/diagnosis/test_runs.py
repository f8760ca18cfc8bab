"""Runs that are diagnosed."""

from steinflow.diagnosis.runs import sizes_beside


def test_numbers_of_draws_beside_a_run_s_own():
    assert sizes_beside(48) == (24, 48, 96, 128)
    assert sizes_beside(4) == (2, 4, 8, 32)
    assert sizes_beside(1) == (2, 8)
