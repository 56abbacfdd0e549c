"""An answer that is made while it is sent gives its place back, however it ends."""

from collections.abc import Generator

import anyio
import pytest
from starlette.types import Message

from warehouse import streamed
from warehouse.streamed import Streamed

SCOPE = {"type": "http", "path": "/api/v1/backup", "asgi": {"spec_version": "2.0"}}


async def nothing() -> Message:
    await anyio.sleep_forever()
    raise AssertionError("unreachable")


@pytest.mark.parametrize("ending", ["read", "stalled", "gone"])
def test_the_place_is_given_back(ending: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streamed, "STALLED_S", 0.2 if ending == "stalled" else 60)
    freed = []
    sent: list[Message] = []

    def blocks() -> Generator[bytes]:
        try:
            yield from (b"first", b"second", b"third")
        finally:
            freed.append(True)

    async def send(message: Message) -> None:
        sent.append(message)
        if ending != "read" and len(sent) > 1:
            await anyio.sleep_forever()

    async def receive() -> Message:
        if ending == "gone" and sent:
            return {"type": "http.disconnect"}
        return await nothing()

    made = blocks()
    answer = Streamed(next(made), made)
    anyio.run(answer, SCOPE, receive, send)
    assert freed == [True]
    whole = bool(sent) and sent[-1]["type"] == "http.response.body" and not sent[-1]["more_body"]
    assert whole == (ending == "read")
