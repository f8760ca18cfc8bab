"""Running a study: what it writes, and what survives when it is stopped."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from steinflow.io.files import StudyError, load_part, save_part
from steinflow.study.conditions import StudyConfig, cells, settle
from steinflow.study.run import run, run_study

TINY = StudyConfig(trials=4, query_points=4, num_draws=(8,), taus=(0.1, 1.0), alphas=(0.8,))
FLAGS = ["--trials", "4", "--query-points", "4", "--num-draws", "8", "--taus", "0.1", "1.0",
         "--alphas", "0.8"]  # fmt: skip

KILLS = int(os.environ.get("STEINFLOW_KILLS", "3"))


def command(out, *more):
    """The study as a user runs it."""
    return [sys.executable, "-m", "steinflow", "study", *FLAGS, "--out", str(out), *more]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The rows of a run that nothing happened to."""
    out = tmp_path_factory.mktemp("undisturbed")
    subprocess.run(command(out), check=True, capture_output=True)
    return out


@pytest.mark.slow
def test_what_a_study_leaves(undisturbed):
    names = {path.name for path in undisturbed.iterdir()}
    assert names >= {"rows.parquet", "claims.json", "figures", "report.html", "manifest.json"}
    manifest = json.loads((undisturbed / "manifest.json").read_text())
    assert manifest["format_version"] == 1 and manifest["compilations_over_0.1s"] <= 12
    rows = pl.read_parquet(undisturbed / "rows.parquet")
    assert rows.height == 8 * (8 + 21 + 2 + 21)
    assert len(list((undisturbed / "figures").glob("*.svg"))) >= 9
    assert not list(undisturbed.rglob(".*"))


def test_equal_runs_give_equal_rows(undisturbed):
    rows = pl.read_parquet(undisturbed / "rows.parquet")
    assert_frame_equal(run(TINY, quiet=True), rows, check_exact=True)


@pytest.mark.slow
def test_a_rerun_computes_nothing(undisturbed):
    subprocess.run(command(undisturbed), check=True, capture_output=True)
    assert json.loads((undisturbed / "manifest.json").read_text())["cells_computed_now"] == 0


