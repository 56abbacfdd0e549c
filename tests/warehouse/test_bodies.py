"""Answers go out in pieces that are their body, no more and no less."""

import asyncio
from typing import Any

import pytest

from warehouse.bodies import PIECE, InPieces


@pytest.mark.parametrize("length", [0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE])
def test_pieces_make_the_body(length: int) -> None:
    body = bytes(number % 251 for number in range(length))
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError("nothing is waited for")

    response = InPieces(memoryview(body), media_type="text/plain", headers={"x-one": "1"})
    asyncio.run(response({"type": "http"}, receive, send))
    start, *pieces = sent
    assert (start["type"], start["status"]) == ("http.response.start", 200)
    expected = {(b"content-length", str(length).encode()), (b"x-one", b"1")}
    assert expected <= set(start["headers"])
    assert b"".join(piece["body"] for piece in pieces) == body
    assert all(len(piece["body"]) <= PIECE for piece in pieces)
    assert [piece["more_body"] for piece in pieces] == [True] * (len(pieces) - 1) + [False]
