"""Errors beside a reference that errs too."""

import jax.numpy as jnp
import numpy as np

import steinflow as sf
from steinflow.diagnosis.errors import Group, Losses
from steinflow.diagnosis.reference import Reference
from steinflow.diagnosis.table import Measured

BOX = sf.Box(-1.0, 1.0)
METHODS = sf.ESTIMATORS


def test_unresolved_squared_errors_are_bounds():
    """Three of a reference that errs 1: 5, 11 and 12; a tenth is reached by the last two."""
    group = Group((("noise", METHODS["noise"]),))
    error = np.full((4, 1, 1, 3), [5.0, 11.0, 12.0])
    ones = np.ones((4, 3))
    reference = Reference(np.zeros((4, 3, 2)), ones, ones, np.zeros((4, 3, 2)), ones, ones, ones)
    levels = sf.Level(jnp.ones(3), jnp.ones(3))
    result = Measured([group], (4,), (1.0,), levels, {("action", 1.0): reference},
                     {(0, 1.0): Losses(error, np.ones((4, 1, 3)))}, BOX, {})  # fmt: skip
    assert result.resolved(0, 0, 1.0).tolist() == [[False, True, True]]
    assert result.errors(0, 0, 1.0)[0].tolist() == [[6.0, 10.0, 11.0]]
