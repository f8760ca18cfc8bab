"""Files of a study: written to a temporary name, then renamed; half-written ones never read."""

import errno
import hashlib
import io
import json
import math
import os
import sys
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from steinflow.io.texts import parse_json, read_text

FORMAT_VERSION = 1


class StudyError(Exception):
    """A sentence about what stopped a study, and what to do."""


class UserNotice(UserWarning):
    """A sentence for the user; the command line prints it alone."""


class DamageWarning(UserNotice):
    """Something on the disk is not as it was written; it is left out, or made again."""


def tell_damage(sentence: str) -> None:
    """Warn of it; the command line prints the sentence alone."""
    warnings.warn(sentence, DamageWarning, stacklevel=3)


@contextmanager
def damage_reported() -> Iterator[None]:
    """Notices are told on standard error, once, without the line of code that saw them; other
    warnings as always."""
    with warnings.catch_warnings():
        warnings.simplefilter("once", UserNotice)
        otherwise = warnings.showwarning

        def show(message: Warning | str, *where: Any, **more: Any) -> None:
            if isinstance(message, UserNotice):
                print(f"steinflow: warning: {message}", file=sys.stderr)
            else:
                otherwise(message, *where, **more)

        warnings.showwarning = show
        yield


@contextmanager
def explained(out: Path) -> Iterator[None]:
    """Turn errors of the file system into a sentence with the remedy."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        if error.errno in (errno.EEXIST, errno.ENOTDIR, errno.EISDIR):
            remedy = "It, or a folder of its path, is a file; choose another --out."
        elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            remedy = "Get the right to write there, or choose another --out."
        else:
            remedy = (
                "Everything that was finished is kept there; free some space or choose another "
                "--out, and run the same command again."
            )
        raise StudyError(f"Could not write to {out}: {reason}. {remedy}") from error


def write_atomically(path: Path, write: Callable[[IO[bytes]], Any]) -> None:
    """Write a file under a temporary name beside it, flush it to disk, then rename it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def finite(content: Any) -> Any:
    """The same content with None for NaN and infinity, which JSON does not have."""
    if isinstance(content, dict):
        return {key: finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def write_json(path: Path, content: Any) -> None:
    """JSON, indented, atomically; numbers that are not finite become null."""
    text = json.dumps(finite(content), indent=1, allow_nan=False) + "\n"
    write_atomically(path, lambda file: file.write(text.encode()))


def packed(arrays: dict[str, np.ndarray]) -> bytes:
    """Arrays as the bytes of an archive."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def unpacked(content: bytes) -> dict[str, np.ndarray]:
    """The arrays of an archive; its checksums are looked at as it is read.

    Raises:
        ValueError: it is damaged, no archive, or compressed: ours are not, and cannot grow in
            memory.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as entries:
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries.infolist()):
                raise ValueError("the archive is compressed")
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except Exception as error:  # damage takes many ways through zipfile and NumPy
        raise ValueError(f"the archive cannot be read: {error}") from error


def save_part(path: Path, arrays: dict[str, np.ndarray], fingerprint: str) -> None:
    """The arrays of one finished cell."""
    content = packed({"header": np.array([str(FORMAT_VERSION), fingerprint])} | arrays)
    write_atomically(path, lambda file: file.write(content))


def load_part(path: Path, fingerprint: str) -> dict[str, np.ndarray] | None:
    """A finished cell, or None where there is none that is whole and of this configuration."""
    if not path.exists():
        return None
    try:
        arrays = unpacked(path.read_bytes())
    except (OSError, ValueError):
        tell_damage(f"{path} is damaged. It is left out, and computed again by the same command.")
        return None
    header = arrays.pop("header", None)
    if header is None or list(header) != [str(FORMAT_VERSION), fingerprint]:
        return None
    return arrays


def digests(out: Path, names: Iterable[str]) -> dict[str, str]:
    """SHA-256 of files of a folder, for its manifest."""
    return {name: hashlib.sha256((out / name).read_bytes()).hexdigest() for name in names}


def unlike_manifest(out: Path) -> list[str]:
    """The files of a folder that are not what its manifest says, which is `digests` under sha256.

    Files that are gone, and folders without a manifest of this kind, are as they should be.
    """
    try:
        recorded = parse_json(read_text(out / "manifest.json"))["sha256"]
        return unlike(out, recorded)
    except (OSError, ValueError, KeyError, TypeError):
        return []


def unlike_sums(out: Path) -> list[str]:
    """The same by SHA256SUMS, as the command of that name writes it."""
    try:
        text = (out / "SHA256SUMS").read_text("utf-8", errors="replace")
        lines = [line.partition("  ") for line in text.splitlines()]
        return unlike(out, {name: right for right, _, name in lines})
    except (OSError, ValueError):
        return []


def unlike(out: Path, recorded: Mapping[str, str]) -> list[str]:
    """The files of a folder, never outside of it, whose SHA-256 is not what is told."""
    existing = [name for name in recorded if Path(name).name == name and (out / name).is_file()]
    return [name for name, digest in digests(out, existing).items() if digest != recorded[name]]


def clear_temporaries(folder: Path) -> None:
    """Remove what a killed run left half-written."""
    for path in folder.glob(".*.*"):
        if path.is_file():
            path.unlink(missing_ok=True)
