"""Paths as people write them."""

from dataclasses import fields, replace
from pathlib import Path
from typing import Any


def expanded(path: Any) -> Path:
    """A path, its `~` a home folder: shells leave it as it is in `--out=~/t`, and so do files.

    Raises:
        ValueError: it is no path, or names a user that this machine does not have.
    """
    try:
        return Path(path).expanduser()
    except TypeError as error:
        raise ValueError(
            f"A path must be words or a pathlib.Path, got {type(path).__name__}."
        ) from error
    except RuntimeError as error:
        raise ValueError(f"{path} names no user of this machine. Write ./{path}.") from error


def with_expanded_paths(command: Any) -> Any:
    """A dataclass whose paths, and tuples of paths, are expanded."""
    changes: dict[str, Any] = {}
    for field in fields(command):
        value = getattr(command, field.name)
        if isinstance(value, Path):
            changes[field.name] = expanded(value)
        elif isinstance(value, tuple) and value and isinstance(value[0], Path):
            changes[field.name] = tuple(map(expanded, value))
    return replace(command, **changes)
