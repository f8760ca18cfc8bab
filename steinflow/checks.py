"""Checks of what a user passes in: every error is one sentence with its remedy.

Values are checked when they are concrete. Under `jit` they are not known, and a bad one
gives a NaN score instead.
"""

import difflib
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any, TypeAlias, TypeVar, cast

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

F = TypeVar("F", bound=Callable[..., Any])
Numbers: TypeAlias = Any  # what as_leaf takes: a number, a sequence or an array of floats


def broadcasting(function: F) -> F:
    """The function, free to combine arrays of different ranks whatever
    `jax_numpy_rank_promotion` says; Q and networks that it calls are free as well."""

    @wraps(function)
    def allowed(*args: Any, **kwargs: Any) -> Any:
        with jax.numpy_rank_promotion("allow"):
            return function(*args, **kwargs)

    return cast(F, allowed)


def as_leaf(value: Numbers) -> Any:
    """A number as an array leaf: JAX arrays unchanged, everything else float64 NumPy.

    Raises:
        ValueError: it holds no real numbers.
    """
    if isinstance(value, jax.Array):
        return value
    try:
        array = np.asarray(value)
        if not any(jnp.issubdtype(array.dtype, kind) for kind in (np.floating, np.integer, bool)):
            raise TypeError
        return array.astype(np.float64)
    except (TypeError, ValueError):
        raise ValueError(
            f"A number or an array of real numbers is wanted, got {type(value).__name__} "
            f"{brief(value)}."
        ) from None


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


def require_at_least(name: str, value: int, minimum: int, why: str) -> None:
    """Raise unless an integer option is large enough."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < minimum:
        raise ValueError(f"{name} must be an integer >= {minimum}, got {value!r}. {why}")


def require_shape(name: str, value: Any, shapes: Iterable[tuple[int, ...]], why: str) -> None:
    """Raise unless the array has one of the shapes."""
    shapes = list(shapes)
    if np.shape(value) not in shapes:
        wanted = " or ".join(str(list(shape)) for shape in shapes)
        raise ValueError(f"{name} must have shape {wanted}, got {list(np.shape(value))}. {why}")


def require_kind(name: str, value: Any, kind: type, remedy: str) -> None:
    """Raise unless an argument is of a type."""
    if not isinstance(value, kind):
        wanted, given = kind.__name__, type(value).__name__
        article = "an" if wanted[0] in "AEIOU" else "a"
        raise ValueError(f"{name} must be {article} {wanted}, got {given} {brief(value)}. {remedy}")


def brief(value: Any) -> str:
    """A value in at most 60 characters, on one line."""
    return " ".join(repr(value).split())[:60]


def as_numbers(name: str, value: Any, remedy: str) -> NDArray[np.float32]:
    """Numbers in a float32 array.

    Raises:
        ValueError: they are none, such as a dictionary, or rows of different lengths.
    """
    try:
        array = np.asarray(value)
        if array.dtype.kind not in "fiub":
            raise TypeError
        return array.astype(np.float32)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be numbers, got {type(value).__name__}. {remedy}") from None


def require_key(key: Any) -> None:
    """Raise unless it is one of JAX's random keys, new or old."""
    dtype, shape = getattr(key, "dtype", None), getattr(key, "shape", None)
    new = dtype is not None and jnp.issubdtype(dtype, jax.dtypes.prng_key) and shape == ()
    if not new and not (dtype == np.uint32 and shape in ((2,), (4,))):
        raise ValueError(
            f"key must be one of JAX's random keys, got {type(key).__name__} {brief(key)}. Write "
            "jax.random.key(0)."
        )


def require_seed(name: str, seed: Any) -> None:
    """Raise unless it is a seed that environments and random keys take."""
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed < 2**31:
        raise ValueError(f"{name} must be an integer from 0 to 2^31 - 1, got {seed!r}.")


def require_share(name: str, value: Any, why: str) -> None:
    """Raise unless it is a number between 0 and 1, both excluded."""
    real = isinstance(value, float | np.floating)
    if not real or not 0.0 < value < 1.0:
        raise ValueError(f"{name} must be a number in (0, 1), got {value!r}. {why}")


def lookup(kind: str, name: str, known: dict[str, Any]) -> Any:
    """known[name], or a ValueError that names the nearest key."""
    if isinstance(name, str) and name in known:
        return known[name]
    near = difflib.get_close_matches(str(name), known, n=1, cutoff=0.4)
    hint = f"Did you mean {near[0]!r}? " if near else ""
    raise ValueError(f"Unknown {kind} {name!r}. {hint}Known: {', '.join(sorted(known))}.")
