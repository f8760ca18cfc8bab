"""Kind: trackers, which have states, logins and networks of their own."""

import sys
import types

import pytest

from steinflow.cli import main
from steinflow.rl.metrics import TRACKERS, Reporter, TrackerWarning
from tests.rl.strange import FAST

HERE = "tests.rl.strange"

pytestmark = pytest.mark.usefixtures("untyped")


def command(out, *more):
    return ["train", f"{HERE}:Point", *FAST.split(), "--out", str(out), *map(str, more)]


def library(name, calls, **replaced):
    """A tracker's package that keeps what it is told."""
    module = types.ModuleType(name)
    module.init = lambda **about: calls.append(about)
    module.log = lambda record: None
    module.finish = lambda **about: calls.append("finish")
    for key, value in replaced.items():
        setattr(module, key, value)
    return module


# rows 7 and 8


@pytest.mark.slow
def test_a_resumed_run_goes_on_in_its_trackers(tmp_path, monkeypatch):
    """TensorBoard forgets what comes again; W&B has one run a folder; further: so has trackio, and
    another folder has another id."""
    from tensorboardX import SummaryWriter

    opened, wandb, trackio = [], [], []

    class Writer(SummaryWriter):
        def __init__(self, folder, **options):
            opened.append(options)
            super().__init__(folder, **options)

    monkeypatch.setattr("tensorboardX.SummaryWriter", Writer)
    monkeypatch.setitem(sys.modules, "wandb", library("wandb", wandb))
    monkeypatch.setitem(sys.modules, "trackio", library("trackio", trackio))
    track = ["--track", "tensorboard", "wandb", "trackio"]
    run = tmp_path / "run"
    assert main([*command(run, "--steps", 80), *track]) == 0
    assert main([*command(run, "--steps", 96, "--resume"), *track]) == 0
    assert opened == [{}, {"purge_step": 81}]
    first, _, second, _ = wandb
    assert first["id"] == second["id"] and second["resume"] == "allow"
    assert trackio[2]["resume"] == "allow" and "resume" not in trackio[0]
    wandb.clear()
    with TRACKERS["wandb"][0](sys.modules["wandb"], tmp_path, {}):
        pass
    assert wandb[0]["id"] != first["id"]


# row 23


def test_a_tracker_that_does_not_start_leaves_nothing(tmp_path, capsys, monkeypatch):
    """Further: a package that ends Python instead of raising."""
    run, calls = tmp_path / "run", []
    for error in (RuntimeError("api_key not configured (no-tty)"), SystemExit(1)):

        def init(error=error, **about):
            raise error

        monkeypatch.setitem(sys.modules, "wandb", library("wandb", calls, init=init))
        assert main([*command(run, "--steps", 80), "--track", "wandb"]) == 2
        text = capsys.readouterr().err
        assert "wandb does not start" in text and "wandb login" in text
        assert "Traceback" not in text and not (run / "config.toml").exists()
    monkeypatch.setitem(sys.modules, "wandb", library("wandb", calls))
    assert main([*command(run, "--steps", 80), "--track", "wandb"]) == 0


@pytest.mark.slow
def test_a_tracker_that_fails_is_left_out_and_training_ends(tmp_path, monkeypatch):
    """Further: its network breaks in the middle, and when it finishes."""
    calls = []

    def broken(*_, **__):
        calls.append("broken")
        raise ConnectionError("no route to host")

    module = library("trackio", calls, log=broken, finish=broken)
    monkeypatch.setitem(sys.modules, "trackio", module)
    with pytest.warns(TrackerWarning, match="ConnectionError: no route to host"):
        from steinflow.rl.config import TrainConfig
        from steinflow.rl.training import train
        from tests.rl.strange import SMALL, Point

        train(TrainConfig(**SMALL), Point, tmp_path / "run", track="trackio")
    assert calls.count("broken") == 2
    reporter = Reporter("x", lambda record: 1 / 0)
    with pytest.warns(TrackerWarning, match="ZeroDivisionError"):
        reporter({}), reporter({})
