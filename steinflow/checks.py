"""Checks of what a user passes in: every error is one sentence with its remedy.

Values are checked when they are concrete. Under `jit` they are not known, and a bad one
gives a NaN score instead.
"""

import difflib
from collections.abc import Iterable
from typing import Any, TypeAlias

import jax
import numpy as np

Numbers: TypeAlias = Any  # what as_leaf takes: a number, a sequence or an array of floats


def as_leaf(value: Numbers) -> Any:
    """A number as an array leaf: JAX arrays unchanged, everything else float64 NumPy."""
    return value if isinstance(value, jax.Array) else np.asarray(value, np.float64)


def is_concrete(value: Any) -> bool:
    """Whether the value is known now (not traced, and an array at all)."""
    return isinstance(value, np.ndarray | np.generic | float | int) or (
        isinstance(value, jax.Array) and not isinstance(value, jax.core.Tracer)
    )


def require_positive(name: str, value: Any, why: str) -> None:
    """Raise unless every element is a positive finite number (or unknown)."""
    if not is_concrete(value):
        return
    numbers = np.asarray(value)
    if not bool(np.all(np.isfinite(numbers) & (numbers > 0))):
        raise ValueError(f"{name} must be positive and finite, got {value}. {why}")


def require_at_least(name: str, value: int, least: int, why: str) -> None:
    """Raise unless an integer option is large enough."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise ValueError(f"{name} must be an integer >= {least}, got {value!r}. {why}")


def require_shape(name: str, value: Any, shapes: Iterable[tuple[int, ...]], why: str) -> None:
    """Raise unless the array has one of the shapes."""
    shapes = list(shapes)
    if np.shape(value) not in shapes:
        wanted = " or ".join(str(list(shape)) for shape in shapes)
        raise ValueError(f"{name} must have shape {wanted}, got {list(np.shape(value))}. {why}")


def lookup(kind: str, name: str, known: dict[str, Any]) -> Any:
    """known[name], or a ValueError that names the nearest key."""
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
    hint = f"Did you mean {near[0]!r}? " if near else ""
    raise ValueError(f"Unknown {kind} {name!r}. {hint}Known: {', '.join(sorted(known))}.")
