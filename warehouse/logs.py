"""How every process of Perfhouse logs: one line an entry, whatever a text from outside holds."""

from __future__ import annotations

import logging
import textwrap
from types import TracebackType

from warehouse.visible import visible

ExceptionInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


class OneLine(logging.Formatter):
    """Entries that no text can break in two or colour; tracebacks follow, indented."""

    def __init__(self) -> None:
        super().__init__("%(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """Called by logging."""
        return visible(super().formatMessage(record))

    def formatException(self, ei: ExceptionInfo) -> str:  # noqa: N802 - logging's name
        """Called by logging."""
        return textwrap.indent(visible(super().formatException(ei), lines=True), "  ")


def set_up() -> None:
    """Log to stderr, from INFO on."""
    handler = logging.StreamHandler()
    handler.setFormatter(OneLine())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
