"""The page of the API: each name of docs/api.md with its signature and its docstring.

A line "- [`sf.name`](../path.py)" becomes a section. Docstrings are read as this project writes
them: paragraphs, lists, "Approximates: ..." and "Args:" with one entry a line.
"""

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator
from functools import reduce
from typing import Any

import steinflow

LINE = re.compile(r"^- \[`(sf\.[\w.]+)`\]\((\S+)\)$", re.M)
ENTRIES = ("Args", "Attributes", "Raises", "Returns")


def expanded(text: str) -> str:
    """The page with a section for each name that it lists."""
    return LINE.sub(lambda match: section(match[1], match[2]), text)


def thing(name: str) -> Any:
    """What a name of the page stands for; sf.diagnosis and the like are imported."""
    return reduce(getattr, name.split(".")[1:], steinflow)


def section(name: str, path: str) -> str:
    """A heading, how it is called, what it says of itself, and its fields."""
    what = thing(name)
    parts = [f"### `{name}` {{ #{name} }}"]
    if callable(what):
        parts += [f"```python\n{name}{signature(what)}\n```"]
        parts += [documented(inspect.getdoc(what) or ""), fields(what), methods(what)]
    elif isinstance(what, dict):
        parts += ["Names: " + ", ".join(f"`{key}`" for key in what) + "."]
    else:
        parts += [documented(inspect.getdoc(what) or "")]
    return "\n\n".join(part for part in [*parts, f"[Source]({path})"] if part) + "\n"


def syntax(what: Any) -> Any:
    """The syntax tree of a class or function."""
    return ast.parse(textwrap.dedent(inspect.getsource(what))).body[0]


def signature(what: Any) -> str:
    """(arguments) -> result as they are written, an argument a line where they are long."""
    node = syntax(what)
    if isinstance(node, ast.ClassDef):
        functions = [line for line in node.body if isinstance(line, ast.FunctionDef)]
        first = [line for line in functions if line.name == "__init__"]
        if not first:
            return laid_out([ast.unparse(plain(line)) for line in declared(node)], "")
        node = first[0]
    arguments = ast.unparse(node.args).removeprefix("self, ").removeprefix("self")
    result = f" -> {ast.unparse(node.returns)}" if node.returns and node.name != "__init__" else ""
    return laid_out(split(arguments), result)


def declared(node: ast.ClassDef) -> Iterator[ast.AnnAssign]:
    """The fields of a class that are given when one is made."""
    for line in node.body:
        if isinstance(line, ast.AnnAssign) and "ClassVar" not in ast.unparse(line.annotation):
            yield line


def plain(line: ast.AnnAssign) -> ast.AnnAssign:
    """A field without what Equinox is told about it."""
    value = line.value
    if isinstance(value, ast.Call) and ast.unparse(value.func) == "eqx.field":
        value = next((word.value for word in value.keywords if word.arg == "default"), None)
    return ast.AnnAssign(line.target, line.annotation, value, line.simple)


def split(arguments: str) -> list[str]:
    """Arguments apart, at commas outside of brackets and strings."""
    return [part.strip() for part in re.split(r",\s*(?![^\[\(]*[\]\)])", arguments) if part]


def laid_out(arguments: list[str], result: str) -> str:
    """Arguments in brackets: on one line, or a line each."""
    one = f"({', '.join(arguments)}){result}"
    if len(one) < 76:
        return one
    return "(\n" + "".join(f"    {argument},\n" for argument in arguments) + f"){result}"


def fields(what: Any) -> str:
    """A table of the fields that say what they mean, in a comment or in a string below."""
    if not inspect.isclass(what):
        return ""
    text = textwrap.dedent(inspect.getsource(what)).splitlines()
    body = syntax(what).body
    rows = []
    for line, after in zip(body, [*body[1:], None], strict=True):
        if not isinstance(line, ast.AnnAssign):
            continue
        meaning = text[line.end_lineno - 1].partition("  # ")[2]  # type: ignore[operator]
        if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            meaning = " ".join(str(after.value.value).split())
        value = f"`{ast.unparse(line.value)}`" if line.value else ""
        if meaning:
            rows.append(f"| `{ast.unparse(line.target)}` | {value} | {escaped(meaning)} |")
    return "\n".join(["| field | default | |", "|---|---|---|", *rows]) if rows else ""


def methods(what: Any) -> str:
    """The public methods of a class that have a docstring of their own, signatures first."""
    if not inspect.isclass(what) or not what.__module__.endswith((".run", "methods")):
        return ""
    items = []
    for name, member in vars(what).items():
        if inspect.isfunction(member) and not name.startswith("_") and member.__doc__:
            head = f"`.{name}{signature(member)}`".replace("\n    ", "").replace(",\n)", ")")
            items.append(f"- {head}: {escaped(' '.join(first_paragraph(member).split()))}")
    return "\n".join(items)


def first_paragraph(member: Any) -> str:
    """What a docstring begins with."""
    return (inspect.getdoc(member) or "").split("\n\n")[0]


def documented(text: str) -> str:
    """A docstring as Markdown."""
    blocks = [block for paragraph in text.split("\n\n") for block in titled(paragraph)]
    return "\n\n".join(blocks)


def titled(paragraph: str) -> Iterator[str]:
    """A paragraph; one of "Title: ..." lines, each with what is indented below it."""
    lines = paragraph.splitlines()
    if all(line.startswith(" ") for line in lines):
        yield f"```text\n{textwrap.dedent(paragraph)}\n```"
        return
    title = re.compile(r"^([A-Z]\w+):(?: (.*))?$")
    if not title.match(lines[0]):
        yield escaped("\n".join(lines))
        return
    groups: list[tuple[str, list[str]]] = []
    for line in lines:
        if match := title.match(line):
            groups.append((match[1], [match[2]] if match[2] else []))
        else:
            groups[-1][1].append(line)
    for name, below in groups:
        if name in ENTRIES:
            yield f"**{name}**\n\n{entries(below)}"
        else:
            yield f"**{name}.** {escaped(' '.join(line.strip() for line in below))}"


def entries(lines: list[str]) -> str:
    """Entries "name: meaning", indented, as a list."""
    items: list[str] = []
    for line in textwrap.dedent("\n".join(lines)).splitlines():
        if line.startswith(" ") and items:
            items[-1] += " " + line.strip()
        else:
            items.append(line)
    shown = []
    for line in items:
        match = re.match(r"^([\w, *]+): (.*)$", line)
        shown.append(f"- `{match[1]}`: {escaped(match[2])}" if match else f"- {escaped(line)}")
    return "\n".join(shown)


def escaped(text: str) -> str:
    """Text whose letters mean themselves, but for `code`."""
    parts = re.split(r"(`[^`]*`)", text)
    marks = re.compile(r"([*_\[\]|\\])")
    plain = lambda part: marks.sub(r"\\\1", part).replace("<", "&lt;")  # noqa: E731
    return "".join(part if part.startswith("`") else plain(part) for part in parts)
