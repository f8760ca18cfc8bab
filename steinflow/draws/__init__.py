"""Draws: weighted actions, and what Q said there."""

from steinflow.draws.base import Draws, materialised, prefix, uniforms, weights
from steinflow.draws.evaluate import Evaluations, Reply, evaluate, record

__all__ = [
    "Draws",
    "Reply",
    "Evaluations",
    "evaluate",
    "materialised",
    "prefix",
    "record",
    "uniforms",
    "weights",
]
