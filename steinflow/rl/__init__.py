"""Online reinforcement learning with diffusion and flow policies; the estimator is one argument."""

from importlib import import_module
from typing import Any

from steinflow.extras import extras_named
from steinflow.rl.checkpoint import RunError
from steinflow.rl.config import TrainConfig

__all__ = ["Run", "RunError", "TrainConfig", "load", "train"]
LATER = {"Run": "run", "load": "run", "train": "training"}


def __getattr__(name: str) -> Any:
    """What needs Gymnasium is imported when it is asked for."""
    if name in LATER:
        with extras_named("rl"):
            return getattr(import_module(f"steinflow.rl.{LATER[name]}"), name)
    raise AttributeError(f"module 'steinflow.rl' has no attribute {name!r}")
