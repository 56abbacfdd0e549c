"""Reads an uploaded invoice file: CSV, or the text of a (sample) PDF."""

from __future__ import annotations

import csv
import io
from pathlib import PurePath
from typing import Any

from pydantic import ValidationError

from demo.model import MAX_LINES, NewInvoice

CSV_COLUMNS = ("supplier", "number", "currency", "description", "quantity", "unit_price_cents")
SUFFIXES = (".csv", ".pdf", ".txt")


class UnreadableError(Exception):
    """The file is not an invoice; the text says why."""


def is_readable_kind(file_name: str) -> bool:
    """Whether the name's ending is one that `read_invoice` knows."""
    return PurePath(file_name).suffix.lower() in SUFFIXES


def read_invoice(file_name: str, content: bytes) -> NewInvoice:
    """The invoice in a file. Raises UnreadableError.

    A CSV file has the columns of CSV_COLUMNS and a row per line; supplier, number and currency stand
    in its first row. The text of a PDF has `key: value` lines, and `line: description; quantity;
    unit price in cents` for each line of the invoice.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UnreadableError("expected text in UTF-8") from None
    read = _read_csv if PurePath(file_name).suffix.lower() == ".csv" else _read_text
    try:
        return NewInvoice.model_validate(read(text))
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in fault["loc"])
        raise UnreadableError(f"{where}: {fault['msg']}" if where else fault["msg"]) from None


def _read_csv(text: str) -> dict[str, Any]:
    try:
        rows = list(csv.DictReader(io.StringIO(text), strict=True))
    except csv.Error as error:
        raise UnreadableError(f"not a CSV file: {error}") from None
    if not rows:
        raise UnreadableError("expected a header and at least one row")
    missing = [name for name in CSV_COLUMNS if name not in rows[0]]
    if missing:
        raise UnreadableError(f"missing columns: {', '.join(missing)}")
    if len(rows) > MAX_LINES:
        raise UnreadableError(f"expected at most {MAX_LINES} rows")
    head = {name: rows[0][name] for name in ("supplier", "number", "currency")}
    lines = [{name: row[name] for name in ("description", "quantity", "unit_price_cents")} for row in rows]
    return {**head, "lines": lines}


def _read_text(text: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    lines = []
    for written in text.splitlines():
        key, colon, value = written.partition(":")
        if not colon or written.startswith("%"):
            continue
        name = key.strip().lower().replace(" ", "_")
        if name == "line":
            description, quantity, price = (*value.split(";"), "", "")[:3]
            lines.append(
                {
                    "description": description,
                    "quantity": quantity.strip(),
                    "unit_price_cents": price.strip(),
                }
            )
        elif name in ("supplier", "number", "currency", "issued_on", "due_on", "amount_cents"):
            found[name] = value.strip()
    if not found and not lines:
        raise UnreadableError("expected lines such as supplier: Alder Paper Ltd")
    return {**found, "lines": lines}
