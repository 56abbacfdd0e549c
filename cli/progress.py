"""One line that says how far a long command has come."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TextIO

FIRST_AFTER_S = 1.0
CLEAR_REST = "\x1b[K"
"""What a terminal takes as: nothing more on this line."""


class Progress:
    """Tells rows and bytes from FIRST_AFTER_S on: each second on a terminal, ever rarer in a log."""

    def __init__(self, out: TextIO, total: int | None) -> None:
        """`total` rows are to come; None where nobody counted."""
        self._out = out
        self._total = total
        self._on_terminal = out.isatty()
        self._began = time.monotonic()
        self._tell_at = FIRST_AFTER_S
        self._is_open = False

    def rows_done(self, rows: int) -> None:
        """So many rows are done."""
        self.tell(rows, None)

    def tell(self, rows: int, size: int | None) -> None:
        """So many rows are done, in so many bytes."""
        self._tell(self._rows(rows) + ("" if size is None else f", {size / 1e6:,.1f} MB so far"))

    def tell_share(self, what: str, done: int, of: int) -> None:
        """So many of them are done."""
        self._tell(f"{done:,} of {of:,} {what} ({done * 100 // max(1, of)} %)")

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave a clean line behind."""
        if self._is_open:
            self._out.write(CLEAR_REST)
            self._out.flush()

    def _tell(self, line: str) -> None:
        if time.monotonic() - self._began < self._tell_at:
            return
        self._tell_at = self._tell_at + 1 if self._on_terminal else self._tell_at * 2
        self._out.write(f"{line}{CLEAR_REST}\r" if self._on_terminal else f"{line}\n")
        self._out.flush()
        self._is_open = self._on_terminal

    def _rows(self, rows: int) -> str:
        if not self._total:
            return f"{rows:,} rows"
        return f"{rows:,} of {self._total:,} rows ({rows * 100 // self._total} %)"
