"""Methods of papers that a page names: where it names one first, it has a link to the paper.

Names are the keywords of docs/references.bib. One in lower case counts as a code span alone. Code
and headings are left out, and so are the list of papers itself and the generated page of the API.
"""

import re
from pathlib import Path
from typing import NamedTuple

ENTRY = re.compile(r"^@\w+\{\w+,\n(.*?)^\}", re.M | re.S)
FIELD = re.compile(r"^  (\w+) = \{(.*?)\},$", re.M | re.S)
NOT_PROSE = re.compile(  # fences, other blocks of code, headings, pictures
    r"^( *)```[\s\S]*?^\1```$|(?<=\n\n)(?:    .*\n)+|^#+ .*$|!\[[^\]]*\]\([^)]*\)", re.M
)
EXEMPT = ("references.md", "api.md")
BLOCKS = re.compile(r"\n(?:\s*\n)+|\n(?=\|)|\n(?=\s*[-*] )")  # paragraphs, rows, items
LINK = re.compile(r"\]\(([^)\s]+)\)")
CODE = re.compile(r"`[^`]*`")
PREFIX = {"eprint": "https://arxiv.org/abs/", "doi": "https://doi.org/", "url": ""}


class Method(NamedTuple):
    """What a paper's method is called, and where a link may lead to."""

    names: tuple[str, ...]
    addresses: tuple[str, ...]


def methods(bibliography: str) -> list[Method]:
    """The methods of a file of BibTeX: its entries with keywords."""
    result = []
    for entry in ENTRY.findall(bibliography):
        fields = dict(FIELD.findall(entry))
        if "keywords" in fields:
            names = tuple(re.split(r",\s+", fields["keywords"]))
            links = tuple(PREFIX[name] + fields[name] for name in PREFIX if name in fields)
            result.append(Method(names, links))
    return result


def problems(page: Path, named: list[Method]) -> list[str]:
    """The methods that a page names first in a paragraph, item or row without a link to them."""
    if page.name in EXEMPT:
        return []
    text = NOT_PROSE.sub(lambda match: "\n" * match[0].count("\n"), page.read_text("utf-8"))
    missing = []
    for method in named:
        first = next((block for block in BLOCKS.split(text) if mentioned(method, block)), "")
        links = [link for link in LINK.findall(first) if leads_to(method, link)]
        if first and not links:
            name = mentioned(method, first)
            missing.append(f"{page.name}: {name} is first named without a link. Write one.")
    return missing


def leads_to(method: Method, link: str) -> bool:
    """Whether a link leads to the paper, or to the list of papers."""
    return link in method.addresses or Path(link.partition("#")[0]).name == "references.md"


def mentioned(method: Method, block: str) -> str:
    """The name by which a block names a method; none is an empty text."""
    prose = LINK.sub("]", CODE.sub("", block))
    for name in method.names:
        if name.islower() and " " not in name:
            is_named = f"`{name}`" in block
        else:
            is_named = re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", prose, re.I) is not None
        if is_named:
            return name
    return ""
