"""Multimodal Q: many narrow modes under a wide bowl."""

from steinflow.checks import Numbers
from steinflow.supports import AbstractSupport, RealSpace
from steinflow.targets.separable import Separable, separable


def Multimodal(  # noqa: N802
    tau: Numbers,
    dim: int = 2,
    support: AbstractSupport = RealSpace(),  # noqa: B008
) -> Separable:
    """Q(a) = Σ_j [-b_j^2/4 + 0.5 cos 2 pi b_j], b = R a.

    Args:
        tau: temperature, > 0.
        dim: d, the dimension of an action.
        support: `RealSpace()` or a `Box` (there R is the identity).
    """
    return separable(tau, dim, support, quadratic=-0.25, cosine=0.5)
