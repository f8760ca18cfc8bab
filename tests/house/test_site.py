"""Formulas of the pages, methods that they name, and results that the code has left behind."""

import importlib.util
from pathlib import Path

import pytest

from benchmarks import provenance

ROOT = next(folder for folder in Path(__file__).parents if (folder / "pyproject.toml").exists())
DOCS = ROOT / "docs"


def tool(name):
    """A script of docs/site."""
    spec = importlib.util.spec_from_file_location(name, DOCS / "site" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *DOCS.rglob("*.md")]
NAMED = tool("mentions").methods((DOCS / "references.bib").read_text("utf-8"))
needs_latex2mathml = pytest.mark.skipif(
    importlib.util.find_spec("latex2mathml") is None, reason="needs steinflow[docs]"
)


@needs_latex2mathml
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_formula_of_the_pages_can_be_set(page):
    assert tool("formulas").problems(page) == []


@needs_latex2mathml
def test_formulas_become_mathml_that_markdown_leaves_alone():
    formulas = tool("formulas")
    result = formulas.inline(r"Of `$x$` and ($\alpha_i \log p(a \mid x)$), 3 $ or 4 $.")
    assert result.startswith("Of `$x$` and <span class=") and result.endswith("</span> 3 $ or 4 $.")
    assert "</math>),</span>" in result and result.count("<math") == 1
    assert '<mi>log</mi><mspace width="0.167em" /><mi>p</mi>' in result
    assert not set("*_[]|\\") & set(result.replace("$x$", ""))
    shown = formulas.block("```math\n\\begin{aligned} a &= \\frac{1}{b} \\end{aligned}\n```")
    assert "<mfrac>" in shown and 'class="formula"' in shown and "<mtable" in shown
    assert formulas.block("```python\nx = 1\n```") == "```python\nx = 1\n```"


@needs_latex2mathml
def test_formulas_that_cannot_be_set_are_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "Of $\\frobnicate x$.\n\n```math\n\\frac{1}{\n```\n\n```text\n$\\nothing$\n```\n"
    )
    first, second = sorted(tool("formulas").problems(page), key=len, reverse=True)
    assert "unknown \\frobnicate" in first and "cannot be read" in second


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_methods_have_a_link_where_a_page_names_them_first(page):
    assert tool("mentions").problems(page, NAMED) == []


@pytest.mark.parametrize(
    ("name", "link", "method"),
    [
        ("choosing.md", "[`idem`](https://arxiv.org/abs/2402.06121)", "idem"),
        ("agent.md", "[XQC](https://arxiv.org/abs/2509.25174)", "XQC"),
        ("tutorial.md", "([DDIM](https://arxiv.org/abs/2010.02502))", "DDIM"),
    ],
)
def test_a_method_whose_link_is_gone_is_found(tmp_path, name, link, method):
    text, page = (DOCS / name).read_text("utf-8"), tmp_path / name
    assert text.count(link) == 1
    page.write_text(text.replace(link, "`idem`" if method == "idem" else method))
    problems = tool("mentions").problems(page, NAMED)
    assert problems == [f"{name}: {method} is first named without a link. Write one."]


