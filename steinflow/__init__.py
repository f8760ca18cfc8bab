"""steinflow: score targets for diffusion and flow policies in online RL."""

from importlib import import_module
from importlib.metadata import EntryPoint, PackageNotFoundError, distributions, version
from typing import Any
from warnings import warn

from steinflow import diagnostics, targets
from steinflow.ask_tell import State, ask, begin, estimate, tell
from steinflow.conversions import noise, posterior_mean, velocity
from steinflow.estimators import (
    Blend,
    Constant,
    ControlVariate,
    Curvature,
    Estimate,
    GradientExpectation,
    Info,
    InSample,
    NoiseExpectation,
    ShrunkControlVariate,
)
from steinflow.extras import extras_named
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
    "ShrunkControlVariate",
    "State",
    "TruncatedGaussianProposal",
    "VarianceExploding",
    "VariancePreserving",
    "ask",
    "auto",
    "begin",
    "diagnose",
    "diagnostics",
    "estimate",
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
    "tell",
    "velocity",
]


def __getattr__(name: str) -> Any:
    """What needs more than the core is imported when it is asked for: `sf.study` and
    `sf.diagnose` polars and matplotlib, `sf.rl` and `sf.load` Gymnasium."""
    if name in ("study", "rl"):
        return import_module(f"steinflow.{name}")
    if name == "load":
        return import_module("steinflow.rl").load
    if name == "diagnose":
        with extras_named():
            return import_module("steinflow.diagnosis.diagnose").diagnose
    raise AttributeError(f"module 'steinflow' has no attribute {name!r}")


def add_estimators(group: str = "steinflow.estimators") -> None:
    """Put the methods of installed packages, entry points of this group, into ESTIMATORS.

    One that is broken, or whose name is taken, is left out with a warning
    (docs/adding-an-estimator.md).
    """
    entries: dict[EntryPoint, str] = {}
    for package in distributions():
        if group in (package.read_text("entry_points.txt") or ""):
            selected = package.entry_points.select(group=group)
            entries |= dict.fromkeys(selected, package.metadata["Name"])
    for entry, package_name in entries.items():
        who = f"The estimator {entry.name!r} of {package_name} is left out:"
        if entry.name in ESTIMATORS:
            warn(f"{who} the name is taken. Give its entry point another.", stacklevel=2)
            continue
        try:
            method = entry.load()
            if not isinstance(method, Method):
                raise TypeError(f"{entry.value} is no steinflow.Method")
            ESTIMATORS[entry.name] = method
        except Exception as error:  # noqa: BLE001 - whatever another package raises
            reason = " ".join(str(error).split())
            warn(f"{who} {type(error).__name__}: {reason}. Mend or uninstall it.", stacklevel=2)


add_estimators()
