"""Spans and instants over the whole height of a chart: all of one kind are one shape.

Plotly checks every shape there is again for each that is added, and a browser draws each by itself. Times
are the reader's wall clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import plotly.graph_objects as go

Span = tuple[datetime, datetime]


def shade(drawn: go.Figure, spans: Iterable[Span], fill: str, edge: str | None = None) -> None:
    """Fill spans of time behind the lines, overlapping ones as one; `edge` is the colour of their border."""
    path = "".join(f"M{_text(start)},0V1H{_text(end)}V0Z" for start, end in spans)
    line = {"color": edge, "width": 1} if edge else {"width": 0}
    _add(drawn, path, fillcolor=fill, fillrule="nonzero", line=line, layer="below")


def rule(drawn: go.Figure, instants: Iterable[datetime], line: Mapping[str, Any]) -> None:
    """Draw a vertical line at each instant."""
    _add(drawn, "".join(f"M{_text(instant)},0V1" for instant in instants), line=dict(line))


def annotate(drawn: go.Figure, labels: Sequence[Mapping[str, Any]]) -> None:
    """Put labels at the top of a chart, each with at least its `x` and `text`."""
    if labels:
        top = {"y": 1, "yref": "paper", "yanchor": "top", "showarrow": False}
        drawn.layout.annotations = (*drawn.layout.annotations, *({**top, **label} for label in labels))


def _add(drawn: go.Figure, path: str, **style: Any) -> None:
    if path:
        drawn.add_shape(type="path", path=path, xref="x", yref="paper", **style)


def _text(instant: datetime) -> str:
    """An instant as Plotly's paths have it: without a space."""
    return instant.isoformat(sep="_", timespec="milliseconds")
