"""Answers questions in stages, from one snapshot; what first stages find is kept while it stands."""

from __future__ import annotations

import threading
from collections.abc import Hashable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import pyarrow as pa

from warehouse.errors import TooManyRowsError
from warehouse.questions.asking import Piece, Staged
from warehouse.stand import ENDLESS

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from warehouse.stand import Stand

MOST_PIECES, MOST_ROWS, MOST_BYTES = 256, 50_000, 32_000_000
"""So many pieces of at most so many rows each, and bytes together, are kept."""

Noted = list[tuple[Piece, pa.Table]]


@dataclass(frozen=True)
class _Found:
    """What a piece found when the stand had that number, which holds while all before `until` stands."""

    number: int
    until: datetime
    table: pa.Table
    bytes: int


class Standing:
    """What standing pieces found while everything that they read stood as it does now. Used by any thread."""

    def __init__(self, stand: Stand) -> None:
        self.stand = stand
        self._lock = threading.Lock()
        self._found: dict[Hashable, _Found] = {}

    def find(self, piece: Piece) -> pa.Table | None:
        """What it found before; None where that is not known, or not to be so any more."""
        with self._lock:
            found = self._found.pop(_key(piece), None)
            if found is None or not self._holds(found):
                return None
            self._found[_key(piece)] = found
            return found.table

    def keep(self, number: int, noted: Noted) -> None:
        """Keep what pieces found when that was the number, in place of what holds no more."""
        with self._lock:
            self._found = {key: found for key, found in self._found.items() if self._holds(found)}
            for piece, table in noted:
                found = _Found(number, piece.until or ENDLESS, table, table.nbytes)
                if table.num_rows <= MOST_ROWS and self._holds(found):
                    self._found[_key(piece)] = found
            room = MOST_BYTES - sum(found.bytes for found in self._found.values())
            for key in [*self._found]:
                if room >= 0 and len(self._found) <= MOST_PIECES:
                    break
                room += self._found.pop(key).bytes

    def _holds(self, found: _Found) -> bool:
        return self.stand.unchanged_until(found.number) >= found.until


def _key(piece: Piece) -> Hashable:
    return piece.sql, repr(sorted(piece.values.items()))


class _Look:
    """One question's look at what stands; nothing is known while anything moves, or without Standing."""

    def __init__(self, standing: Standing | None) -> None:
        self._standing = standing
        self._number = standing.stand.still() if standing is not None else None
        self._noted: Noted = []

    def known(self, piece: Piece) -> pa.Table | None:
        """What it found before, where it still stands."""
        if self._standing is None or self._number is None or not piece.stands:
            return None
        return self._standing.find(piece)

    def note(self, piece: Piece, table: pa.Table) -> None:
        """It found this now."""
        if piece.stands:
            self._noted.append((piece, table))

    def was_sound(self) -> bool:
        """Whether nothing began to move since the look began; what was noted is kept then."""
        if self._standing is None or self._number is None:
            return True
        if self._standing.stand.number != self._number:
            return False
        self._standing.keep(self._number, self._noted)
        return True


def answer(
    connection: DuckDBPyConnection, statement: Staged, most: int, standing: Standing | None = None
) -> pa.Table:
    """The answer, all of it of one moment; no piece has more than `most` rows. Raises TooManyRowsError.

    Where anything began to move before all was read, it is read again without what was known.
    """
    look = _Look(standing)
    tables = _read(connection, statement, most, look)
    if not look.was_sound():
        tables = _read(connection, statement, most, _Look(None))
    return statement.join(tables)


def _read(connection: DuckDBPyConnection, statement: Staged, most: int, look: _Look) -> dict[str, pa.Table]:
    """What all pieces find, in one snapshot."""
    connection.begin()
    tables: dict[str, pa.Table] = {}
    for stage in (lambda _: statement.first, statement.then):
        for piece in stage(tables):
            known = look.known(piece)
            if known is None:
                known = found(connection, piece)
                look.note(piece, known)
            if known.num_rows > (most if piece.until is None else max(most, MOST_ROWS)):  # read once for many
                raise TooManyRowsError(
                    f"the answer is made of more than {most} parts",
                    "Ask for a shorter window, fewer series or larger buckets.",
                    status=413,
                )
            tables[piece.name] = known
    connection.rollback()
    return tables


def found(connection: DuckDBPyConnection, piece: Piece) -> pa.Table:
    """What a piece finds."""
    if piece.brief is not None:
        few = connection.sql(piece.brief.sql).to_arrow_table()
        if few.num_rows <= piece.brief.most:
            return piece.brief.made(few)
    table = connection.sql(piece.sql, params=dict(piece.values)).to_arrow_table()
    return table if piece.made is None else piece.made(table)
