"""Writes the answer to a question, of any length, into a file or to stdout."""

from __future__ import annotations

import difflib
import os
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TextIO

from warehouse.client import Client
from warehouse.errors import InvalidInputError

UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
FORMATS = ("csv", "parquet", "arrow", "json")
DEFAULT_SPAN = "24h"
PROGRESS_AFTER_S = 1.0


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
    parameters = _parameters(wanted, _known(client, wanted.question))
    progress = progress_line(sys.stderr)
    if out is None:
        written = client.export(wanted.question, wanted.form, sys.stdout.buffer, progress, **parameters)
        sys.stdout.flush()
        return written
    draft = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        written = client.export(wanted.question, wanted.form, draft, progress, **parameters)
        _refuse_existing(out, force=force)
        draft.replace(out)
    except OSError as error:
        raise InvalidInputError(f"cannot write {out}: {error.strerror}", field="--out") from None
    finally:
        draft.unlink(missing_ok=True)
    return written


def progress_line(out: TextIO) -> Callable[[int], None]:
    """Tells the bytes so far, from PROGRESS_AFTER_S on: each second on a terminal, ever rarer in a log."""
    began = time.monotonic()
    on_terminal = out.isatty()
    tell_at = PROGRESS_AFTER_S

    def tell(written: int) -> None:
        nonlocal tell_at
        if time.monotonic() - began >= tell_at:
            tell_at = tell_at + 1 if on_terminal else tell_at * 2
            out.write(f"{written / 1e6:,.1f} MB so far" + ("\r" if on_terminal else "\n"))
            out.flush()

    return tell


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
        raise InvalidInputError(f"no question {question}", field="question", hint=hint)
    parameters: Mapping[str, Any] = known[question]
    return parameters


def _parameters(wanted: Wanted, known: Mapping[str, Any]) -> dict[str, list[str]]:
    parameters: dict[str, list[str]] = {}
    others = sorted(set(known) - {"start", "end"})
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


def _refuse_existing(out: Path | None, *, force: bool) -> None:
    if out is not None and out.exists() and not force:
        raise InvalidInputError(f"{out} exists already", field="--out", hint="Add --force to overwrite it.")
