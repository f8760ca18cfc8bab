"""The pages of docs/: links, names and verdicts agree with what they are about; the site builds."""

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import steinflow as sf
from steinflow.study.report import MEANING

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]
BUILT = {"explorer.html", "tutorial.ipynb"}  # by make docs
CODE = re.compile(r"^( *)```.*?^\1```$", re.M | re.S)


def tool(name):
    """A script of docs/site."""
    spec = importlib.util.spec_from_file_location(name, DOCS / "site" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_of_the_repository(page):
    for link in re.findall(r"\]\((?!\w+:|#)([^)\s#]+)", CODE.sub("", page.read_text())):
        assert link in BUILT or (page.parent / link).exists(), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_prose_is_short(page):
    assert tool("prose").problems(page) == []


def test_long_prose_is_found(tmp_path):
    page, words = tmp_path / "page.md", "word " * 19 + "word\n"
    page.write_text(5 * words + "\n" + "1, 2 and 3\n4, .5, 6.\n\n" + "| 1 | 2 |\n" * 9)
    assert tool("prose").problems(page) == []
    page.write_text(5 * words + "one\n\n" + "- 1, 2, 3, 4,\n  5, -6.5, 7e3\n\n" + "long " * 25)
    problems = tool("prose").problems(page)
    assert [problem.split(": ")[0] for problem in problems] == [
        "page.md:1", "page.md:8", "page.md:11"
    ]  # fmt: skip


def test_every_page_is_in_the_navigation():
    text = (DOCS / "site" / "zensical.toml").read_text()
    assert [page.name for page in PAGES[1:] if f'"{page.name}"' not in text] == []


def test_the_api_page_has_every_public_name_and_its_file():
    listed = dict(
        re.findall(r"^- \[`sf\.([\w.]+)`\]\((\S+)\)$", (DOCS / "api.md").read_text(), re.M)
    )
    assert set(sf.__all__) <= set(listed)
    for name, path in listed.items():
        last = name.split(".")[-1]
        defined = rf"^(def|class) {last}\b|^{last}\b.*=|^\"\"\""
        assert re.search(defined, (DOCS / path).read_text(), re.M), name


def test_the_verdicts_are_those_of_the_study():
    """claims.md has the verdicts of seed 0, what they mean, and the counts over ten seeds."""
    seeds = json.loads((ROOT / "benchmarks" / "results" / "claim-seeds.json").read_text())
    rows = [line.split("|")[1:-1] for line in (DOCS / "claims.md").read_text().splitlines()]
    table = {row[0].strip(): [cell.strip() for cell in row[2:]] for row in rows if len(row) == 4}
    verdicts = seeds["0"]
    assert set(table) >= set(verdicts) and len(table) == len(verdicts) + 2
    for name, verdict in verdicts.items():
        assert table[name] == [verdict, MEANING[name][verdict]], name
    over = {name: [seed[name] for seed in seeds.values()] for name in verdicts}
    assert all(len(result) == 10 and len(set(result)) == 1 for result in over.values())


def test_the_notebook_is_the_tutorial(tmp_path):
    tool("notebook").write(DOCS / "tutorial.md", tmp_path / "tutorial.ipynb")
    content = json.loads((tmp_path / "tutorial.ipynb").read_text())
    cells = ["".join(c["source"]) for c in content["cells"] if c["cell_type"] == "code"]
    page = (DOCS / "tutorial.md").read_text()
    assert len(cells) == page.count("```python") and all(cell in page for cell in cells)
    compile("\n".join(cells), "tutorial", "exec")
    assert content["nbformat"] == 4 and len({c["id"] for c in content["cells"]}) == len(
        content["cells"]
    )


def test_dead_links_and_foreign_assets_are_found(tmp_path):
    (tmp_path / "a.html").write_text(
        "<p id=here><a href='#here'></a><a href='#gone'></a><a href='b.html'></a>"
        "<script src='https://cdn.example/x.js'></script>"
    )
    problems = tool("links").problems(tmp_path)
    assert [line.split(":")[0] for line in problems] == [
        "dead anchor",
        "dead link",
        "loaded from elsewhere",
    ]


@pytest.mark.skipif(importlib.util.find_spec("latex2mathml") is None, reason="needs [docs]")
def test_the_site_builds_strictly(tmp_path):
    code = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[1]); import build;"
        "build.WORK, build.SITE = Path(sys.argv[2]) / 'work', Path(sys.argv[2]) / 'site';"
        "sys.exit(build.main())"
    )
    command = [sys.executable, "-c", code, str(DOCS / "site"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "No dead link" in done.stdout
    api = (tmp_path / "site" / "api.html").read_text()
    assert all(f'id="sf.{name}"' in api for name in sf.__all__)
    assert "<input" in (tmp_path / "site" / "explorer.html").read_text()
    assert "Approximates." in api and (tmp_path / "site" / "tutorial.ipynb").exists()
