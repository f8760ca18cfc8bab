"""Draws: the only door for randomness in the core."""

from steinflow.draws.base import (
    Draws,
    evaluate,
    from_uniforms,
    half_width,
    prefix,
    uniforms,
    weights,
)
from steinflow.draws.shared import draw, draw_shared

__all__ = [
    "Draws",
    "draw",
    "draw_shared",
    "evaluate",
    "from_uniforms",
    "half_width",
    "prefix",
    "uniforms",
    "weights",
]
