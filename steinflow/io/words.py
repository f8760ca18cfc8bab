"""Words of a command line or a file become values."""

import ast
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import tyro

from steinflow.checks import lookup
from steinflow.io.paths import expanded
from steinflow.io.texts import read_toml

MARK = get_args(tyro.conf.Positional[int])[1]  # of a word without an option before it


def value_of(word: str) -> Any:
    """What a word says: JSON or a Python literal (`false` or `False`, `null` or `None`, `[1, 2]`
    or `(1, 2)`); anything else is a word."""
    try:
        return json.loads(word)
    except (ValueError, RecursionError):
        pass
    try:
        return ast.literal_eval(word.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return word


def values_of(pairs: Iterable[str], option: str = "--env-kwargs") -> dict[str, Any]:
    """NAME=VALUE pairs.

    Raises:
        ValueError: a pair has no equals sign, or a name is given twice.
    """
    values: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name.isidentifier():
            raise ValueError(f"{pair!r} is no NAME=VALUE. Write {option} render_mode=human.")
        if name in values:
            raise ValueError(f"{option} gives {name} twice. Leave one out.")
        values[name] = value_of(text)
    return values


def pairs_of(values: Mapping[str, Any]) -> tuple[str, ...]:
    """A table as NAME=VALUE pairs.

    Raises:
        ValueError: a value is no number, word, truth value, list or table.
    """
    try:
        return tuple(f"{name}={json.dumps(value)}" for name, value in values.items())
    except TypeError as error:
        raise ValueError(f"{error}. Give numbers, words, true, false, lists and tables.") from error


def options_of(kind: type, path: Path) -> dict[str, Any]:
    """The options of a file; unknown keys are refused with the nearest.

    Raises:
        ValueError: the file is no TOML, or a key or a value's type is not an option's.
    """
    try:
        content = read_toml(expanded(path))
    except (OSError, ValueError) as error:
        raise ValueError(f"Could not read {path}: {error}. Give a TOML file.") from error
    known = {f.name: f for f in fields(kind) if f.name not in ("config",)}
    kinds, options = get_type_hints(kind), {}
    for key, value in content.items():
        option = lookup("option", key.replace("-", "_"), known)
        try:
            options[option.name] = as_type(value, kinds[option.name])
        except TypeError:
            default = option.default
            raise ValueError(
                f"{key} in {path} cannot be {value!r}. Its default is {default!r}."
            ) from None
    return options


def as_type(value: Any, kind: Any) -> Any:
    """A TOML value as the type of an option.

    Raises:
        TypeError: it is of another type.
    """
    options = get_args(kind)
    if kind == tuple[str, ...] and isinstance(value, dict):  # NAME=VALUE each
        return pairs_of(value)
    if get_origin(kind) is tuple and isinstance(value, list):
        return tuple(as_type(entry, options[0]) for entry in value)
    if get_origin(kind) is UnionType:  # such as int | None
        return as_type(value, next(option for option in options if option is not type(None)))
    if kind in (float, Path) and type(value) in ({int, float} if kind is float else {str}):
        return kind(value)
    if type(value) is not kind:
        raise TypeError
    return value


def require_positional_first(words: Sequence[str], kinds: Mapping[str, Any]) -> None:
    """Raise if the word that names what a command works on is taken by an option before it, which
    takes as many words as follow it.

    Args:
        words: of the command line, the command's name first.
        kinds: the dataclasses of commands that have such a word.

    Raises:
        ValueError: with the order that works.
    """
    kind = kinds.get(words[0]) if words else None
    if kind is None or len(words) < 3 or not words[1].startswith("--"):
        return
    hints = get_type_hints(kind, include_extras=True)
    names = [field.name for field in fields(kind)]
    first = next(name for name in names if is_positional(hints[name]))
    option, last = "", ""
    for number, word in enumerate(words[1:], 1):
        if word.startswith("--"):
            option = word
            continue
        name = option.removeprefix("--").replace("-", "_")
        ends = number + 1 == len(words) or words[number + 1].startswith("--")
        several = get_origin(hints.get(name)) is tuple
        if ends and several and not is_value(word, name, hints[name]):
            last = word
            break
    if last:
        rest = [word for word in words[1:] if word != last]
        raise ValueError(
            f"{last!r} is read as a value of {option}. {first.upper()} comes first: steinflow "
            f"{' '.join([words[0], last, *rest])}"
        )


def is_positional(hint: Any) -> bool:
    """Whether a field is a word without an option before it."""
    return get_origin(hint) is Annotated and MARK in get_args(hint)


def is_value(word: str, name: str, hint: Any) -> bool:
    """Whether a word can be one of an option that takes several."""
    kind = get_args(hint)[0]
    if kind in (int, float):
        return not word[:1].isalpha()
    return "=" in word if name == "env_kwargs" else word.isidentifier()
