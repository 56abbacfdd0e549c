"""Reads our Markdown: headings, tables, links."""

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
NOT_OURS = {".venv", "node_modules", "data", ".git", ".cache"}

FENCE = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`[^`\n]*`")
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")


def pages() -> list[Path]:
    """Every Markdown file of the repository."""
    return sorted(
        page for page in ROOT.rglob("*.md") if not NOT_OURS & set(page.relative_to(ROOT).parts[:-1])
    )


def links(page: Path) -> list[str]:
    """What the page links to and shows, without what stands in code."""
    return LINK.findall(CODE.sub("", FENCE.sub("", page.read_text(encoding="utf-8"))))


def anchors(page: Path) -> set[str]:
    """The anchors that a forge makes of the page's headings."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ +(.+?) *$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def tables(page: Path) -> Iterator[tuple[str, list[dict[str, str]]]]:
    """Each section's heading with the rows of its first table, cells by the column's title."""
    for section in re.split(r"^## ", page.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        heading, _, body = section.partition("\n")
        table = re.search(r"(?:^\|.*\n?)+", body, re.MULTILINE)
        if table:
            lines = table[0].splitlines()
            titles = _cells(lines[0])
            yield heading.strip(), [dict(zip(titles, _cells(line), strict=True)) for line in lines[2:]]


def _cells(line: str) -> list[str]:
    return [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
