"""Bimodal Q: a double well along one direction, convex in between."""

import numpy as np

from steinflow.checks import Numbers
from steinflow.supports import AbstractSupport, RealSpace
from steinflow.targets.separable import Separable, separable


def Bimodal(  # noqa: N802
    tau: Numbers,
    dim: int = 2,
    support: AbstractSupport = RealSpace(),  # noqa: B008
) -> Separable:
    """Q(a) = -(b_1^2 - 1)^2 - 1/2 Σ_{j>1} b_j^2, b = R a (up to a constant).

    Args:
        tau: temperature, > 0.
        dim: d, the dimension of an action.
        support: `RealSpace()` or a `Box` (there R is the identity).
    """
    first = np.arange(dim) == 0
    return separable(
        tau, dim, support, quadratic=np.where(first, 2.0, -0.5), quartic=np.where(first, -1.0, 0.0)
    )
