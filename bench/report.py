"""A measured section and the file of results it becomes part of."""

from __future__ import annotations

import os
import platform
import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psutil

RESULTS = Path(__file__).parent / "results.md"
INTRODUCTION = """\
# Measured

Written by `make bench`. Figures of one section were measured side by side in one run; compare within a
section, not between sections or with other machines. The machine is shared and noisy: differences under
a factor of two are noise unless the section says how they were told from it.
"""
PACKAGES = ("duckdb", "pyarrow", "polars", "httpx", "fastapi", "streamlit", "plotly")


@dataclass(frozen=True)
class Section:
    """What one measurement found: prose that says how, and a table."""

    title: str
    how: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    verdict: str = ""

    def text(self) -> str:
        """The section as Markdown, with when and on what it was measured."""
        lines = ["| " + " | ".join(self.header) + " |", "|" + "---|" * len(self.header)]
        lines += ["| " + " | ".join(row) + " |" for row in self.rows]
        parts = [f"## {self.title}", f"{_stamp()}", self.how.strip(), "\n".join(lines), self.verdict.strip()]
        return "\n\n".join(part for part in parts if part) + "\n"


def save(section: Section, file: Path = RESULTS) -> None:
    """Put the section into the file of results, in place of an older one of the same title."""
    old = file.read_text(encoding="utf-8") if file.exists() else INTRODUCTION
    known = re.split(r"(?m)^(?=## )", old)[1:]
    sections = {text.splitlines()[0]: text for text in known}
    sections[f"## {section.title}"] = section.text()
    file.write_text("\n".join([INTRODUCTION, *(text.strip() + "\n" for text in sections.values())]))


def spread(values: Sequence[float], unit: str = "ms", digits: int = 1) -> str:
    """Median and the middle half, such as `4.2 ms (3.9 to 5.0)`."""
    low, middle, high = statistics.quantiles(values, n=4)
    return f"{middle:.{digits}f} {unit} ({low:.{digits}f} to {high:.{digits}f})"


def nearest_rank(values: Sequence[float], level: float) -> float:
    """The nearest rank, as everywhere."""
    ranked = sorted(values)
    rank = -(-round(level * 100) * len(ranked) // 100)
    return ranked[max(int(rank), 1) - 1]


def _stamp() -> str:
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    memory = psutil.virtual_memory().total / 2**30
    return (
        f"*{datetime.now(UTC):%Y-%m-%d %H:%M} UTC · {os.cpu_count()} cores, {memory:.0f} GiB, "
        f"{platform.system()} {platform.release()}, Python {platform.python_version()} · {packages}*"
    )
