"""What a right answer looks like: status, text and JSON assertions (pure)."""

from __future__ import annotations

import codecs
from typing import Any

import orjson

from warehouse.model import Outcome
from warehouse.settings import EndpointSettings

_CHARSETS = (
    "utf-8",
    "utf-16",
    "utf-32",
    "ascii",
    "iso8859",
    "cp125",
    "koi8",
    "gb",
    "big5",
    "euc",
    "shift_jis",
)
"""Character sets a body may claim; Python knows others that cost a hostile target's body dearly."""


def judge(endpoint: EndpointSettings, status: int, headers: dict[bytes, bytes], body: bytes) -> Outcome:
    """The outcome of an answer that came whole. `headers` have lower-case names."""
    if status not in endpoint.expect_status:
        return Outcome.BAD_STATUS
    if not asserts_body(endpoint):
        return Outcome.OK
    if headers.get(b"content-encoding", b"identity").strip().lower() != b"identity":
        # Plain bytes were asked for; what was compressed all the same is not unpacked, it may be a bomb.
        return Outcome.ASSERTION
    if endpoint.expect_text is not None and endpoint.expect_text not in _decode(headers, body):
        return Outcome.ASSERTION
    if endpoint.expect_json is not None and not _holds_json(endpoint.expect_json, body):
        return Outcome.ASSERTION
    return Outcome.OK


def asserts_body(endpoint: EndpointSettings) -> bool:
    """Whether the body is looked at (otherwise it is only counted)."""
    return endpoint.expect_text is not None or endpoint.expect_json is not None


def contains(given: Any, expected: Any) -> bool:
    """Whether `given` holds `expected`: objects may have more keys, everything else is equal."""
    if isinstance(expected, dict):
        return isinstance(given, dict) and all(
            key in given and contains(given[key], value) for key, value in expected.items()
        )
    return _equal(given, expected)


def _equal(given: Any, expected: Any) -> bool:
    """Equality as JSON has it: true is not 1."""
    if isinstance(expected, list) and isinstance(given, list):
        return len(given) == len(expected) and all(map(_equal, given, expected))
    if isinstance(expected, dict) and isinstance(given, dict):
        return given.keys() == expected.keys() and all(_equal(given[key], expected[key]) for key in expected)
    if isinstance(expected, bool) or isinstance(given, bool):
        return given is expected
    return bool(given == expected)


def _holds_json(expected: dict[str, Any], body: bytes) -> bool:
    try:
        given = orjson.loads(body)
    except orjson.JSONDecodeError:
        return False
    return contains(given, expected)


def _decode(headers: dict[bytes, bytes], body: bytes) -> str:
    """The body as text in the character set it claims, or UTF-8."""
    charset = "utf-8"
    for part in headers.get(b"content-type", b"").split(b";")[1:]:
        name, _, value = part.partition(b"=")
        if name.strip().lower() == b"charset":
            charset = value.strip(b" \t\"'").decode("latin-1")
    try:
        known = codecs.lookup(charset).name.startswith(_CHARSETS)
    except (LookupError, ValueError):
        known = False
    return body.decode(charset if known else "utf-8", "replace")
