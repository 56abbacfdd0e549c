"""Reads an HTTP/1.1 answer with llhttp from whatever delivers bytes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

# llhttp as Locust's own client has it. The package imports gevent, which changes nothing by itself.
from geventhttpclient._parser import HTTPParseError, HTTPResponseParser

MOST_HEAD_BYTES = 64 * 1024
MOST_BODY_BYTES = 64 * 1024 * 1024
MOST_BYTES = MOST_BODY_BYTES + MOST_HEAD_BYTES
VERSIONS = ("HTTP/1.1", "HTTP/1.0")


class ProtocolError(Exception):
    """What came is no HTTP/1.1 answer."""


class ClosedError(Exception):
    """The connection ended before the answer did."""


class TooLargeError(Exception):
    """The answer's body is longer than what is read of one."""


class Response(NamedTuple):
    """A whole answer. `head` is for `headers`; `is_kept`: the connection may be used again."""

    status: int
    head: bytes
    body: bytes
    is_kept: bool


Receive = Callable[[], bytes]
"""Delivers the next bytes; none when the other side has closed."""


def read_response(receive: Receive, method: str) -> Response:
    """Read one answer; interim ones (1xx) are passed over.

    Raises ClosedError, ProtocolError or TooLargeError, and whatever `receive` raises.
    """
    answer = _Answer(is_bodiless=method == "HEAD")
    while not answer.is_whole:
        answer.take(receive())
    is_kept = answer.should_keep_alive() and not answer.is_followed
    return Response(answer.status, answer.head, b"".join(answer.parts), is_kept)


def headers(head: bytes) -> list[tuple[str, str]]:
    """Name (in lower case) and value of each header of a whole answer."""
    reading = _Head()
    with suppress(HTTPParseError):  # of what came with the head
        reading.feed(head)
    return list(zip(reading.names, reading.values, strict=True))


def header(head: bytes, name: str) -> str | None:
    """The first value of a header (its name in lower case), None where there is none."""
    return next((value for each, value in headers(head) if each == name), None)


class _Answer(HTTPResponseParser):
    """One answer as it comes: llhttp calls what begins with `_on_`.

    Headers are read when somebody asks for them: most answers are never asked.
    """

    def __init__(self, *, is_bodiless: bool) -> None:
        super().__init__()
        self.status = 0
        """0 until its head is there; interim ones do not count."""
        self.head = b""
        """All bytes up to the end of its head, and what came with that."""
        self.parts: list[bytearray] = []
        self.is_whole = False
        self.is_followed = False
        self._is_bodiless = is_bodiless
        self._got = 0

    def take(self, part: bytes) -> None:
        """Go on with these bytes; none: the other side has closed. Raises as `read_response` does."""
        self._got += len(part)
        if not self.status:
            self.head += part
        try:
            self.feed(part)
        except HTTPParseError as error:
            if not part:
                raise ClosedError from None
            if not self.is_whole:
                raise ProtocolError(f"the answer is not HTTP/1.1: {error.args[0]}") from None
            self.is_followed = True
        if not self.is_whole:
            self._check(part)

    def _check(self, part: bytes) -> None:
        if not part:
            raise ClosedError
        if not self.status:
            if self._got > MOST_HEAD_BYTES:
                raise ProtocolError("the answer's head is too long")
        elif self._got > MOST_BYTES or self.get_remaining_content_length() > MOST_BODY_BYTES:
            raise TooLargeError

    def _on_message_begin(self) -> None:
        self.is_followed = self.is_whole

    def _on_status(self, words: str) -> None:
        pass

    def _on_header_field(self, part: str) -> None:
        pass

    def _on_header_value(self, part: str) -> None:
        pass

    def _on_headers_complete(self) -> bool:
        """Whether no body follows, whatever the headers say."""
        status, version = self.get_code(), self.get_http_version()
        if version not in VERSIONS:
            raise ProtocolError(f"the answer is {version}, not HTTP/1.1")
        if status == 101:
            raise ProtocolError("the server switched to another protocol")
        if status >= 200 and not self.is_whole:
            self.status = status
        return self._is_bodiless

    def _on_body(self, part: bytearray) -> None:
        if not self.is_whole:
            self.parts.append(part)

    def _on_message_complete(self) -> None:
        self.is_whole = self.status > 0


class _Head(_Answer):
    """The head of an answer, fed at once: so that no name or value comes in pieces."""

    def __init__(self) -> None:
        super().__init__(is_bodiless=True)
        self.names: list[str] = []
        self.values: list[str] = []

    def _on_header_field(self, part: str) -> None:
        if not self.status:
            self.names.append(part.lower())

    def _on_header_value(self, part: str) -> None:
        if not self.status:
            self.values.append(part.strip())

    def _on_message_begin(self) -> None:
        if not self.status:  # what came before was interim
            self.names.clear()
            self.values.clear()