def test_code_headings_and_pictures_name_no_method(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# SAC\n\n![CrossQ](a.svg)\n\n    steinflow TD3\n\n```\nDDIM\n```\n\nUSAC\n")
    assert tool("mentions").problems(page, NAMED) == []
    page.write_text("# SAC\n\nSAC, then [SAC](https://arxiv.org/abs/1801.01290).\n\nSAC.\n")
    assert tool("mentions").problems(page, NAMED) == []
    page.write_text("# SAC\n\nSAC.\n\nThen [SAC](https://arxiv.org/abs/1801.01290).\n")
    assert len(tool("mentions").problems(page, NAMED)) == 1


def test_every_result_has_a_row_a_version_and_a_command():
    assert provenance.problems(provenance.recorded(), provenance.TEXTS) == []
    for name in provenance.TABLE:
        command = provenance.TABLE[name].command.split()
        target = f"\n{command[1]}:" in (ROOT / "Makefile").read_text()
        script = len(command) > 1 and (ROOT / command[1]).exists()
        assert target or script or command[0] in ("steinflow", "copied"), name


def test_a_result_without_a_version_and_a_part_without_files_are_found():
    known = provenance.recorded()
    del known["returns.csv"]
    texts = {p: t for p, t in provenance.TEXTS.items() if "/executors/" not in p}
    problems = provenance.problems(known | {"gone.csv": {}}, texts)
    assert [line.split(" ")[0] for line in problems] == ["No", "versions.json", "versions.json"]


PATHS = {
    "returns.csv": "steinflow/rl/critic.py",
    "leaderboard.json": "steinflow/estimators/stein.py",
}


@pytest.mark.parametrize(("name", "path"), PATHS.items())
def test_a_result_is_stale_once_code_that_it_rests_on_has_changed(name, path):
    texts = dict(provenance.TEXTS)
    known = {name: {"now": provenance.version(provenance.row(name).rests_on, texts)}}
    part = "agent" if "/rl/" in path else "estimators"
    assert provenance.changed(name, known, texts) == {}
    texts[path] += "MORE = 1\n"
    assert provenance.changed(name, known, texts) == {"now": [part]}
    del texts[path]
    assert provenance.changed(name, known, texts) == {"now": [part]}


def test_what_changes_no_number_makes_nothing_stale():
    texts = dict(provenance.TEXTS)
    known = {n: {"now": provenance.version(provenance.row(n).rests_on, texts)} for n in PATHS}
    path = "steinflow/estimators/stein.py"
    texts[path] = "# moved\nimport os\n" + texts.pop(path).replace('"""', '"""More. ', 1)
    texts["steinflow/stein.py"] = texts.pop(path)
    texts["steinflow/cli.py"] = "" + texts["steinflow/checks.py"]
    for name in PATHS:
        assert provenance.changed(name, known, texts) == {}


@pytest.fixture
def results(tmp_path, monkeypatch):
    """A folder of results, and a file of their versions."""
    monkeypatch.setattr(provenance, "RESULTS", tmp_path)
    monkeypatch.setattr(provenance, "VERSIONS", tmp_path / "versions.json")
    monkeypatch.setattr(provenance, "COMMIT", "new")
    (tmp_path / "versions.json").write_text("{}")
    return tmp_path


def stamped(path, text, *drawn_from):
    """The commits of a result that is written and stamped."""
    path.write_text(text)
    provenance.stamp(path, *drawn_from)
    return set(provenance.recorded()[provenance.name_of(path)])


def test_a_stamp_names_the_commits_whose_numbers_are_in_a_file(results, monkeypatch):
    path, seeds = results / "soak.json", results / "claim-seeds.json"
    assert stamped(path, "{}") == stamped(seeds, "{}") == {"new"}
    monkeypatch.setattr(provenance, "TEXTS", {"steinflow/levels.py": "x = 1"})
    monkeypatch.setattr(provenance, "COMMIT", "newer")
    assert stamped(path, "{}") == {"newer"}
    assert stamped(seeds, "{}") == {"new", "newer"}  # a rerun keeps its finished seeds
    rows = results / "returns.csv"
    assert stamped(rows, "seed,commit\n0,newer\n1,never-seen\n") == {"newer", "never-seen"}
    assert stamped(rows, "seed,commit\n0,newer\n") == {"newer"}
    assert stamped(results / "evidence.csv", "a,b\n1,2\n", seeds, rows) == {"new", "newer"}


def test_only_published_results_are_stamped(results, tmp_path_factory):
    provenance.stamp(tmp_path_factory.mktemp("elsewhere") / "returns.csv")
    assert provenance.recorded() == {}
    with pytest.raises(ValueError, match="not in the table"):
        stamped(results / "unknown.json", "{}")


def test_pages_say_below_a_table_that_its_results_are_stale(monkeypatch):
    site = tool("results")
    versions = {
        "a.csv": {"abc": ["agent", "samplers"], "def": ["agent"]},
        "figures/b.svg": {"c": ["x"]},
    }
    monkeypatch.setattr(site, "stale", lambda: versions)
    table = "| [a](../benchmarks/results/a.csv) |\n|---|\n| 1 |"
    figure = "![B](figures/b.svg)\n\n*A caption.*"
    fresh = "[other](../benchmarks/results/other.csv)\n"
    blocks = site.noted("\n\n".join([table, figure, fresh])).split("\n\n")
    assert blocks[0] == table and blocks[2] + "\n\n" + blocks[3] == figure and blocks[5] == fresh
    assert blocks[1] == (
        "Computed with an earlier version of the code: `a.csv` (commits abc and def; since then "
        "changed: agent and samplers).\n{ .stale }"
    )
    assert "`b.svg` (commit c; since then changed: x)" in blocks[4] and len(blocks) == 6


def test_the_pages_find_stale_what_the_table_does():
    assert set(provenance.FOLDERS) == {"steinflow", "benchmarks"}
    site, known = tool("results"), provenance.recorded()
    stale = {n for n in known if provenance.changed(n, known, provenance.TEXTS)}
    assert set(site.stale()) == stale
    assert Path(site.provenance.__file__) == Path(provenance.__file__)
