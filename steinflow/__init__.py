"""steinflow: score targets for diffusion and flow policies in online RL."""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from steinflow import diagnostics, targets
from steinflow.conversions import noise, posterior_mean, velocity
from steinflow.estimators import (
    BayesianQuadrature,
    Blend,
    Constant,
    ControlVariate,
    Curvature,
    Estimate,
    GradientExpectation,
    Info,
    InSample,
    NoiseExpectation,
    SteinPolynomial,
)
from steinflow.levels import Level
from steinflow.losses import score_matching_loss
from steinflow.methods import ESTIMATORS, Method, auto
from steinflow.proposals import FittedProposal, GaussianProposal, TruncatedGaussianProposal
from steinflow.sampling import sample
from steinflow.schedules import LinearFlow, VarianceExploding, VariancePreserving
from steinflow.score import score_target, score_targets
from steinflow.supports import Box, RealSpace
from steinflow.targets import Boltzmann, latent

try:
    __version__ = version("steinflow")
except PackageNotFoundError:  # pragma: no cover - a source tree that was never installed
    __version__ = "0+unknown"

__all__ = [
    "ESTIMATORS",
    "BayesianQuadrature",
    "Blend",
    "Boltzmann",
    "Box",
    "Constant",
    "ControlVariate",
    "Curvature",
    "Estimate",
    "FittedProposal",
    "GaussianProposal",
    "GradientExpectation",
    "InSample",
    "Info",
    "Level",
    "LinearFlow",
    "Method",
    "NoiseExpectation",
    "RealSpace",
    "SteinPolynomial",
    "TruncatedGaussianProposal",
    "VarianceExploding",
    "VariancePreserving",
    "auto",
    "diagnostics",
    "latent",
    "load",
    "noise",
    "posterior_mean",
    "rl",
    "sample",
    "score_matching_loss",
    "score_target",
    "score_targets",
    "study",
    "targets",
    "velocity",
]


def __getattr__(name: str) -> Any:
    """What needs more than the core is imported when it is asked for: `sf.study` polars and
    matplotlib, `sf.rl` and `sf.load` Gymnasium."""
    if name in ("study", "rl"):
        return import_module(f"steinflow.{name}")
    if name == "load":
        return import_module("steinflow.rl.run").load
    raise AttributeError(f"module 'steinflow' has no attribute {name!r}")
