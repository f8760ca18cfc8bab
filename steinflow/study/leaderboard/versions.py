"""What numbers depend on: hashes of code and settings, and truths kept by them."""

import ast
import hashlib
from dataclasses import asdict
from functools import cache
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from steinflow.io.files import explained, load_part, save_part
from steinflow.study.leaderboard.grid import Board, Group, Unit
from steinflow.study.leaderboard.problems import (
    KINDS,
    Problem,
    is_exact,
    kind_of,
    members_at,
    problem,
)
from steinflow.study.leaderboard.reference import referenced

PACKAGE = Path(__file__).parent.parent.parent
OWN = "study/leaderboard/"
TRUTHS = ("targets/*.py", "levels.py", "supports.py", "sobol.py", "truncated_normal.py",
          "proposals/truncated_*.py", f"{OWN}grid.py", f"{OWN}problems.py",
          f"{OWN}reference.py")  # fmt: skip
ROWS = (*TRUTHS, "*.py", "draws/*.py", "estimators/*.py", "proposals/*.py",
        f"{OWN}contest.py", f"{OWN}actions.py")  # fmt: skip
APART = (
    "checks.py",
    "cli.py",
    "doctor.py",
    "__main__.py",
    "__init__.py",
    "losses.py",
)  # change no number
OURS_ALONE = ("ask_tell.py", "fitted.py", "shrunk.py", "score.py")


@cache
def code_version(patterns: tuple[str, ...], apart: tuple[str, ...] = APART) -> str:
    """A hash of code; comments and docstrings do not count."""
    paths = {path for pattern in patterns for path in PACKAGE.glob(pattern)}
    digest = hashlib.sha256()
    for path in sorted(path for path in paths if path.name not in apart):
        tree = ast.parse(path.read_text("utf-8"))
        for node in ast.walk(tree):
            body = getattr(node, "body", None)
            if isinstance(body, list) and body and is_text(body[0]):
                node.body = body[1:]  # type: ignore[attr-defined]
        digest.update(path.name.encode() + dumped(tree).encode())
    return digest.hexdigest()[:16]


def dumped(node: object) -> str:
    """`ast.dump` of Python 3.11 by any Python: later ones write more fields, or fewer."""
    if isinstance(node, ast.AST):
        kind = type(node)
        names = [name for name in node._fields if name != "type_params" and hasattr(node, name)]
        present = [(name, getattr(node, name)) for name in names]
        given = [(n, v) for n, v in present if v is not None or getattr(kind, n, ...) is not None]
        return f"{kind.__name__}({', '.join(f'{n}={dumped(v)}' for n, v in given)})"
    if isinstance(node, list):
        return f"[{', '.join(map(dumped, node))}]"
    return repr(node)


def is_text(node: ast.AST) -> bool:
    """Whether a statement is a bare string: a docstring."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def identity(board: Board, code: str, more: tuple[str, ...] = ()) -> str:
    """A hash of a version of code and of the settings that a row depends on besides its own
    columns."""
    varied = ("supports", "dims", "families", "taus", "distributions", "budgets", *more)
    settings = {k: v for k, v in asdict(board).items() if k not in varied}
    return hashlib.sha256(f"{settings}{code}".encode()).hexdigest()[:16]


def identities(board: Board) -> dict[str, str]:
    """Of the rows of either side: a change of `auto` leaves those of the published methods."""
    theirs = code_version(ROWS, (*APART, *OURS_ALONE))
    return {"published": identity(board, theirs), "ours": identity(board, code_version(ROWS))}


def cached_problem(
    out: Path, board: Board, unit: Unit, group: Group, key: Key[Array, ""]
) -> Problem:
    """A problem with its truths, those of an earlier run where nothing of theirs has changed.

    They are a third of the leaderboard's time, and depend on no estimator.
    """
    path = out / "truths" / f"{unit.name}-{group.family}-{group.tau:g}.npz"
    version = identity(board, code_version(TRUTHS), ("trials",))
    arrays = load_part(path, version)
    if arrays is not None:
        every, tau = members_at(board, unit, group)
        number = jnp.asarray(KINDS.index(kind_of(group.family)))
        return Problem(number, every, tau, **{name: jnp.asarray(v) for name, v in arrays.items()})
    posed = problem(board, unit, group, key)
    if not is_exact(posed.members[kind_of(group.family)]):
        posed = referenced(posed, board)
    names = [name for name in Problem._fields if name not in ("kind", "members", "tau")]
    with explained(out):
        save_part(path, {name: np.asarray(getattr(posed, name)) for name in names}, version)
    return posed
