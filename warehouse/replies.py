"""What the client says to the warehouse, and what it makes of the answers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from urllib.parse import quote

import httpx
import polars as pl
import pyarrow as pa

from warehouse import errors

Parameter = str | int | float | bool | datetime | None | Iterable[str]


def token_in(file: Path) -> str:
    """The token a process keeps in its file. Raises WarehouseAwayError when there is none."""
    try:
        token = json.loads(file.read_text(encoding="utf-8"))["token"]
    except (OSError, ValueError, KeyError):
        token = None
    if not isinstance(token, str):
        raise errors.WarehouseAwayError(
            f"no token in {file}", "The warehouse writes it when it first starts: `perfhouse warehouse`."
        )
    return token


def asker_headers(person: str | None, *, local: bool) -> Mapping[str, str]:
    """Who asks: a signed-in person, or whoever sits at this machine."""
    named = {} if person is None else {"x-person": quote(person)}
    return {**named, **({"x-local": "1"} if local else {})}


def query_of(parameters: Mapping[str, Parameter]) -> list[tuple[str, str | int | float | bool | None]]:
    """Parameters as a query string; None is left out, lists repeat the name."""
    query: list[tuple[str, str | int | float | bool | None]] = []
    for name, value in parameters.items():
        if value is None:
            continue
        several = value if not isinstance(value, str) and isinstance(value, Iterable) else (value,)
        query += [(name, _text(item)) for item in several]
    return query


def _text(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


def whole_body(answer: httpx.Response) -> bytearray:
    """The body of an answer that is read as it comes, put where it belongs: megabytes are copied once."""
    known = answer.headers.get("content-length", "")
    is_plain = known.isdecimal() and "content-encoding" not in answer.headers
    body = bytearray(int(known) if is_plain else 0)
    place = 0
    for block in answer.iter_bytes():
        body[place : place + len(block)] = block
        place += len(block)
    return body


def frame_of(body: bytes | bytearray | memoryview) -> pl.DataFrame:
    """An answer in Arrow as a frame, names in full. Raises pyarrow.ArrowException for what is none."""
    table = pa.ipc.open_stream(body).read_all()
    table.validate(full=True)
    columns = [
        column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column
        for column in table.columns
    ]
    frame = pl.from_arrow(pa.table(columns, names=table.column_names))
    assert isinstance(frame, pl.DataFrame)
    return frame


_BY_STATUS: Mapping[int, type[errors.RefusedError]] = {
    401: errors.NotAllowedError,
    403: errors.NotAllowedError,
    429: errors.BusyError,
    504: errors.DeadlineError,
}


def raise_refusal(answer: httpx.Response) -> None:
    """Turn an error answer into the error it is."""
    if not answer.is_error:
        return
    told = _told(answer)
    message = told.get("message") or f"HTTP {answer.status_code}"
    hint = told.get("hint", "")
    if answer.status_code >= 500 and answer.status_code != 504:
        raise errors.WarehouseAwayError(message, hint)
    kind = _BY_STATUS.get(answer.status_code, errors.RefusedError)
    if told.get("title") == errors.TooManyRowsError.title:
        kind = errors.TooManyRowsError
    raise kind(message, hint, status=answer.status_code, field=told.get("field", ""))


def _told(answer: httpx.Response) -> dict[str, str]:
    """The warehouse's own words; none when something else answered in its place."""
    try:
        error = json.loads(answer.content)["error"]
    except (ValueError, KeyError, TypeError):
        return {}
    return {key: str(value) for key, value in error.items()} if isinstance(error, dict) else {}
