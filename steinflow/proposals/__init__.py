"""Proposals: where the draws of a score estimate come from."""

from steinflow.proposals.base import AbstractProposal
from steinflow.proposals.fitted import (
    AbstractAdaptiveProposal,
    FittedProposal,
)
from steinflow.proposals.gaussian import GaussianProposal
from steinflow.proposals.normal import NormalProposal, UniformProposal
from steinflow.proposals.reshaped import ReshapedProposal
from steinflow.proposals.truncated_gaussian import TruncatedGaussianProposal

__all__ = [
    "AbstractAdaptiveProposal",
    "AbstractProposal",
    "FittedProposal",
    "GaussianProposal",
    "NormalProposal",
    "ReshapedProposal",
    "TruncatedGaussianProposal",
    "UniformProposal",
]
