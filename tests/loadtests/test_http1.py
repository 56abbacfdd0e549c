"""HTTP/1.1 answers as bytes: however they are cut, whole, broken or hostile."""

from collections.abc import Iterator

import pytest

from loadtests.checks import contains
from loadtests.filling import Filler, MissingError
from loadtests.http1 import (
    ClosedError,
    ProtocolError,
    Response,
    TooLargeError,
    header,
    read_response,
)
from loadtests.prepared import request_bytes
from warehouse.pointer import find

PLAIN = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nhel\r\n2\r\nlo\r\n0\r\nTrailer: 1\r\n\r\n"
)
ANSWERS = {
    "plain": (PLAIN, b"hello", True),
    "chunked": (CHUNKED, b"hello", True),
    "interim": (b"HTTP/1.1 100 Continue\r\n\r\n" + PLAIN, b"hello", True),
    "close": (PLAIN.replace(b"OK\r\n", b"OK\r\nConnection: close\r\n"), b"hello", False),
    "HTTP/1.0": (PLAIN.replace(b"HTTP/1.1", b"HTTP/1.0"), b"hello", False),
    "until closed": (b"HTTP/1.1 200 OK\r\n\r\nhello", b"hello", False),
    "another coding": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nhello", b"hello", False),
    "not modified": (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", b"", True),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", b"", True),
    "more than it says": (PLAIN + b"HTTP/1.1 200 OK\r\n", b"hello", False),
}
BROKEN = {
    b"": ClosedError,
    b"HTTP/1.1 200 OK\r\nContent-Le": ClosedError,
    PLAIN[:-1]: ClosedError,
    CHUNKED[:-9]: ClosedError,
    b"SSH-2.0-OpenSSH\r\n\r\n": ProtocolError,
    b"HTTP/1.1 OK\r\n\r\n": ProtocolError,
    b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n": ProtocolError,
    b"HTTP/1.1 200 OK\r\nX y: 1\r\n\r\n": ProtocolError,
    b"HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n": ProtocolError,
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello": ProtocolError,
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n": ProtocolError,
    b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n": ProtocolError,
    b"HTTP/1.1 100 Continue\r\n\r\n" * 3000: ProtocolError,
    b"HTTP/1.1 101 Switching Protocols\r\n\r\n": ProtocolError,
    b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n": ProtocolError,
    b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n": ProtocolError,
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n": ProtocolError,
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhello\r\n": ProtocolError,
    b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000: ProtocolError,
    b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n": TooLargeError,
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffff\r\n": TooLargeError,
}


def read(answer: bytes, cut: int, method: str = "GET") -> Response:
    parts: Iterator[bytes] = (answer[at : at + cut] for at in range(0, len(answer), cut))
    return read_response(lambda: next(parts, b""), method)


@pytest.mark.parametrize("cut", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("kind", ANSWERS)
def test_answers_are_read_however_they_are_cut(kind: str, cut: int) -> None:
    answer, body, is_kept = ANSWERS[kind]
    response = read(answer, cut)
    assert response.body == body
    if kind != "more than it says" or cut == 1000:
        assert response.is_kept is is_kept


@pytest.mark.parametrize("cut", [1, 7, 100_000])
@pytest.mark.parametrize("answer", BROKEN, ids=range(len(BROKEN)))
def test_what_is_no_whole_answer_says_so(answer: bytes, cut: int) -> None:
    with pytest.raises(BROKEN[answer]):
        read(answer, cut)


def test_an_answer_without_end_is_too_large() -> None:
    parts = iter(lambda: b"1;" + b"x" * 30_000 + b"\r\na\r\n", b"")
    head = [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"]
    with pytest.raises(TooLargeError):
        read_response(lambda: head.pop() if head else next(parts), "GET")


def test_trailers_without_end_take_no_room() -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"
    assert read(head + b"X: y\r\n" * 10_000 + b"\r\n", 16_384).body == b""


def test_head_has_no_body() -> None:
    assert read(PLAIN.removesuffix(b"hello"), 5, "HEAD")[2:] == (b"", True)


def test_headers_are_found_whatever_their_case() -> None:
    answer = b"HTTP/1.1 302 Found\r\nLOCATION:  /There \r\nEmpty:\r\nContent-Length: 0\r\n\r\n"
    for cut in (1, 5, 1000):
        headers = read(answer, cut).head
        assert header(headers, "location") == "/There"
        assert header(headers, "empty") == ""
        assert header(headers, "retry-after") is None


@pytest.mark.parametrize("value", ["a\r\nX: y", "a\nb", "a\0b"])
def test_no_header_smuggles_another(value: str) -> None:
    with pytest.raises(ValueError, match="without control characters"):
        request_bytes("GET", "/", [("X", value)], b"")


def test_values_are_filled_in_where_their_name_stands() -> None:
    filler = Filler(["id", "name"])
    values = {"id": 7, "name": "a/b ?\u00e4"}
    assert filler.path("/x/{id}/{name}/{other}", values) == "/x/7/a%2Fb%20%3F%C3%A4/{other}"
    assert filler.json({"id": "{id}", "of": ["is {id}", 1, None]}, values) == {
        "id": 7,
        "of": ["is 7", 1, None],
    }
    with pytest.raises(MissingError, match="id"):
        filler.text("{id}", {})
    assert Filler([]).text("{id}", {}) == "{id}"


def test_pointers_lead_through_objects_and_lists() -> None:
    document = {"data": {"items": [{"id": 5}]}}
    assert find(document, "data.items.0.id") == 5
    for wrong in ("data.items.1.id", "data.items.id", "nothing", "data.items.0.id.x"):
        with pytest.raises(KeyError):
            find(document, wrong)


def test_json_is_compared_as_json_has_it() -> None:
    assert contains({"a": {"b": 1, "c": 2}, "d": [1]}, {"a": {"b": 1}, "d": [1]})
    assert not contains({"a": 1}, {"a": True})
    assert not contains({"d": [1, 2]}, {"d": [1]})
