"""What a right answer to a request of a load test looks like (pure)."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import orjson

from loadtests.http1 import header, headers
from loadtests.sender import Answer
from warehouse.model import Outcome
from warehouse.plan import PlanRequest
from warehouse.pointer import find

REDIRECTS = (301, 302, 303, 307, 308)
CODINGS = ("content-encoding", "transfer-encoding")
PLAIN = ("identity", "chunked")
"""After which a body is read as it was meant."""


def judge(request: PlanRequest, answer: Answer, host: str) -> tuple[Outcome, str, dict[str, Any]]:
    """The outcome of an answer, why, and what was extracted from it. `host` is the target's own.

    Redirects are not followed; one that leads elsewhere is refused, unless its status is expected.
    """
    if answer.outcome is not Outcome.OK:
        return answer.outcome, answer.text, {}
    if answer.status not in request.expect_status:
        return *_wrong_status(answer, host), {}
    if request.expect_text is None and request.expect_json is None and not request.extract:
        return Outcome.OK, "", {}
    return _look_at_body(request, answer)


def _wrong_status(answer: Answer, host: str) -> tuple[Outcome, str]:
    if answer.status in REDIRECTS:
        where = urlsplit(header(answer.head, "location") or "")
        if where.netloc and where.netloc.lower() != host.lower():
            return Outcome.REFUSED, f"status {answer.status}: a redirect to {where.netloc} was not followed"
        return Outcome.BAD_STATUS, f"status {answer.status}: a redirect to {where.path}, none is followed"
    return Outcome.BAD_STATUS, f"status {answer.status}"


def _look_at_body(request: PlanRequest, answer: Answer) -> tuple[Outcome, str, dict[str, Any]]:
    told = dict(headers(answer.head))
    if any(told.get(name, "identity").lower() not in PLAIN for name in CODINGS):
        return Outcome.ASSERTION, "the body came packed and is not looked at", {}
    if request.expect_text is not None and request.expect_text.encode() not in answer.body:
        return Outcome.ASSERTION, "the expected text is not in the body", {}
    if request.expect_json is None and not request.extract:
        return Outcome.OK, "", {}
    return _look_at_json(request, answer.body)


def _look_at_json(request: PlanRequest, body: bytes) -> tuple[Outcome, str, dict[str, Any]]:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return Outcome.ASSERTION, "the body is no JSON", {}
    if request.expect_json is not None and not contains(document, request.expect_json):
        return Outcome.ASSERTION, "the body is not the expected JSON", {}
    try:
        return Outcome.OK, "", {name: find(document, where) for name, where in request.extract.items()}
    except KeyError as missing:
        return Outcome.ASSERTION, f"nothing at {missing.args[0]} in the body", {}


def contains(given: Any, expected: Any) -> bool:
    """Whether `given` holds `expected`: objects may have more keys, all else is equal (true is not 1)."""
    if isinstance(expected, dict):
        return isinstance(given, dict) and all(
            key in given and contains(given[key], value) for key, value in expected.items()
        )
    if isinstance(expected, list):
        return isinstance(given, list) and len(given) == len(expected) and all(map(contains, given, expected))
    if isinstance(expected, bool) or isinstance(given, bool):
        return given is expected
    return bool(given == expected)
