"""Estimators that a user adds to a study, and what their numbers depend on."""

import hashlib
import sys
import uuid
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np

from steinflow.estimators import AbstractEstimator
from steinflow.methods import ESTIMATORS


class Extra:
    """A named estimator; equal to itself only, so that nothing is compiled for another."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.estimator: AbstractEstimator = ESTIMATORS[name].estimator


def source(name: str) -> str:
    """A hash of the code and the settings of an estimator by name, outside this package.

    Code that is in no file has another hash each time: its numbers are never read again.
    """
    estimator = ESTIMATORS[name].estimator
    digest = hashlib.sha256(repr(estimator).encode())
    for leaf in jax.tree.leaves(estimator):
        digest.update(np.asarray(leaf).tobytes() if eqx.is_array_like(leaf) else b"\0")
    for package in sorted(set(packages(estimator)) - {"steinflow"}):
        file = getattr(sys.modules.get(package), "__file__", None)
        if file is None:
            digest.update(uuid.uuid4().bytes)
            continue
        path = Path(file)
        for code in sorted(path.parent.rglob("*.py")) if path.stem == "__init__" else [path]:
            digest.update(code.name.encode() + b"\0" + code.read_bytes())
    return digest.hexdigest()


def packages(thing: Any) -> Iterator[str]:
    """The outermost packages of the classes that an object and its parts have."""
    yield type(thing).__module__.partition(".")[0]
    if is_dataclass(thing):
        for field in fields(thing):
            part = getattr(thing, field.name)
            yield from packages(part) if is_dataclass(part) else ()
