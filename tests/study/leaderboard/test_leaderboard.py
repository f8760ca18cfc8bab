"""The leaderboard's problems, truths, files and rows, at a small size."""

import ast
import inspect
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from steinflow.cli import main
from steinflow.executors import campaign
from steinflow.methods import ESTIMATORS
from steinflow.study.conditions import StudyConfig
from steinflow.study.leaderboard import run as board_run
from steinflow.study.leaderboard import versions
from steinflow.study.leaderboard.actions import energy_distance
from steinflow.study.leaderboard.contest import PUBLISHED
from steinflow.study.leaderboard.grid import Board, Group, Unit, board_of, groups, units
from steinflow.study.leaderboard.problems import problem, state_seed
from steinflow.study.leaderboard.reference import referenced

UNIT = Unit("real", 2, "pi")
SMALL = Board(
    supports=("real",), dims=(2,), families=("linear", "quadratic"), taus=(0.5,),
    distributions=("pi",),
    budgets=(16,), states=2, trials=4, log2_reference=12,
)  # fmt: skip


def test_the_grid_is_the_one_that_is_promised():
    board = Board()
    cells = sum(
        len(list(groups(board, unit))) * len(board.alphas) * len(board.budgets)
        for unit in units(board)
    )
    # 7 Q x 4 tau x 2 supports x 3 d x 2 distributions, less the coupled networks without a truth
    assert cells == (7 * 4 * 12 - 2 * 2 * 2 * 2) * 15
    assert len({state_seed(k, d) for k in range(16) for d in (2, 6, 17)}) == 48


@pytest.mark.slow
@pytest.mark.parametrize("support", ["box", "real"])
def test_the_reference_agrees_with_quadrature(support):
    """Coupled networks in two dimensions have both: z-tests of every component."""
    board, unit = Board(states=3, log2_reference=16), Unit(support, 2, "pi")
    exact = problem(board, unit, Group("coupled", 0.5), jax.random.key(3))
    result = referenced(exact, board)
    pairs = [(exact.score, result.score, result.reference_mse)]
    if support == "box":
        pairs += [(exact.latent_score, result.latent_score, result.latent_reference_mse)]
        assert jnp.allclose(result.latent_trace, exact.latent_trace, rtol=0.1)
    assert jnp.allclose(result.trace, exact.trace, rtol=0.1)
    for truth, estimate, mse in pairs:
        assert jnp.all(jnp.sum((estimate - truth) ** 2, axis=-1) < 16.0 * mse)
        assert jnp.all(mse > 0)


