"""Draws: weighted actions, and what Q said there."""

from steinflow.draws.base import Draws, materialised, prefix, uniforms, weights
from steinflow.draws.evaluate import Reply, Told, evaluate, record

__all__ = [
    "Draws",
    "Reply",
    "Told",
    "evaluate",
    "materialised",
    "prefix",
    "record",
    "uniforms",
    "weights",
]
