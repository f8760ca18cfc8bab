"""Shares of the work by name, for machines that have nothing in common but a folder."""

import hashlib
from collections.abc import Sequence

from steinflow.executors.base import C


def shard_of(text: str) -> tuple[int, int]:
    """`i/n` as two numbers.

    Raises:
        ValueError: it is no i/n with 0 <= i < n.
    """
    first, slash, second = text.partition("/")
    if slash and first.isdecimal() and second.isdecimal() and int(first) < int(second):
        return int(first), int(second)
    raise ValueError(f"shard {text!r} is no i/n. Count i from 0: --shard 0/3, 1/3 and 2/3.")


def share(cells: Sequence[C], shard: tuple[int, int]) -> list[C]:
    """The cells of shard i of n: those whose name's hash leaves i when divided by n."""
    return [cell for cell in cells if number_of(cell.name) % shard[1] == shard[0]]


def number_of(name: str) -> int:
    """The same number for the same name, on every machine."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
