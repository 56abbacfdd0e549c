"""A fault that validation found in the configuration, told in one line that holds no secret."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from tomllib import TOMLDecodeError
from typing import Any

from warehouse.fields import SECRET_WORDS
from warehouse.visible import visible

HIDDEN = " (not shown)"

MESSAGE = re.compile(r"^(?:Input|String|Tuple|List|Value) should (be|have|match)")
"""How pydantic begins to say what it expects."""

EXPECTED = {
    "path_type": "a path",
    "string_type": "a string",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a table",
    "mapping_type": "a table",
    "model_type": "a table",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a whole number of a sane size",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
}
"""What pydantic's types of fault say was expected, in TOML's words."""

TOML_PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
"""Where tomllib says that the text stops being TOML."""


def describe_syntax(file: Path, text: str, error: TOMLDecodeError) -> str:
    """What keeps the text from being TOML, in one line: file, line, what is wrong."""
    told = str(error)
    place = TOML_PLACE.search(told)
    if place is None:
        return f"{file}: expected TOML, {told}"
    line = f"line {place[1]}, column {place[2]}" if place[1] else f"line {len(text.splitlines())}, the last"
    told = told[: place.start()]
    return f"{file}: {line}: expected TOML, {told[:1].lower()}{told[1:]}"


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
    elif fault["type"] in EXPECTED:
        told = f"expected {EXPECTED[fault['type']]}, given {_shorten(fault['input'], key)}"
    else:
        told = f"{MESSAGE.sub(_expected, fault['msg'])}, given {_shorten(fault['input'], key)}"
    return visible(f"{where}: {key or 'the whole file'}: {told}")


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
