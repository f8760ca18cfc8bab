"""config.toml and manifest.json of a run."""

import json
import os
import platform
import sys
from dataclasses import asdict, fields, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import jax

from steinflow.checks import lookup
from steinflow.io.files import write_atomically
from steinflow.io.texts import parse_json, read_text, read_toml
from steinflow.rl.checkpoint import RunError
from steinflow.rl.config import TrainConfig

FORMAT_VERSION = 3
CHANGEABLE = (
    "steps", "keep", "eval_every", "log_every", "env_timeout", "eval_envs", "eval_max_steps",
    "env_workers", "drop_nan",
)  # options, by --resume # fmt: skip
PACKAGES = ("steinflow", "jax", "jaxlib", "equinox", "optax", "numpy", "gymnasium", "mujoco")


def toml_of(options: dict[str, Any]) -> str:
    """Options as TOML: finite numbers, words, truth values, and lists of these."""
    return "".join(f"{name} = {json.dumps(value)}\n" for name, value in options.items())


def write_config(
    path: Path, config: TrainConfig, env: str | None, env_kwargs: dict[str, Any]
) -> None:
    """Every option of a run, and its environment where that has a name."""
    options = {"format_version": FORMAT_VERSION, "env": env or "", **asdict(config)}
    text = toml_of(options | {"env_kwargs": json.dumps(env_kwargs)})
    write_atomically(path, lambda file: file.write(text.encode()))


def read_config(path: Path) -> tuple[TrainConfig, str | None, dict[str, Any]]:
    """Options, the environment's name, and its arguments.

    Raises:
        RunError: the file is missing, no TOML, or of a newer format.
        ValueError: an option is unknown or out of range.
    """
    try:
        content = read_toml(path)
    except FileNotFoundError as error:
        raise RunError(f"There is no run in {path.parent}. Give the folder of one.") from error
    except (OSError, ValueError) as error:
        raise RunError(f"Could not read {path}: {error}. Give the folder of a run.") from error
    if content.pop("format_version", None) != FORMAT_VERSION:
        raise RunError(f"{path} is of another format. Use the steinflow that wrote it.")
    env, text = content.pop("env", ""), content.pop("env_kwargs", "{}")
    try:
        kwargs = parse_json(text)
        sound = isinstance(env, str) and isinstance(kwargs, dict)
    except (ValueError, TypeError):
        sound = False
    if not sound:
        raise RunError(f"env and env_kwargs of {path} are not a name and a JSON object. Mend them.")
    return TrainConfig(**typed(content)), env or None, kwargs


def typed(options: dict[str, Any]) -> dict[str, Any]:
    """Options of a TOML file in the types of TrainConfig.

    Raises:
        ValueError: an option is unknown (the nearest is named), or of another type.
    """
    known = {field.name: field.default for field in fields(TrainConfig)}
    values = {}
    for key, value in options.items():
        name = key.replace("-", "_")
        default = lookup("option", name, known)
        value = tuple(value) if isinstance(value, list) else value
        if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if type(value) is not type(default):
            raise ValueError(
                f"{key} must be a {type(default).__name__} such as {default!r}, got {value!r}."
            )
        values[name] = value
    return values


def versions() -> dict[str, str]:
    """Of this package and what it stands on."""
    installed = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            installed[package] = version(package)
        except PackageNotFoundError:
            continue
    return installed


def manifest(spaces: dict[str, Any]) -> dict[str, Any]:
    """Where and how a run is made; what it learned from is in config.toml."""
    return {
        "format_version": FORMAT_VERSION,
        "versions": versions(),
        "host": platform.node(),
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "device": str(jax.devices()[0]),
        "devices": jax.device_count(),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "spaces": spaces,
    }


def same_options(
    path: Path, config: TrainConfig, env: str | None, env_kwargs: dict[str, Any]
) -> None:
    """A resumed run has the options that it began with, but for its length.

    Raises:
        ValueError: one of them differs.
    """
    old, old_env, old_kwargs = read_config(path / "config.toml")
    old = replace(old, **{name: getattr(config, name) for name in CHANGEABLE})
    before, after = (asdict(c) for c in (old, config))
    differ = [name for name in before if before[name] != after[name]]
    differ += ["env"] * (old_env != env) + ["env_kwargs"] * (old_kwargs != env_kwargs)
    if differ:
        raise ValueError(
            f"The run in {path} began with other options: {', '.join(differ)}. "
            "Leave out what sets them (a flag, --preset or --config), or give another --out."
        )


def same_data(path: Path, digest: str) -> None:
    """A resumed run has the data that it began with.

    Raises:
        ValueError: what is under the same name is something else now.
    """
    known = parse_json(read_text(path / "manifest.json")).get("data", "")
    if known != digest:
        raise ValueError(
            f"The data of the run in {path} has changed since it began. Bring it back, or give "
            "another --out."
        )


def require_longer(path: Path, config: TrainConfig, reached: int) -> None:
    """A resumed run does not become shorter than it is, and its learning rates, where they fall
    with its length, fall as they began to.

    Raises:
        ValueError: it would, or they would not.
    """
    steps = read_config(path / "config.toml")[0].all_steps
    if config.all_steps < reached:
        raise ValueError(
            f"The run in {path} has {reached:,} steps already, so that it cannot end at "
            f"{config.all_steps:,}. Give --steps {reached - config.offline_steps} or more, or "
            "another --out."
        )
    if config.anneal and config.all_steps != steps:
        raise ValueError(
            f"The learning rates of the run in {path} fall to 0 at step {steps:,} (anneal "
            f"{config.anneal:g}): with --steps {config.steps} they would change again. Give "
            f"--steps {steps - config.offline_steps}, or another --out."
        )
