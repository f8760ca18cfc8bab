"""Files that a stranger may have written: read in bounded memory, nothing in them is executed."""

import json
import tomllib
from pathlib import Path
from typing import Any

LARGEST = 1 << 24  # bytes of a text that people or manifests write
DOTS = 2_000  # of a TOML file


def read_text(path: Path) -> str:
    """A text file.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no UTF-8, or larger than any that we write.
    """
    size = path.stat().st_size
    if size > LARGEST:
        raise ValueError(f"it has {size:,} bytes, at most {LARGEST:,} are read")
    return path.read_text("utf-8")


def parse_json(text: str) -> Any:
    """What a JSON text says.

    Raises:
        ValueError: it is none, or nested beyond all measure.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def read_toml(path: Path) -> dict[str, Any]:
    """What a TOML file says.

    Raises:
        OSError: it cannot be read.
        ValueError: it is none, or nested beyond all measure.
    """
    text = read_text(path)
    if text.count(".") > DOTS:  # a key's time grows with the square of its depth
        raise ValueError(f"it has more than {DOTS:,} dots")
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
