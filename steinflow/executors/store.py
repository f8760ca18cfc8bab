"""Finished cells in files that are only appended to, one a worker.

A file is a line that names the format, then records: the length and the CRC-32 of what
follows, then the cell's name, a line break and its content. A record cut in half is never
read, and is overwritten by the next worker that takes the file; one that is damaged is left
out, with a warning, and those after it are found. Cells are named by what
their content depends on, so any number of files, in any order, gives the same content.
"""

import os
import random
import struct
import uuid
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from steinflow.executors.locks import locked
from steinflow.io.files import StudyError, tell_damage

MAGIC = b"steinflow shard"
HEADER = MAGIC + b" 1\n"
PREFIX = struct.Struct("<QI")
SUFFIX = ".shard"
LONGEST = 500  # bytes of a name
LOOKED_AT = 8  # files of earlier workers that a new one tries to go on with


def records(path: Path, tell: bool = True) -> Iterator[tuple[str, bytes, int]]:
    """The whole records of a file: name, content, and where the record ends; tell of damage.

    Raises:
        StudyError: the file is of a later version.
    """
    data, at = path.read_bytes(), len(HEADER)
    patience = [8 * len(data)]
    if not data.startswith(HEADER):
        if data.startswith(MAGIC) and b"\n" in data:
            raise StudyError(f"{path} was written by a later steinflow. Update, or move it away.")
        first = next_whole(data, 0, patience)
        if first is None:
            return
        at = first
        if tell:
            tell_damage(f"{path} does not begin as it should. What it holds is read all the same.")
    while at + PREFIX.size <= len(data):
        length, checksum = PREFIX.unpack_from(data, at)
        body = data[at + PREFIX.size : at + PREFIX.size + length]
        if len(body) < length or zlib.crc32(body) != checksum:
            patience[0] -= len(body)
            after = next_whole(data, at, patience)
            if tell and (after is not None or len(body) == length):
                tell_damage(
                    f"{path} has a damaged record, which is left out. Its cell runs again, unless "
                    "it is kept elsewhere too."
                )
            if after is None:
                return
            at = after
            continue
        at += PREFIX.size + length
        name, _, content = body.partition(b"\n")
        yield name.decode(errors="replace"), content, at


def next_whole(data: bytes, after: int, patience: list[int]) -> int | None:
    """Where the first whole record after a damaged one begins, as its name and checksum tell.

    Lengths are below 2^32, so that four zeros come four bytes after where one begins. `patience` is
    how many bytes of a file may still be looked at in vain, so that no file takes long.
    """
    zeros = after
    while patience[0] > 0 and (zeros := data.find(b"\0\0\0\0", zeros + 1)) >= 0:
        start, body = zeros - 4, zeros - 4 + PREFIX.size
        if start <= after or body > len(data):
            continue
        length, checksum = PREFIX.unpack_from(data, start)
        if length < 2 or body + length > len(data):
            continue
        name = data[body : body + min(length, LONGEST)].partition(b"\n")[0]
        patience[0] -= len(name)
        if not 0 < len(name) < LONGEST or not name.decode(errors="replace").isprintable():
            continue
        patience[0] -= length
        if zlib.crc32(memoryview(data)[body : body + length]) == checksum:
            return start
    return None


def every(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Names and contents of all files of a folder, duplicates included."""
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        for name, content, _ in records(path):
            yield name, content


def read(folder: Path) -> dict[str, bytes]:
    """Every finished cell, once."""
    records: dict[str, bytes] = {}
    for name, content in every(folder):
        records.setdefault(name, content)
    return records


class Writer:
    """Appends to a file that is its own until it is closed, or its process ends."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path, self.file = taken(folder)
        ends = [end for _, _, end in records(self.path, tell=False)]
        self.end = ends[-1] if ends else len(HEADER)
        if not ends:
            self.write(0, HEADER)
        self.file.truncate(self.end)

    def append(self, name: str, content: bytes) -> None:
        """Add a cell; when this returns, it is on the disk."""
        body = name.encode() + b"\n" + content
        self.write(self.end, PREFIX.pack(len(body), zlib.crc32(body)) + body)
        self.end += PREFIX.size + len(body)

    def write(self, start: int, data: bytes) -> None:
        """Write at a place, or leave the file as it was."""
        self.file.truncate(start)
        try:
            remaining = memoryview(data)
            while remaining:
                remaining = remaining[self.file.write(remaining) :]
            os.fsync(self.file.fileno())
        except OSError:
            self.file.truncate(start)
            raise

    def close(self) -> None:
        """Let others go on with the file."""
        self.file.close()


def taken(folder: Path) -> tuple[Path, IO[Any]]:
    """A file that no other process has: one of an earlier run, or a new one."""
    existing = sorted(folder.glob(f"*{SUFFIX}"))
    some = random.Random(uuid.uuid4().int).sample(existing, min(LOOKED_AT, len(existing)))
    for path in [*some, folder / f"{uuid.uuid4().hex}{SUFFIX}"]:
        file = locked(path)
        if file is not None:
            return path, file
    raise StudyError(f"No file in {folder} could be locked. Choose a file system with locks.")


WRITERS: dict[Path, Writer] = {}


def keep(folder: Path, name: str, content: bytes) -> None:
    """Append a cell to this process's file of a folder."""
    if folder not in WRITERS:
        WRITERS[folder] = Writer(folder)
    WRITERS[folder].append(name, content)


def let_go(folder: Path) -> None:
    """Close this process's file of a folder, if it has one."""
    if folder in WRITERS:
        WRITERS.pop(folder).close()
