"""`steinflow study`: its options."""

import subprocess
import sys

import pytest

from steinflow.cli import main


@pytest.mark.slow
def test_a_config_file(capsys, tmp_path):
    bad = tmp_path / "bad.toml"
    bad.write_text("trails = 3\n")
    assert main(["study", "--config", str(bad)]) == 2
    assert "Did you mean 'trials'?" in capsys.readouterr().err
    assert main(["study", "--config", str(tmp_path / "none.toml")]) == 2
    good = tmp_path / "good.toml"
    good.write_text(
        "trials = 3\nquery_points = 2\nnum_draws = [8]\ntaus = [1.0]\nalphas = [0.8]\n"
        f"families = ['bimodal']\nout = '{tmp_path}/out'\n"
    )
    assert main(["study", "--config", str(good), "--trials", "4", "--quiet"]) == 0
    output = capsys.readouterr().out
    assert "incomplete" in output and f"Open {tmp_path}/out/report.html" in output
    assert '"trials": 4' in (tmp_path / "out" / "config.json").read_text()


@pytest.mark.slow
def test_a_misspelt_flag_is_refused():
    done = subprocess.run(
        [sys.executable, "-m", "steinflow", "study", "--trails", "3"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2 and "--trials" in done.stdout + done.stderr
