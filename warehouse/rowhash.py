"""The hash over all rows of a table: the same for the same rows in any file, order and version of DuckDB."""

from __future__ import annotations

import re
from collections.abc import Mapping

PLAIN = re.compile(
    r"BOOLEAN|U?(TINY|SMALL|BIG)INT|U?INTEGER|FLOAT|DOUBLE|DATE|TIMESTAMP(_S|_MS|_NS)?|UUID"
    r"|DECIMAL\(\d+,\d+\)"
)
"""Types whose text holds no separator."""

FLOATING = frozenset({"FLOAT", "DOUBLE"})
"""Types with NaN. Its sign is no part of a row's text: DuckDB loses it where it packs equal values."""

LENGTHY = re.compile(rf"VARCHAR|BLOB|ENUM\(.*\)|({PLAIN.pattern}|VARCHAR)\[\]", re.DOTALL)
"""Types whose text can hold anything, so that its length is told before it."""


def is_exact(kind: str) -> bool:
    """Whether values of this column type come back from Parquet as they were."""
    return bool(PLAIN.fullmatch(kind) or LENGTHY.fullmatch(kind))


def row_hash(columns: Mapping[str, str]) -> str:
    """SQL of the hash over all rows, an integer: the sum over the rows of the last 8 bytes of
    the MD5 of the row's text, little-endian.

    A row's text is that of its values with `|` between them, `-` for NULL, and the length in bytes before
    whatever can hold a `|`. A sum and no exclusive or, since two equal rows must not hide each other.
    """
    texts = ", ".join(_text(name, kind) for name, kind in columns.items())
    return f"coalesce(sum(md5_number_lower(concat_ws('|', {texts}))), 0)"


def cast(name: str, kind: str) -> str:
    """SQL of a column read from Parquet, as the type it had; an enum's values as text."""
    return f'CAST("{name}" AS {"VARCHAR" if kind.startswith("ENUM") else kind}) AS "{name}"'


def _text(name: str, kind: str) -> str:
    text = f'"{name}"::VARCHAR'
    if kind in FLOATING:
        text = f"CASE WHEN isnan(\"{name}\") THEN 'nan' ELSE {text} END"
    if PLAIN.fullmatch(kind):
        return f"coalesce({text}, '-')"
    return f"coalesce(strlen({text}) || ':' || {text}, '-')"
