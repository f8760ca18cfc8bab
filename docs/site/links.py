"""Dead links of a built site: pages, files and anchors that are not there, and foreign assets."""

from collections import defaultdict
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADED = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "src"}


class Page(HTMLParser):
    """What a page links to, what it loads, and its anchors."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value for name, value in attrs if value}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if given.get(LOADED.get(tag, ""), "") and given.get("rel") not in (
            "canonical",
            "next",
            "prev",
        ):
            self.loads.append(given[LOADED[tag]])


def problems(site: Path) -> list[str]:
    """One line for each dead link and for each thing that comes from elsewhere."""
    pages = {path: Page(path.read_text("utf-8")) for path in sorted(site.rglob("*.html"))}
    sources: dict[str, set[str]] = defaultdict(set)
    for path, page in pages.items():
        for line in wrong(site, path, page, pages):
            sources[line].add(path.relative_to(site).as_posix())
    return [
        f"{line} (in {', '.join(sorted(where)[:3])})" for line, where in sorted(sources.items())
    ]


def wrong(site: Path, path: Path, page: Page, pages: dict[Path, Page]) -> Iterator[str]:
    """What is wrong on one page."""
    for url in page.loads:
        if urlsplit(url).netloc:
            yield f"loaded from elsewhere: {url}"
    if path.name == "404.html":  # its links are absolute
        return
    for url in page.links + page.loads:
        parts = urlsplit(url)
        if parts.scheme or parts.netloc:
            continue
        target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
        target = target / "index.html" if target.is_dir() else target
        if not target.is_relative_to(site) or not target.exists():
            yield f"dead link: {url}"
        elif parts.fragment and target in pages:
            anchors = pages[target].anchors
            if unquote(parts.fragment) not in anchors and parts.fragment != "__top":
                yield f"dead anchor: {url}"
