"""Writes the answer to a question, of any length, into a file or to stdout."""

from __future__ import annotations

import difflib
import os
import re
import secrets
import sys
import textwrap
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TextIO

from warehouse.client import Client
from warehouse.errors import InvalidInputError, PerfhouseError

UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
FORMATS = ("csv", "parquet", "arrow", "json")
DEFAULT_SPAN = "24h"
PROGRESS_AFTER_S = 1.0
CLEAR_REST = "\x1b[K"
"""What a terminal takes as: nothing more on this line."""


@dataclass(frozen=True)
class Wanted:
    """An export as the command line asks for it. `start` and `end` are None where nothing was said."""

    question: str
    form: str
    start: str | None
    end: str | None
    pairs: Sequence[str]


def export(client: Client, wanted: Wanted, out: Path | None, *, force: bool) -> int:
    """Write the answer to `out`, or to stdout; returns the bytes written.

    A file appears whole or not at all. Raises InvalidInputError and the errors of the client.
    """
    if wanted.form not in FORMATS:
        raise InvalidInputError(
            f"expected one of {', '.join(FORMATS)}, given {wanted.form}", field="--format"
        )
    if out is None and wanted.form in ("parquet", "arrow") and sys.stdout.isatty():
        raise InvalidInputError(
            f"{wanted.form} is not for a terminal", field="--out", hint="Name a file, or pipe it on."
        )
    _refuse_existing(out, force=force)
    parameters: dict[str, Any] = _parameters(wanted, _known(client, wanted.question))
    export_id = secrets.token_urlsafe(16)
    parameters["export_id"] = export_id
    parameters["on_progress"] = progress_line(sys.stderr, lambda: _rows_so_far(client, export_id))
    if out is None:
        written = client.export(wanted.question, wanted.form, sys.stdout.buffer, **parameters)
        sys.stdout.flush()
        return written
    draft = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        written = client.export(wanted.question, wanted.form, draft, **parameters)
        _refuse_existing(out, force=force)
        draft.replace(out)
    except OSError as error:
        raise InvalidInputError(f"cannot write {out}: {error.strerror}", field="--out") from None
    finally:
        draft.unlink(missing_ok=True)
        if sys.stderr.isatty():
            sys.stderr.write(CLEAR_REST)
    return written


def listing(client: Client) -> list[str]:
    """Every question: its name, what it answers in a line, and its parameters."""
    lines = []
    for entry in client.questions():
        known = entry["parameters"]["properties"]
        takes = [*(["--from", "--to"] if "start" in known else []), *_others(known)]
        meaning = entry["answers"].split("\n\n")[0]
        lines.append(entry["name"])
        lines += textwrap.wrap(meaning, 96, initial_indent="    ", subsequent_indent="    ")
        lines.append(f"    takes: {', '.join(takes) or 'nothing'}")
    return lines


def progress_line(out: TextIO, rows_so_far: Callable[[], str] = str) -> Callable[[int], None]:
    """Tells rows and bytes so far, from PROGRESS_AFTER_S on: each second on a terminal, ever rarer in a log.

    `rows_so_far` says the rows in words; an empty text where they are not known.
    """
    began = time.monotonic()
    on_terminal = out.isatty()
    tell_at = PROGRESS_AFTER_S

    def tell(written: int) -> None:
        nonlocal tell_at
        if time.monotonic() - began >= tell_at:
            tell_at = tell_at + 1 if on_terminal else tell_at * 2
            line = ", ".join(filter(None, (rows_so_far(), f"{written / 1e6:,.1f} MB so far")))
            out.write(f"{line}{CLEAR_REST}\r" if on_terminal else f"{line}\n")
            out.flush()

    return tell


def _rows_so_far(client: Client, export_id: str) -> str:
    """`1,200,000 of 10,000,000 rows (12 %)`; an export must not fail because its progress is not known."""
    try:
        state = client.export_state(export_id)
    except PerfhouseError:
        return ""
    if not state.total_rows:
        return f"{state.rows:,} rows"
    return f"{state.rows:,} of {state.total_rows:,} rows ({state.rows * 100 // state.total_rows} %)"


def instant(text: str, at: datetime, option: str) -> str:
    """An ISO 8601 instant with an offset, `now`, or so long before `at` (24h, 7d)."""
    relative = re.fullmatch(r"(\d+)([smhdw])", "0s" if text == "now" else text)
    try:
        if relative:
            return (at - timedelta(seconds=int(relative[1]) * UNITS_S[relative[2]])).isoformat()
        given = datetime.fromisoformat(text)
        if given.tzinfo is not None:
            return given.isoformat()
    except (ValueError, OverflowError):
        pass  # told below, with what would have been right
    raise InvalidInputError(
        f"expected an instant with an offset (2026-11-23T12:00:00Z) or so long ago (24h, 7d), given {text}",
        field=option,
    )


def _known(client: Client, question: str) -> Mapping[str, Any]:
    """The parameters of a question by name. Raises InvalidInputError when there is no such question."""
    known = {entry["name"]: entry["parameters"]["properties"] for entry in client.questions()}
    if question not in known:
        near = difflib.get_close_matches(question, known, n=1)
        hint = f"Did you mean {near[0]}?" if near else f"There are: {', '.join(sorted(known))}."
        hint += " `perfhouse export --list` says what each answers."
        raise InvalidInputError(f"no question {question}", field="question", hint=hint)
    parameters: Mapping[str, Any] = known[question]
    return parameters


def _parameters(wanted: Wanted, known: Mapping[str, Any]) -> dict[str, list[str]]:
    parameters: dict[str, list[str]] = {}
    others = _others(known)
    for pair in wanted.pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise InvalidInputError(f"expected NAME=VALUE, given {pair}", field="--param")
        if name not in others:
            hint = f"It takes: {', '.join(others)}." if others else "It takes none."
            raise InvalidInputError(f"{wanted.question} has no parameter {name}", field="--param", hint=hint)
        parameters.setdefault(name, []).append(value)
    if "start" in known:
        at = datetime.now(UTC)
        parameters["start"] = [instant(wanted.start or DEFAULT_SPAN, at, "--from")]
        parameters["end"] = [instant(wanted.end or "now", at, "--to")]
    elif wanted.start or wanted.end:
        raise InvalidInputError(f"{wanted.question} is not about a span of time", field="--from, --to")
    return parameters


def _others(known: Mapping[str, Any]) -> list[str]:
    return sorted(set(known) - {"start", "end"})


def _refuse_existing(out: Path | None, *, force: bool) -> None:
    if out is not None and out.is_dir():
        raise InvalidInputError(f"{out} is a directory", field="--out", hint="Name a file in it.")
    if out is not None and out.exists() and not force:
        raise InvalidInputError(f"{out} exists already", field="--out", hint="Add --force to overwrite it.")
