"""Checkpoints: one safetensors file with its own digest, written at once or not at all."""

import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from steinflow.io.files import write_atomically
from steinflow.io.texts import parse_json

FORMAT_VERSION = 3
Arrays = dict[str, NDArray[Any]]
PATTERN = re.compile(r"step-(\d{12})\.safetensors")


class RunError(Exception):
    """A sentence about what stopped a run, and what to do."""


def digest_of(arrays: Arrays, about: str) -> str:
    """SHA-256 of a header's text, and of names, types, shapes and bytes of arrays."""
    digest = hashlib.sha256(about.encode())
    for name in sorted(arrays):
        array = np.asarray(arrays[name], order="C")
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def write(path: Path, arrays: Arrays, about: dict[str, Any]) -> None:
    """Write arrays and a JSON header that says what they are."""
    from safetensors.numpy import save

    arrays = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    text = json.dumps(about)
    header = {"format_version": str(FORMAT_VERSION), "sha256": digest_of(arrays, text)}
    content = save(arrays, header | {"about": text})
    write_atomically(path, lambda file: file.write(content))


def read(path: Path) -> tuple[Arrays, dict[str, Any]]:
    """The arrays of a file, and what it says of them.

    Raises:
        RunError: the file is not whole, or of a newer format.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            header = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        intact = header.get("sha256") == digest_of(arrays, header.get("about", ""))
        about = parse_json(header.get("about", "null"))
    except (OSError, SafetensorError, ValueError, TypeError, KeyError) as error:
        raise RunError(f"{path} is not a whole checkpoint ({error}). Use another one.") from error
    if not intact or not isinstance(about, dict):
        raise RunError(f"{path} is damaged: its contents do not match its digest. Use another one.")
    if header.get("format_version") != str(FORMAT_VERSION):
        raise RunError(
            f"{path} has format {header.get('format_version')}, but this steinflow reads "
            f"{FORMAT_VERSION}. Use the steinflow that wrote it."
        )
    return arrays, about


def named(prefix: str, tree: Any) -> Arrays:
    """The arrays of a tree by their paths."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {prefix + jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}


def filled(prefix: str, like: Any, arrays: Arrays) -> Any:
    """A tree of the structure of another one, with the arrays that are kept.

    Raises:
        RunError: an array is missing or has another shape.
    """

    def leaf(path: Any, template: Any) -> NDArray[Any]:
        name = prefix + jax.tree_util.keystr(path)
        array = arrays.get(name)
        if array is None or array.shape != template.shape or array.dtype != template.dtype:
            raise RunError(f"A checkpoint does not fit its config.toml: {name} is not as expected.")
        return array

    return jax.tree_util.tree_map_with_path(leaf, like)


def path_of(folder: Path, step: int) -> Path:
    """The checkpoint of a step."""
    return folder / f"step-{step:012d}.safetensors"


def steps_in(folder: Path) -> list[int]:
    """The steps that have a checkpoint, the newest first."""
    names = (PATTERN.fullmatch(path.name) for path in folder.glob("step-*.safetensors"))
    return sorted((int(name[1]) for name in names if name), reverse=True)


def common(folders: Iterable[Path]) -> set[int]:
    """The steps that have a checkpoint in all folders; a kill may come between two of them."""
    return set.intersection(*(set(steps_in(folder)) for folder in folders))


def newest(
    folders: Iterable[Path], messages: list[str]
) -> tuple[int, list[tuple[Arrays, dict[str, Any]]]]:
    """The newest step whose checkpoints are whole in all folders; what was refused is said.

    Raises:
        RunError: there is none.
    """
    folders = list(folders)
    for step in sorted(common(folders), reverse=True):
        try:
            checkpoints = [read(path_of(folder, step)) for folder in folders]
            if all(about.get("step") == step for _, about in checkpoints):
                return step, checkpoints
            messages.append(f"Checkpoints of step {step} are named wrongly.")
        except RunError as error:
            messages.append(str(error))
    refused = "".join(f" {sentence}" for sentence in messages)
    raise RunError(f"{folders[0]} has no whole checkpoint.{refused} Train from the start.")


def prune(folder: Path, keep: int) -> None:
    """Remove all but the newest `keep`."""
    for step in steps_in(folder)[keep:]:
        path_of(folder, step).unlink(missing_ok=True)


def forget_after(folder: Path, step: int) -> None:
    """Remove checkpoints that are newer than the one that a run goes on from."""
    for newer in steps_in(folder):
        if newer > step:
            path_of(folder, newer).unlink(missing_ok=True)
