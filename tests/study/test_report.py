"""The report and the command line, as a reader and a user meet them."""

import re
import subprocess
import sys
from html.parser import HTMLParser

import polars as pl
import pytest

from steinflow.cli import main
from steinflow.study.conditions import StudyConfig
from steinflow.study.pages import latex_of
from steinflow.study.report import render, write
from steinflow.study.run import run_study

TINY = StudyConfig(trials=4, query_points=4, num_draws=(8, 16))


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A report of a tiny study of the paper's conditions."""
    study = run_study(TINY, None, quiet=True)
    return study, write(study, tmp_path_factory.mktemp("page"), "steinflow study --trials 4")


def test_the_report_is_self_contained_and_starts_with_the_verdicts(page):
    study, path = page
    text = path.read_text()
    assert not re.search(r'(src|href)="(?!data:)', text) and "<script" not in text
    assert text.index("The verdicts") < text.index("Which estimator?") < text.index("<figure")
    for claim in study.claims:
        assert claim["verdict"] in text and f'id="{claim["id"]}"' in text
    assert "steinflow study --trials 4" in text
    parser = HTMLParser()
    parser.feed(text)


def test_words_of_a_user_are_escaped(page):
    text = render(page[0], [], "steinflow study --out '<script>alert(1)</script>'")
    assert "<script>" not in text and "&lt;script&gt;" in text


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 400])
def test_nothing_is_cut_off_in_a_browser(page, tmp_path, width):
    """Chromium lays the page out in a frame of that width: it must not scroll sideways."""
    frame = tmp_path / "frame.html"
    frame.write_text(
        f"<body style='margin:0'><iframe id=f src='file://{page[1]}' width={width} height=900>"
        "</iframe><script>f.onload=()=>{const d=f.contentDocument.documentElement;"
        "document.title=d.scrollWidth+' '+d.clientWidth+' '+"
        "[...f.contentDocument.images].every(i=>i.complete&&i.naturalWidth>0)+' '+"
        "f.contentDocument.images.length;}</script>"
    )
    done = subprocess.run(
        ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
         "--no-first-run", "--disable-background-networking", "--disable-component-update",
         "--disable-sync", "--allow-file-access-from-files", f"--user-data-dir={tmp_path}/profile",
         "--virtual-time-budget=5000", "--dump-dom", f"file://{frame}"],
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    title = re.search(r"<title>(.*?)</title>", done.stdout)
    assert title, done.stdout[:500]
    scroll, client, images, count = title.group(1).split()
    assert int(scroll) <= int(client) and images == "true" and int(count) >= 9


def test_the_command_line(capsys, tmp_path):
    assert main(["list"]) == 0 and "multimodal" in capsys.readouterr().out
    assert main(["doctor"]) == 0
    said = capsys.readouterr().out
    for what in ("Python", "jax", "device", "GL", "ffmpeg", "ray", "Next:"):
        assert what in said
    assert main(["study", "--preset", "papr", "--out", str(tmp_path)]) == 2
    assert "Did you mean 'paper'?" in capsys.readouterr().err


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
    said = capsys.readouterr().out
    assert "incomplete" in said and f"Open {tmp_path}/out/report.html" in said
    assert '"trials": 4' in (tmp_path / "out" / "config.json").read_text()


def test_a_misspelt_flag_is_refused():
    done = subprocess.run(
        [sys.executable, "-m", "steinflow", "study", "--trails", "3"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2 and "--trials" in done.stdout + done.stderr


def test_a_paper_gets_vectors_and_tables(page, tmp_path):
    study, _ = page
    write(study, tmp_path, "steinflow study --style paper", paper=True)
    drawn = {path.name for path in (tmp_path / "figures").iterdir()}
    assert {name.rsplit(".", 1)[0] + ".pdf" for name in drawn} <= drawn
    assert (tmp_path / "figures" / "fig9-coverage.pdf").read_bytes().startswith(b"%PDF")
    text = (tmp_path / "tables" / "claims.tex").read_text()
    assert text.startswith(r"\begin{tabular}{lllll}") and r"\%" in text and " % " not in text
    assert text.count(r"\\") == 1 + len(study.claims)
    lines = (tmp_path / "tables" / "estimators.csv").read_text().splitlines()
    assert lines[0].startswith("estimator,") and any(line.startswith("auto,") for line in lines)
    assert latex_of(pl.DataFrame({"a_b": ["5 % & {x}"], "n": [3]})) == (
        "\\begin{tabular}{lr}\n\\toprule\na\\_b & n \\\\\n\\midrule\n5 \\% \\& \\{x\\} & 3 \\\\\n"
        "\\bottomrule\n\\end{tabular}\n"
    )
