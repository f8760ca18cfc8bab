"""An estimator added by docs/adding-an-estimator.md: the skeleton, copied and installed, is found
by the study, the agent and the diagnosis, with no other edit."""

import importlib
import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import polars as pl
import pytest

import steinflow as sf
from steinflow.io.words import options_of
from steinflow.rl.commands import Train
from steinflow.study.conditions import StudyConfig, settle
from steinflow.study.extras import source

SKELETON = Path(__file__).parent.parent / "docs" / "skeleton"
TRAIN = ["Pendulum-v1", "--steps", "96", "--warmup", "32", "--eval-every", "96", "--log-every",
         "32", "--eval-episodes", "1", "--batch-size", "16", "--actor-batch", "16", "--hidden",
         "16", "--num-levels", "2", "--quiet"]  # fmt: skip
STUDY = ["--trials", "4", "--query-points", "2", "--num-draws", "8", "--taus", "1.0", "--alphas",
         "0.8", "--families", "bimodal", "--quiet"]  # fmt: skip


def install(source, into):
    """What pip does with a pure package, by hand: no build back end, no network."""
    project = tomllib.loads((source / "pyproject.toml").read_text())["project"]
    package = project["name"].replace("-", "_")
    shutil.copytree(source / package, into / package)
    info = into / f"{package}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Name: {project['name']}\nVersion: {project['version']}\n")
    lines = []
    for group, entries in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {value}" for name, value in entries.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")


def python(site, *arguments, **more):
    """A fresh interpreter that sees the installed package."""
    env = os.environ | {"PYTHONPATH": str(site), "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False, **more)


def good(done):
    """What it printed, or why not."""
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def plugin(tmp_path_factory):
    """The skeleton, copied."""
    copy = tmp_path_factory.mktemp("copy") / "mine"
    shutil.copytree(SKELETON, copy)
    return copy


@pytest.fixture(scope="module")
def site(plugin, tmp_path_factory):
    """A folder that it is installed in."""
    into = tmp_path_factory.mktemp("site")
    install(plugin, into)
    return into


def test_it_is_listed(site):
    assert "level-blend" in good(python(site, "-m", "steinflow", "list"))


def test_its_own_tests_pass_whichever_is_imported_first(site, plugin):
    good(python(site, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests", cwd=plugin))


@pytest.mark.slow
def test_the_study_takes_it(site, tmp_path):
    study = ["-m", "steinflow", "study", *STUDY, "--out"]
    good(python(site, *study, tmp_path / "with", "--estimators", "level-blend", "cvsi"))
    rows = pl.read_parquet(tmp_path / "with" / "rows.parquet")
    added = rows.filter(pl.col("estimator") == "level-blend").row(0, named=True)
    assert added["convention"] == "calibrated" and 0.0 < added["eed"] < 1e4
    assert "level-blend" in (tmp_path / "with" / "report.html").read_text()
    assert rows.filter(pl.col("estimator") == "cvsi").height == 1


@pytest.mark.slow
def test_the_agent_and_the_diagnosis_take_it(site, tmp_path, monkeypatch):
    """One tiny run, loaded again, diagnosed, and opened where the package is missing."""
    run, out = tmp_path / "run", tmp_path / "diagnosis"
    train = ["-m", "steinflow", "train", *TRAIN, "--estimator", "level-blend", "--out", run]
    good(python(site, *train))
    assert estimator_of(site, run) == "level-blend"
    code = (
        "import sys, steinflow as sf; from steinflow.cli import main;"
        "[sf.ESTIMATORS.pop(name) for name in set(sf.ESTIMATORS) - {'level-blend', 'noise'}];"
        "sys.exit(main(sys.argv[1:]))"  # a minute less than with all of them
    )
    few = ["--states", "8", "--trials", "2", "--quiet", "--apply", "--out", out]
    assert "level-blend" in good(python(site, "-c", code, "diagnose", run, *few))
    assert "level-blend" in (out / "report.html").read_text()
    chosen = tomllib.loads((out / "recommended.toml").read_text())
    monkeypatch.setitem(sf.ESTIMATORS, "level-blend", sf.ESTIMATORS["blend"])
    taken = Train(**options_of(Train, out / "recommended.toml"))
    best = json.loads((out / "diagnosis.json").read_text())["best"]
    assert (taken.estimator, taken.num_draws) == (best["estimator"], best["num_draws"])
    assert str(taken.out) == chosen.pop("out") == f"{run}-recommended"
    assert all(getattr(taken, name) == sized(value) for name, value in chosen.items())
    done = python(tmp_path / "nothing", "-m", "steinflow", "eval", run)
    assert done.returncode == 2 and "Unknown estimator 'level-blend'" in done.stderr
    assert "Traceback" not in done.stderr


def sized(value):
    """A value of a TOML file as the option's type."""
    return tuple(value) if isinstance(value, list) else value


def estimator_of(site, run):
    """The estimator of a run as it is loaded."""
    code = "import sys, steinflow as sf; print(sf.load(sys.argv[1]).config.estimator)"
    return good(python(site, "-c", code, run)).strip()


def test_a_broken_package_is_one_warning_and_no_more(tmp_path):
    entries = {
        "gone": ("mine = nowhere.to_be:FOUND", "'mine' of gone is left out: ModuleNotFoundError"),
        "again": ("noise = json:loads", "'noise' of again is left out: the name is taken"),
        "other": ("odd = json:loads", "'odd' of other is left out: TypeError: json:loads is no"),
    }
    for package, (entry, _) in entries.items():
        info = tmp_path / f"{package}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Name: {package}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[steinflow.estimators]\n{entry}\n")
    done = python(tmp_path, "-c", "import steinflow as sf; print(sorted(sf.ESTIMATORS))")
    assert "'noise'" in good(done) and "mine" not in done.stdout and "odd" not in done.stdout
    assert done.stderr.count("Warning: ") == 3
    assert all(said in done.stderr for _, said in entries.values())


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (("cvsj",), "Unknown estimator 'cvsj'. Did you mean 'cvsi'"),
        (("auto",), "auto has a row already"),
        (("cvsi", "cvsi"), "cvsi has a row already"),
    ],
)
def test_estimators_that_a_study_cannot_add_are_a_sentence(names, says):
    with pytest.raises(ValueError, match=says):
        settle(StudyConfig(estimators=names))


def test_numbers_of_other_code_are_never_read(tmp_path, monkeypatch):
    """The hash that names a cell's numbers follows the code and the settings of an estimator."""
    code = tmp_path / "own.py"
    code.write_text(
        "from steinflow.estimators import NoiseExpectation\nclass Own(NoiseExpectation): pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    own = importlib.import_module("own").Own()
    monkeypatch.setitem(sf.ESTIMATORS, "own", sf.Method(None, own))
    monkeypatch.setitem(sf.ESTIMATORS, "half", sf.Method(None, sf.Blend(0.5)))
    first, half = source("own"), source("half")
    assert source("own") == first and source("half") == half
    code.write_text(code.read_text() + "\n")
    monkeypatch.setitem(sf.ESTIMATORS, "half", sf.Method(None, sf.Blend(0.4)))
    assert source("own") != first and source("half") != half