@pytest.mark.slow
def test_a_rerun_finds_what_is_finished(tmp_path):
    def run(board=SMALL):
        return board_run.run(board, tmp_path, quiet=True, engine=campaign.Engine("serial"))

    result = run()
    assert result.rows.height == 2 * 7 * 5 and not result.actions.height
    assert set(result.rows["q"]) == {"linear", "quadratic"}
    exact = result.rows.filter((pl.col("q") == "linear") & (pl.col("method") == "gradient"))
    assert np.all(exact["eed"].to_numpy() == 1e4)  # no variance, on R^d
    assert np.all(result.rows["mse_a"].to_numpy() + result.rows["mse_b"].to_numpy() > 0)

    path, wanted = board_run.path_of(tmp_path, UNIT), board_run.cells(SMALL)
    before, shards = path.read_bytes(), shard_bytes(tmp_path)
    assert set(board_run.collected(tmp_path, wanted)) == set(wanted)
    assert_frame_equal(run().rows, result.rows, check_exact=True)
    assert path.read_bytes() == before and shard_bytes(tmp_path) == shards
    other = Board(**{**SMALL.__dict__, "seed": 1})
    assert board_run.collected(tmp_path, board_run.cells(other)) == {}
    path.write_bytes(before[: len(before) // 2])  # the cells' own records are still there
    assert board_run.collected(tmp_path, wanted) == {}
    assert_frame_equal(run().rows, result.rows, check_exact=True)
    assert path.read_bytes() == before and shard_bytes(tmp_path) == shards


@pytest.mark.slow
def test_a_change_of_auto_leaves_the_rows_of_published_methods(monkeypatch):
    before = versions.identities(SMALL)
    read = Path.read_text

    def changed(name):
        def text(path, *args):
            return read(path, *args) + ("x = 1\n" if path.name == name else "")

        monkeypatch.setattr(Path, "read_text", text)
        versions.code_version.cache_clear()
        return versions.identities(SMALL)

    for name in versions.OURS_ALONE:
        now = changed(name)
        assert now["published"] == before["published"] and now["ours"] != before["ours"], name
    for name in ("noise.py", "methods.py", "problems.py"):
        assert not set(changed(name).values()) & set(before.values()), name
    monkeypatch.undo()
    versions.code_version.cache_clear()
    assert versions.identities(SMALL) == before and len(set(before.values())) == 2


def test_published_methods_use_nothing_of_what_auto_alone_is_made_of():
    for method in (ESTIMATORS[name] for name in PUBLISHED["box"]):
        parts = (method.estimator, getattr(method.estimator, "by", None), method.proposal)
        files = {Path(inspect.getfile(type(part))).name for part in parts if part is not None}
        assert not files & set(versions.OURS_ALONE)
    ours = ESTIMATORS["auto"]
    files = {Path(inspect.getfile(type(part))).name for part in (ours.estimator, ours.proposal)}
    assert files <= set(versions.OURS_ALONE)


def shard_bytes(out):
    """What the finished cells' files hold."""
    return {file.name: file.read_bytes() for file in (out / "cells").glob("*.shard")}


def test_energy_distances_of_one_law_are_zero_within_their_error():
    first, second = jax.random.normal(jax.random.key(0), (2, 500, 3))
    same, error = energy_distance(first, second)
    assert abs(same) < 5 * error
    far, _ = energy_distance(first + 1.0, second)
    assert far > 0.3


def test_options_of_the_study_are_those_of_the_board(capsys):
    given = StudyConfig("leaderboard", trials=8, query_points=4, num_draws=(32,), dims=(6,))
    board = board_of(given)
    assert (board.trials, board.states, board.budgets, board.dims) == (8, 4, (32,), (6,))
    assert main(["study", "--preset", "leaderboard", "--dims", "1", "--out", "/nowhere"]) == 2
    assert "pairs of coordinates" in capsys.readouterr().err
    assert main(["study", "--preset", "leaderboard", "--families", "cubic"]) == 2
    assert "Did you mean" in capsys.readouterr().err


def test_workers_end_with_their_driver(tmp_path):
    """kill -9 of a process leaves no worker of it behind."""
    child = "import os; from steinflow.executors.cores import end_with; "
    child += "parent = os.getppid(); print(os.getpid(), flush=True); end_with(parent, 0.1)"
    driver = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    process = subprocess.Popen([sys.executable, "-c", driver], stdout=subprocess.PIPE, text=True)
    worker = int(process.stdout.readline())
    process.kill()
    process.wait()
    until = time.monotonic() + 20.0
    while time.monotonic() < until and alive(worker):
        time.sleep(0.1)
    assert not alive(worker)


def alive(pid):
    """Whether a process runs (a zombie does not)."""
    stat = Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_code_is_written_alike_by_every_python():
    """As Python 3.11 does; 3.12 has type parameters, and 3.13 leaves empty lists out."""
    text = "def f(x, *, y=None):\n    return [x, None] if y else f'{x!r}'\n"
    assert versions.dumped(ast.parse(text)) == (
        "Module(body=[FunctionDef(name='f', args=arguments(posonlyargs=[], args=[arg(arg='x')], "
        "kwonlyargs=[arg(arg='y')], kw_defaults=[Constant(value=None)], defaults=[]), "
        "body=[Return(value=IfExp(test=Name(id='y', ctx=Load()), body=List(elts=[Name(id='x', "
        "ctx=Load()), Constant(value=None)], ctx=Load()), orelse=JoinedStr(values=[FormattedValue("
        "value=Name(id='x', ctx=Load()), conversion=114)])))], decorator_list=[])], "
        "type_ignores=[])"
    )
