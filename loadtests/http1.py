"""HTTP/1.1 as bytes: a request's, and an answer read from whatever delivers bytes (pure)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

MOST_HEAD_BYTES = 64 * 1024
MOST_BODY_BYTES = 64 * 1024 * 1024
END_OF_HEAD = b"\r\n\r\n"
BODILESS = (204, 304)


class ProtocolError(Exception):
    """What came is no HTTP/1.1 answer."""


class ClosedError(Exception):
    """The connection ended before the answer did."""


class TooLargeError(Exception):
    """The answer's body is longer than what is read of one."""


class Response(NamedTuple):
    """A whole answer. `head` is everything up to the body; `is_kept`: the connection may be used again."""

    status: int
    head: bytes
    body: bytes
    is_kept: bool


Receive = Callable[[], bytes]
"""Delivers the next bytes; none when the other side has closed."""


def request_bytes(method: str, target: str, headers: Iterable[tuple[str, str]], body: bytes) -> bytes:
    """A request, with its Content-Length. Raises ValueError on control characters."""
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers)]
    if body or method in ("POST", "PUT", "PATCH"):
        lines.append(f"Content-Length: {len(body)}")
    if any(not line.isprintable() for line in lines):
        raise ValueError("expected headers and a path without control characters")
    return "\r\n".join(lines).encode("utf-8") + END_OF_HEAD + body


def read_response(receive: Receive, method: str) -> Response:
    """Read one answer; interim ones (1xx) are passed over.

    Raises ClosedError, ProtocolError or TooLargeError, and whatever `receive` raises.
    """
    buffer = _more(receive)
    while True:
        while (end := buffer.find(END_OF_HEAD)) < 0:
            if len(buffer) > MOST_HEAD_BYTES:
                raise ProtocolError("the answer's head is too long")
            buffer += _more(receive)
        status = _status(buffer)
        head, rest = buffer[: end + 2], buffer[end + 4 :]
        if status >= 200:
            break
        if status == 101:
            raise ProtocolError("the server switched to another protocol")
        buffer = rest or _more(receive)
    body, is_kept = _read_body(receive, method, status, head, rest)
    return Response(status, head, body, is_kept)


def header(head: bytes, name: bytes) -> bytes | None:
    """The value of a header (its name in lower case), None where there is none."""
    at = head.lower().find(b"\r\n" + name + b":")
    if at < 0:
        return None
    start = at + len(name) + 3
    return head[start : head.find(b"\r\n", start)].strip()


def _more(receive: Receive) -> bytes:
    part = receive()
    if not part:
        raise ClosedError
    return part


def _status(head: bytes) -> int:
    if not head.startswith((b"HTTP/1.1 ", b"HTTP/1.0 ")) or not head[9:12].isdigit() or head[9:10] == b"0":
        raise ProtocolError("the answer does not begin with an HTTP/1.1 status")
    return int(head[9:12])


def _read_body(receive: Receive, method: str, status: int, head: bytes, rest: bytes) -> tuple[bytes, bool]:
    connection = (header(head, b"connection") or b"").lower()
    is_kept = b"close" not in connection and (head[7:8] == b"1" or b"keep-alive" in connection)
    if method == "HEAD" or status in BODILESS:
        return b"", is_kept and not rest
    coding = header(head, b"transfer-encoding")
    if coding is not None:
        if coding.lower() != b"chunked":
            raise ProtocolError("the answer has an unknown transfer coding")
        body, left = _chunked(receive, rest)
        return body, is_kept and not left
    length = header(head, b"content-length")
    if length is None:
        return _until_closed(receive, rest), False
    if not length.isdigit() or len(length) > 18:
        raise ProtocolError("the answer's Content-Length is no number")
    return _sized(receive, rest, int(length), is_kept=is_kept)


def _sized(receive: Receive, rest: bytes, length: int, *, is_kept: bool) -> tuple[bytes, bool]:
    if len(rest) >= length:
        return rest[:length], is_kept and len(rest) == length
    if length > MOST_BODY_BYTES:
        raise TooLargeError
    parts, got = [rest], len(rest)
    while got < length:
        parts.append(_more(receive))
        got += len(parts[-1])
    body = b"".join(parts)
    return body[:length], is_kept and got == length


def _until_closed(receive: Receive, rest: bytes) -> bytes:
    parts, got = [rest], len(rest)
    while part := receive():
        parts.append(part)
        got += len(part)
        if got > MOST_BODY_BYTES:
            raise TooLargeError
    return b"".join(parts)


def _chunked(receive: Receive, buffer: bytes) -> tuple[bytes, bytes]:
    """The chunks' bytes, and what came after the last one."""
    parts: list[bytes] = []
    total = 0
    while True:
        line, buffer = _line(receive, buffer)
        try:
            size = int(line.partition(b";")[0].strip(), 16)
        except ValueError:
            raise ProtocolError("a chunk's size is no number") from None
        total += size
        if size < 0 or total > MOST_BODY_BYTES:
            raise TooLargeError
        if size == 0:
            break
        have = [buffer]
        got = len(buffer)
        while got < size + 2:
            have.append(_more(receive))
            got += len(have[-1])
        buffer = b"".join(have)
        parts.append(buffer[:size])
        if buffer[size : size + 2] != b"\r\n":
            raise ProtocolError("a chunk is longer than it says")
        buffer = buffer[size + 2 :]
    while True:
        trailer, buffer = _line(receive, buffer)
        if not trailer:
            return b"".join(parts), buffer


def _line(receive: Receive, buffer: bytes) -> tuple[bytes, bytes]:
    while (end := buffer.find(b"\r\n")) < 0:
        if len(buffer) > MOST_HEAD_BYTES:
            raise ProtocolError("a line of the answer's body is too long")
        buffer += _more(receive)
    return buffer[:end], buffer[end + 2 :]
