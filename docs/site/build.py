"""The site from docs/*.md, the docstrings and the repository's files, strictly.

make docs      # build/docs/index.html
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import api
import formulas
import links
import mentions
import notebook
import prose
import results

from steinflow.explorer import write as write_explorer

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
DOCS = ROOT / "docs"
WORK = ROOT / "build" / "site"
SITE = ROOT / "build" / "docs"
FENCE = re.compile(r"^( *```\w+) .*$", re.M)
NAMED = re.compile(r"\[([\w-]+)\.md\]\(")
LINK = re.compile(r"\]\((?!\w+:|#)([^)\s#]+)(#[^)\s]*)?\)")
CODE = re.compile(r"^( *)```.*?^\1```$", re.M | re.S)
LANGUAGES = {".py": "python", ".md": "markdown", ".toml": "toml", ".json": "json"}


def main() -> int:
    """Check the pages, write the sources, build them strictly, check every link; 1 if one fails."""
    if problems := [*checked(), *results.problems()]:
        print("\n".join(problems), file=sys.stderr)
        return 1
    shutil.rmtree(WORK, ignore_errors=True)
    shutil.rmtree(SITE, ignore_errors=True)
    pages = WORK / "docs"
    shutil.copytree(DOCS / "figures", pages / "figures")
    shutil.copy(HERE / "zensical.toml", WORK)
    shutil.copy(HERE / "theme.css", pages)
    linked: set[Path] = set()
    (pages / "lab").mkdir()
    for page in sorted([*DOCS.glob("*.md"), *DOCS.glob("lab/*.md")]):
        text = page.read_text("utf-8")
        text = api.expanded(text) if page.name == "api.md" else text
        (pages / page.relative_to(DOCS)).write_text(site_text(text, page.parent, linked))
    changes = site_text((ROOT / "CHANGELOG.md").read_text("utf-8"), ROOT, linked)
    (pages / "changelog.md").write_text(changes)
    write_explorer(pages / "explorer.html")
    notebook.write(DOCS / "tutorial.md", pages / "tutorial.ipynb")
    write_sources(pages, linked)
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--clean"]
    done = subprocess.run(command, cwd=WORK, capture_output=True, text=True, check=False)
    if done.returncode:
        print(done.stdout + done.stderr[:2000], file=sys.stderr)
        return 1
    shutil.move(WORK / "site", SITE)
    problems = links.problems(SITE)
    print(f"{results.summary()} python benchmarks/provenance.py lists them.")
    print("\n".join(problems) or f"No dead link in {len(list(SITE.rglob('*.html')))} pages.")
    print(f"Open {SITE / 'index.html'}; its search needs: python -m http.server -d build/docs")
    return int(bool(problems))


def checked() -> list[str]:
    """What is wrong on the pages as they are written. Lab pages may have long paragraphs."""
    written = [*sorted(DOCS.glob("*.md")), *(ROOT / name for name in prose.BESIDE)]
    every = [*written, *sorted(DOCS.glob("lab/*.md")), ROOT / "CHANGELOG.md"]
    named = mentions.methods((DOCS / "references.bib").read_text("utf-8"))
    result = [problem for page in written for problem in prose.problems(page)]
    result += [problem for page in every for problem in formulas.problems(page)]
    return result + [problem for page in every for problem in mentions.problems(page, named)]


def site_text(text: str, folder: Path, linked: set[Path]) -> str:
    """A page for the site: plain fences, and links that leave docs/ lead to pages of sources."""
    place = folder if folder in (DOCS, DOCS / "lab") else DOCS  # of the page, as in the site

    def to(path: Path, anchor: str | None = None) -> str:
        return f"]({os.path.relpath(path, place)}{anchor or ''})"

    def follow(match: re.Match[str]) -> str:
        path = (folder / match[1]).resolve()
        if path.parent in (DOCS, DOCS / "lab") and not path.is_dir():
            return to(path, match[2])
        if DOCS / "figures" in path.parents:
            return to(path)
        if not path.exists():
            return match[0]  # the checks will say so
        linked.add(path.relative_to(ROOT))
        return to(DOCS / source_page(path.relative_to(ROOT)))

    blocks: list[str] = []

    def keep(match: re.Match[str]) -> str:
        blocks.append(formulas.block(FENCE.sub(r"\1", match[0])))
        return f"\0{len(blocks) - 1}\0"

    text = formulas.inline(results.noted(CODE.sub(keep, text)))
    text = NAMED.sub(lambda match: f"[{title(match[1])}](", text)
    text = LINK.sub(follow, text)
    return re.sub("\0(\\d+)\0", lambda match: blocks[int(match[1])], text)


def title(name: str) -> str:
    """The heading of a page of docs/, as words within a sentence."""
    page = DOCS / f"{name}.md"
    if not page.exists():
        return f"{name}.md"
    words = page.read_text("utf-8").partition("\n")[0].lstrip("# ")
    return words[0].lower() + words[1:]


def source_page(path: Path) -> str:
    """The page that shows a file or a folder of the repository."""
    return f"source/{'-'.join(path.parts)}.md"


def write_sources(pages: Path, linked: set[Path]) -> None:
    """A page for each file that is linked, and for the files of each folder that is."""
    (pages / "source").mkdir()
    for path in sorted(linked):
        if (ROOT / path).is_dir():
            inside = sorted(p.relative_to(ROOT) for p in (ROOT / path).rglob("*") if p.is_file())
            inside = [p for p in inside if p.suffix in LANGUAGES and "__pycache__" not in p.parts]
            lines = [f"- [`{p}`]({Path(source_page(p)).name})" for p in inside]
            (pages / source_page(path)).write_text(f"# {path}/\n\n" + "\n".join(lines) + "\n")
            linked = linked | set(inside)
    for path in sorted(linked):
        if (ROOT / path).is_file():
            text = (ROOT / path).read_text("utf-8").replace("\n````", "\n ````")
            fence = f"````{LANGUAGES.get(path.suffix, 'text')}"
            (pages / source_page(path)).write_text(f"# {path}\n\n{fence}\n{text}\n````\n")


if __name__ == "__main__":
    raise SystemExit(main())
