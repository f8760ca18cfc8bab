"""Formulas of the pages, and methods that they name."""

import importlib.util

import pytest

from tests.test_docs import DOCS, ROOT, tool

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
    found = formulas.inline(r"Of `$x$` and ($\alpha_i \log p(a \mid x)$), 3 $ or 4 $.")
    assert found.startswith("Of `$x$` and <span class=") and found.endswith("</span> 3 $ or 4 $.")
    assert "</math>),</span>" in found and found.count("<math") == 1
    assert '<mi>log</mi><mspace width="0.167em" /><mi>p</mi>' in found
    assert not set("*_[]|\\") & set(found.replace("$x$", ""))
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
    found = tool("mentions").problems(page, NAMED)
    assert found == [f"{name}: {method} is first named without a link. Write one."]


def test_code_headings_and_pictures_name_no_method(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# SAC\n\n![CrossQ](a.svg)\n\n    steinflow TD3\n\n```\nDDIM\n```\n\nUSAC\n")
    assert tool("mentions").problems(page, NAMED) == []
    page.write_text("# SAC\n\nSAC, then [SAC](https://arxiv.org/abs/1801.01290).\n\nSAC.\n")
    assert tool("mentions").problems(page, NAMED) == []
    page.write_text("# SAC\n\nSAC.\n\nThen [SAC](https://arxiv.org/abs/1801.01290).\n")
    assert len(tool("mentions").problems(page, NAMED)) == 1
