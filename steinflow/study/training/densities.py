"""What small policies are trained toward: seven densities in the plane."""

from collections.abc import Callable

import numpy as np

from steinflow.supports import Box
from steinflow.targets import Bimodal, GaussianMixture, Linear, Multimodal, Quadratic, Separable

BOX = Box(-1.0, 1.0)
CRESCENTS, WIDTH = 16, 0.12  # Gaussians along a moon, and their standard deviation


def mixture(mean: np.ndarray, width: float) -> GaussianMixture:
    """Equal isotropic Gaussians, at tau = 1."""
    precision = np.full(mean.shape, width**-2.0)
    return GaussianMixture(mean=mean, precision=precision, offset=np.zeros(len(mean)), tau=1.0)


def two_moons() -> GaussianMixture:
    """Two interlocked crescents, each a chain of Gaussians."""
    angle = np.linspace(0.0, np.pi, CRESCENTS)
    upper = np.stack([np.cos(angle) - 0.5, np.sin(angle) - 0.25], axis=1)
    return mixture(np.concatenate([upper, -upper]), WIDTH)


def eight_gaussians() -> GaussianMixture:
    """Eight Gaussians on a circle of radius 1.5."""
    angle = np.arange(8) * np.pi / 4.0
    return mixture(1.5 * np.stack([np.cos(angle), np.sin(angle)], axis=1), 0.15)


DENSITIES: dict[str, Callable[[], Separable | GaussianMixture]] = {
    "quadratic": lambda: Quadratic(0.1),
    "bimodal": lambda: Bimodal(0.1),
    "multimodal": lambda: Multimodal(0.2),
    "linear": lambda: Linear(0.3, support=BOX),
    "two-moons": two_moons,
    "eight-gaussians": eight_gaussians,
    "corner": lambda: Quadratic(0.1, support=BOX, center=1.0),
}
"""The paper's Q-functions (linear on a box, where it has a density), and three more."""
