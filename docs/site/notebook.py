"""A page of Markdown as a notebook: its blocks of Python are cells, everything else is text."""

import json
import re
import sys
from pathlib import Path
from typing import Any

BLOCK = re.compile(r"^```python[^\n]*\n(.*?)^```$", re.M | re.S)


def cells(text: str) -> list[dict[str, Any]]:
    """The cells of a page, in order."""
    result: list[dict[str, Any]] = []
    for number, part in enumerate(BLOCK.split(text)):
        lines = part.strip("\n").splitlines(keepends=True)
        if not lines:
            continue
        cell: dict[str, Any] = {"id": f"cell-{number}", "metadata": {}, "source": lines}
        if number % 2:
            cell |= {"cell_type": "code", "execution_count": None, "outputs": []}
        result.append(cell if number % 2 else cell | {"cell_type": "markdown"})
    return result


def write(page: Path, out: Path) -> None:
    """A notebook of format 4.5."""
    python = {"display_name": "Python 3", "language": "python", "name": "python3"}
    content = {
        "cells": cells(page.read_text("utf-8")),
        "metadata": {"kernelspec": python, "language_info": {"name": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    out.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]), Path(sys.argv[2]))