def test_other_options_are_other_cells(tmp_path):
    run_study(TINY, tmp_path, quiet=True)
    again = StudyConfig(**{**TINY.__dict__, "seed": 1})
    other = run_study(again, tmp_path, quiet=True)
    assert_frame_equal(other.rows, run(again, quiet=True), check_exact=True)


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "other format"])
def test_a_damaged_part_is_computed_again(tmp_path, damage, undisturbed):
    run_study(TINY, tmp_path, quiet=True)
    part = sorted((tmp_path / "parts").glob("*.npz"))[3]
    data = bytearray(part.read_bytes())
    if damage == "cut":
        data = data[: len(data) // 2]
    elif damage == "flipped":
        data[len(data) // 2] ^= 255
    elif damage == "empty":
        data = bytearray()
    else:
        data = bytearray(b"PK" + os.urandom(500))
    part.write_bytes(bytes(data))
    result = run_study(TINY, tmp_path, quiet=True)
    rows = pl.read_parquet(undisturbed / "rows.parquet")
    assert_frame_equal(result.rows, rows, check_exact=True)


def test_a_half_written_rows_file_is_replaced(tmp_path, undisturbed):
    run_study(TINY, tmp_path, quiet=True)
    path = tmp_path / "rows.parquet"
    path.write_bytes(path.read_bytes()[:1000])
    (tmp_path / ".rows.parquet.abc").write_bytes(b"left by a killed run")
    run_study(TINY, tmp_path, quiet=True)
    rows = pl.read_parquet(undisturbed / "rows.parquet")
    assert_frame_equal(pl.read_parquet(path), rows, check_exact=True)
    assert not list(tmp_path.glob(".*"))


def computed_now(out):
    """How many cells the manifest says were computed."""
    return json.loads((out / "manifest.json").read_text())["cells_computed_now"]


@pytest.mark.slow
def test_executors_and_shards_give_the_rows_of_each_other(tmp_path):
    def say(name, *more):
        words = command(tmp_path / name, "--quiet", *more)
        return subprocess.run(words, check=True, capture_output=True, text=True).stdout

    say("serial", "--executor", "serial")
    say("process", "--executor", "process")
    assert computed_now(tmp_path / "process") == 8
    assert "the same command gives the report" in say("shards", "--shard", "1/2")
    assert not (tmp_path / "shards" / "rows.parquet").exists()
    assert "the same command" not in say("shards", "--shard", "0/2")
    serial, *others = (
        pl.read_parquet(tmp_path / name / "rows.parquet")
        for name in ("serial", "process", "shards")
    )
    for rows in others:
        assert_frame_equal(rows, serial, check_exact=True)


def test_parts_of_another_fingerprint_are_not_read(tmp_path):
    path = tmp_path / "part.npz"
    save_part(path, {"a": np.arange(3)}, "one")
    assert load_part(path, "one")["a"].tolist() == [0, 1, 2]
    assert load_part(path, "two") is None and load_part(tmp_path / "none", "one") is None


def test_an_unwritable_folder_is_a_sentence(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    with pytest.raises(StudyError, match="choose another --out"):
        run_study(TINY, blocked / "out", quiet=True)
    done = subprocess.run(command(blocked / "out"), capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "choose another --out" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.mount
@pytest.mark.slow
def test_a_full_disk_loses_nothing(tmp_path, undisturbed):
    """A tmpfs with room for some parts only; then it is made larger."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=80k", "tmpfs", disk], check=True)
    try:
        done = subprocess.run(command(disk / "out"), capture_output=True, text=True, check=False)
        assert done.returncode == 2, done.stderr
        assert "No space left" in done.stderr and "run the same command again" in done.stderr
        kept = list((disk / "out" / "parts").glob("*.npz"))
        assert 0 < len(kept) < 8 and not list(disk.rglob(".*.npz.*"))
        subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)
        subprocess.run(command(disk / "out"), check=True, capture_output=True)
        manifest = json.loads((disk / "out" / "manifest.json").read_text())
        assert manifest["cells_computed_now"] == 8 - len(kept)
        table = pl.read_parquet(disk / "out" / "rows.parquet")
        rows = pl.read_parquet(undisturbed / "rows.parquet")
        assert_frame_equal(table, rows, check_exact=True)
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


@pytest.mark.slow
def test_kills_lose_nothing(tmp_path, undisturbed):
    """kill -9 at random moments, each followed by the same command: STEINFLOW_KILLS of them."""
    clock = time.monotonic()
    subprocess.run(command(tmp_path / "timed"), check=True, capture_output=True)
    whole = time.monotonic() - clock
    rng, out = random.Random(5), tmp_path / "killed"
    for _ in range(KILLS):
        process = subprocess.Popen(
            command(out), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        try:
            process.wait(rng.uniform(0.3, 1.0) * whole)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
    subprocess.run(command(out), check=True, capture_output=True)
    keys = ["q", "tau", "num_draws", "estimator", "convention", "c"]
    table = pl.read_parquet(out / "rows.parquet").sort(keys)
    rows = pl.read_parquet(undisturbed / "rows.parquet").sort(keys)
    assert_frame_equal(table, rows, check_exact=True)
    assert not list(out.rglob(".*"))


@pytest.mark.slow
def test_float64_whatever_the_process_uses():
    """The numbers do not depend on the precision of the process that asks."""
    code = (
        "import jax, sys; from steinflow.study import run, StudyConfig;"
        "assert not jax.config.jax_enable_x64;"
        "rows = run(StudyConfig(trials=4, query_points=4, num_draws=(8,), taus=(1.0,),"
        "alphas=(0.8,), families=('bimodal',)), quiet=True); print(repr(rows['mse'][0]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    rows = run(
        StudyConfig(**{**TINY.__dict__, "taus": (1.0,), "families": ("bimodal",)}), quiet=True
    )
    assert float(done.stdout) == rows["mse"][0]


def test_presets_settle():
    for preset, count in (("paper", 64), ("quick", 64), ("levels", 640), ("box", 144)):
        assert len(list(cells(settle(StudyConfig(preset))))) == count


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"preset": "papr"}, "'paper'"),
        ({"families": ("quadratc",)}, "'quadratic'"),
        ({"trials": 1}, "at least two"),
        ({"alphas": (1.0,)}, "alphas must lie"),
        ({"taus": (0.0,)}, "taus must be positive"),
        ({"num_draws": (16, 8)}, "ascend"),
        ({"dims": ()}, "is empty"),
    ],
)
def test_bad_options_are_a_sentence(options, says):
    with pytest.raises(ValueError, match=says):
        settle(StudyConfig(**options))


@pytest.mark.slow
def test_the_bounds_study_measures_the_flux():
    """On a box the bias of the gradient as published is the exact flux; ours has none."""
    config = StudyConfig(
        "box", trials=40, query_points=4, num_draws=(512,), taus=(1.0,), alphas=(0.8,),
        families=("quadratic-at-bound",),
    )  # fmt: skip
    rows = run(config, quiet=True).filter(pl.col("convention") == "calibrated")
    by_name = {row["estimator"]: row for row in rows.to_dicts() if row["c"] is None}
    wrong = by_name["gradient-ignored"]
    assert abs(np.sqrt(wrong["bias2"]) - wrong["flux_norm"]) < 0.1 * wrong["flux_norm"]
    assert wrong["bias2"] > 10 * wrong["bias2_se"]
    right = by_name["gradient"]
    assert abs(right["bias2"]) < 4 * right["bias2_se"]
