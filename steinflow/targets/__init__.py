"""Targets: the Boltzmann density of any Q, and exact ones whose score is known."""

from steinflow.targets.bimodal import Bimodal
from steinflow.targets.boltzmann import AbstractTarget, Boltzmann
from steinflow.targets.latent import latent
from steinflow.targets.linear import Linear
from steinflow.targets.mixture import GaussianMixture
from steinflow.targets.multimodal import Multimodal
from steinflow.targets.networks import Networks, random_networks
from steinflow.targets.quadratic import Quadratic
from steinflow.targets.separable import Separable

__all__ = [
    "AbstractTarget",
    "Bimodal",
    "Boltzmann",
    "GaussianMixture",
    "Linear",
    "Multimodal",
    "Networks",
    "Quadratic",
    "Separable",
    "latent",
    "random_networks",
]
