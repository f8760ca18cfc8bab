"""The report as a reader meets it."""

import re
import subprocess
from html.parser import HTMLParser

import pytest

from steinflow.study.conditions import StudyConfig
from steinflow.study.report import render, write
from steinflow.study.run import run_study

pytestmark = pytest.mark.slow

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
