"""Estimators: each one a formula in one file."""

from steinflow.estimators.base import AbstractEstimator
from steinflow.estimators.blend import Blend
from steinflow.estimators.coefficients import (
    AbstractCoefficient,
    Constant,
    Curvature,
    InSample,
)
from steinflow.estimators.control_variate import ControlVariate
from steinflow.estimators.gradient import GradientExpectation
from steinflow.estimators.noise import NoiseExpectation
from steinflow.estimators.published import ReverseFlow, VarianceRatio
from steinflow.estimators.reduce import Estimate, Info
from steinflow.estimators.shrunk import ShrunkControlVariate

__all__ = [
    "AbstractCoefficient",
    "AbstractEstimator",
    "Blend",
    "Constant",
    "ControlVariate",
    "Curvature",
    "Estimate",
    "GradientExpectation",
    "InSample",
    "Info",
    "NoiseExpectation",
    "ReverseFlow",
    "ShrunkControlVariate",
    "VarianceRatio",
]
