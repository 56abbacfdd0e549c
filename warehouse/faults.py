"""A fault that validation found in the configuration, told in one line that holds no secret."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from warehouse.fields import SECRET_WORDS

HIDDEN = " (not shown)"

MESSAGE = re.compile(r"^(?:Input|String|Tuple|List|Value) should (be|have|match)")
"""How pydantic begins to say what it expects."""


def is_echo(fault: Any) -> bool:
    """Whether a fault only says that a list of faulty items has no valid ones."""
    return fault["type"] == "too_short" and len(fault["input"]) > 0


def describe(file: Path, origins: Mapping[tuple[str, ...], str], fault: Any) -> str:
    """One problem in one line: file, key, expected, given."""
    location = tuple(part for part in fault["loc"] if part not in ("a text", "a secret"))
    key = "".join(f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in location).lstrip(".")
    variable = origins.get(tuple(str(part) for part in location))
    where = f"environment variable {variable}" if variable else str(file)
    if fault["type"] == "extra_forbidden":
        told = f"no such key, given {_kind(fault['input'])}"
    elif fault["type"] == "missing":
        told = "expected a value, given nothing"
    elif fault["type"] == "too_short":
        told = "expected at least one, given none"
    elif fault["type"] == "value_error":
        told = fault["msg"].removeprefix("Value error, ")
        given = _shorten(fault["input"], key)
        told = told if "given" in told or given.endswith(HIDDEN) else f"{told}, given {given}"
    else:
        told = f"{MESSAGE.sub(_expected, fault['msg'])}, given {_shorten(fault['input'], key)}"
    return f"{where}: {key or 'the whole file'}: {told}"


def _expected(words: re.Match[str]) -> str:
    return "expected to match" if words[1] == "match" else "expected"


def _shorten(value: object, key: str) -> str:
    """What was given, short, and never a secret."""
    if any(word in key.lower() for word in (*SECRET_WORDS, "headers", "body")):
        return f"{_kind(value)}{HIDDEN}"
    if isinstance(value, str) and any(mark in value for mark in "@?#"):
        return f"a string{HIDDEN}"
    text = repr(value) if isinstance(value, str | int | float | bool) else _kind(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _kind(value: object) -> str:
    """The TOML word for a value's type, for what must not be echoed."""
    kinds = {dict: "a table", list: "a list", bool: "a boolean", int: "an integer", float: "a number"}
    return kinds.get(type(value), "a string" if isinstance(value, str) else "a date or time")
