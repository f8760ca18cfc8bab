"""The limits of prose outside docs/lab: short paragraphs, few numbers, lines of 120 characters."""

import re
from collections.abc import Iterator
from pathlib import Path

BESIDE = ("README.md", "CONTRIBUTING.md", "SECURITY.md")  # pages that are not in docs/
MAX_WORDS = 100  # a paragraph or an item of a list
MAX_NUMBERS = 6  # of these, outside code and links' addresses
MAX_LINE = 120  # characters
CODE = re.compile(r"`[^`]*`|\$[^$\n]*\$|\]\([^)]*\)|</?[a-z][^>\n]*>")
NUMBER = re.compile(r"(?<![\w.])[-+±]?(?:\d[\d,]*\.?\d*|\.\d+)")
ITEM = re.compile(r"\s*(?:[-*]|\d+\.)\s")
OTHER = re.compile(r"#+ |\||<|!\[|\$\$|---")  # headings, tables, tags, pictures, formulas
YEAR = re.compile(r"\b(?:19[6-9]|20[12])\d\b")


def problems(page: Path) -> list[str]:
    """What is too long on one page, each with its line."""
    sentences = []
    for line, text in paragraphs(page.read_text("utf-8").splitlines()):
        plain = CODE.sub(" ", text)
        words, numbers = len(plain.split()), len(NUMBER.findall(YEAR.sub("", plain)))
        if words > MAX_WORDS:
            sentences.append(f"{page.name}:{line}: a paragraph of {words} words. Split it.")
        if numbers > MAX_NUMBERS:
            sentences.append(f"{page.name}:{line}: {numbers} numbers. Make a table of them.")
        long = max((len(row) for row in text.split("\n") if " " in row), default=0)
        if long > MAX_LINE:
            sentences.append(f"{page.name}:{line}: a line of {long} characters. Break it.")
    return sentences


def paragraphs(lines: list[str]) -> Iterator[tuple[int, str]]:
    """Paragraphs and items of lists with the number of their first line, without code, tables,
    headings and display formulas."""
    block: list[str] = []
    first, fence, formula = 1, False, False
    for number, line in enumerate([*lines, ""], 1):
        mark = line.strip()
        if mark.startswith(("```", "~~~")) and mark.count("```") != 2:
            fence = not fence
        if mark.count("$$") == 1:
            formula = not formula
        code = fence or mark.startswith("```") or (line.startswith("    ") and not block)
        other = not mark or code or formula or OTHER.match(mark) is not None
        if (other or ITEM.match(line)) and block:
            yield first, "\n".join(block)
            block = []
        if not other:
            first = first if block else number
            block.append(line)
