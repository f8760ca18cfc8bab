"""Linear Q: a constant gradient, no optimum."""

import numpy as np

from steinflow.checks import Numbers
from steinflow.supports import AbstractSupport, RealSpace
from steinflow.targets.separable import Separable, separable


def Linear(  # noqa: N802
    tau: Numbers,
    dim: int = 2,
    support: AbstractSupport = RealSpace(),  # noqa: B008
) -> Separable:
    """Q(a) = g · b, b = R a, g from 0.5 to 1.5 (d = 1: 0.5).

    On R^d the target itself cannot be normalised; its posterior and score exist.

    Args:
        tau: temperature, > 0.
        dim: d, the dimension of an action.
        support: `RealSpace()` or a `Box` (there R is the identity).
    """
    return separable(tau, dim, support, linear=np.linspace(0.5, 1.5, dim))
