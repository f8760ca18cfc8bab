"""Proposals: where the draws of a score estimate come from."""

from steinflow.proposals.base import AbstractProposal
from steinflow.proposals.fitted import FittedProposal
from steinflow.proposals.gaussian import GaussianProposal
from steinflow.proposals.normal import NormalProposal
from steinflow.proposals.truncated_gaussian import TruncatedGaussianProposal

__all__ = [
    "AbstractProposal",
    "FittedProposal",
    "GaussianProposal",
    "NormalProposal",
    "TruncatedGaussianProposal",
]
