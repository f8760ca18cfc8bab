"""Quadratic Q: the Gaussian target, smooth, concave and anisotropic."""

import numpy as np

from steinflow.checks import Numbers
from steinflow.supports import AbstractSupport, RealSpace
from steinflow.targets.separable import Separable, separable


def Quadratic(  # noqa: N802
    tau: Numbers,
    dim: int = 2,
    support: AbstractSupport = RealSpace(),  # noqa: B008
    center: float = 0.5,
) -> Separable:
    """Q(a) = -1/2 Σ_j p_j (b_j - center)^2, b = R a, p from 0.5 to 2 (up to a constant).

    Args:
        tau: temperature, > 0.
        dim: d, the dimension of an action.
        support: `RealSpace()` or a `Box` (there R is the identity).
        center: the optimum, in every coordinate; outside the box it sits at a bound.
    """
    precision = np.linspace(0.5, 2.0, dim)
    return separable(tau, dim, support, linear=precision * center, quadratic=-0.5 * precision)
