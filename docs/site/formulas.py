"""Formulas of a page as MathML: `$...$` within a line, and blocks that begin with ```math."""

import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from latex2mathml.converter import convert

BLOCK = re.compile(r"^```math\n(.*?)^```$", re.M | re.S)
FENCE = re.compile(r"^( *)```.*?^\1```$", re.M | re.S)
CODE = r"(?P<code>(?P<ticks>`+)(?!`).*?(?<!`)(?P=ticks)(?!`))"
INLINE = re.compile(
    CODE + r"|(?P<before>\(?)\$(?P<tex>[^\s$`](?:[^$`\n]*[^\s$`])?)\$(?P<after>[.,;:)]*)", re.S
)
NAMESPACE = ' xmlns="http://www.w3.org/1998/Math/MathML"'
ROWS = ("math", "mrow", "mtd", "mstyle")
SILENT = (")", "]", "}", "\u2207", "\u2202")  # signs without a space after them
PRIMES = ("\u2032", "\u2033")
BARS = ("|", "\u2016")
SIGNS = ("~", "\u00b1", "\u00b7", ";")
SCRIPTS = ("msub", "msup", "msubsup", "munder", "mover", "munderover")


def problems(page: Path) -> list[str]:
    """The formulas of a page that cannot be set."""
    text = page.read_text("utf-8")
    in_text = [match["tex"] for match in INLINE.finditer(FENCE.sub("", text)) if match["tex"]]
    every = BLOCK.findall(text) + in_text
    return [f"{page.name}: {error}" for tex in every for error in unknown(tex)]


def unknown(tex: str) -> Iterator[str]:
    """Why a formula cannot be set, if it cannot."""
    try:
        mathml(tex, "block")
    except ValueError as error:
        yield str(error)


def inline(text: str) -> str:
    """A text without fences, its formulas as MathML; code stays."""
    return INLINE.sub(lambda match: match["code"] or span(**match.groupdict()), text)


def span(before: str, tex: str, after: str, **_: str) -> str:
    """A formula within a line and the punctuation that must not leave it.

    Markdown would take a line that begins with `<math>` for a paragraph of its own.
    """
    return f'<span class="formula">{before}{mathml(tex, "inline")}{after}</span>'


def block(fence: str) -> str:
    """A fence; one of a formula becomes MathML that can be scrolled."""
    match = BLOCK.fullmatch(fence)
    return f'<div class="formula">{mathml(match[1], "block")}</div>' if match else fence


def mathml(tex: str, display: str) -> str:
    """MathML without a letter that Markdown could take for its own.

    Raises:
        ValueError: the formula has an error or an unknown command.
    """
    try:
        text = convert(tex.strip().replace("{aligned}", "{align*}"), display=display)
        tree = ElementTree.fromstring(text.replace(NAMESPACE, ""))
    except Exception as error:
        raise ValueError(f"The formula {tex.strip()!r} cannot be read. Mend it.") from error
    mend(tree)
    if commands := [each.text for each in tree.iter() if "\\" in (each.text or "")]:
        raise ValueError(f"The formula {tex.strip()!r} has the unknown {commands[0]}. Mend it.")
    markup = ElementTree.tostring(tree).decode()
    return re.sub(r">([^<]+)<", lambda match: f">{coded(match[1])}<", markup)


def coded(text: str) -> str:
    """Text as character references where it is neither a letter, a digit, nor one already."""
    return re.sub(r"[^a-zA-Z0-9&#; ]", lambda match: f"&#{ord(match[0])};", text)


def mend(tree: Element) -> None:
    """What latex2mathml leaves: signs that are no operators, and functions without space."""
    for each in tree.iter():
        if each.tag == "mi" and each.text in SIGNS:
            each.tag, each.text = "mo", each.text.replace("~", "\u223c")
        elif is_name(each) and each.tag == "mo":
            each.tag = "mi"
        elif each.tag == "mo" and each.text == "/":
            each.attrib |= {"lspace": "0", "rspace": "0"}
        elif each.tag == "mo" and each.text in BARS and "fence" not in each.attrib:
            each.attrib["stretchy"] = "false"
        elif each.tag in ("msup", "msubsup") and each[-1].text in PRIMES:
            under = Element("msub")
            under[:] = each[:-1]
            each[:] = [under if each.tag == "msubsup" else each[0], each[-1]]
            each.tag = "mrow"  # a prime is raised already
    for row in [each for each in tree.iter() if each.tag in ROWS]:
        spaced: list[Element] = []
        for each in row:
            before = spaced[-1] if spaced else None
            if before is not None and are_apart(before, each):
                spaced.append(Element("mspace", width="0.167em"))
            spaced.append(each)
        row[:] = spaced


def are_apart(before: Element, each: Element) -> bool:
    """Whether a thin space is missing: next to the name of a function, where no sign brings one."""
    silent = not is_sign(before) or base(before).text in SILENT
    return silent and not is_sign(each) and (is_name(each) or is_name(before))


def is_name(each: Element) -> bool:
    """Whether it is the name of a function, as log is, perhaps with scripts."""
    text = base(each).text or ""
    return base(each).tag in ("mi", "mo") and len(text) > 1 and text.isalpha()


def is_sign(each: Element) -> bool:
    """Whether it brings its own space, as an operator does."""
    return base(each).tag in ("mo", "mspace")


def base(each: Element) -> Element:
    """What scripts are attached to."""
    return base(each[0]) if each.tag in SCRIPTS else each
