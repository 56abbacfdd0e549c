"""A session of the dashboard without a browser: speaks the web socket's own protocol, as a tab does."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.sync.client import ClientConnection, connect

RUN_S = 60.0


@dataclass
class Shown:
    """What one run of a page brought: its kinds of elements, and the texts a reader sees."""

    kinds: list[str] = field(default_factory=list)
    headings: list[str] = field(default_factory=list)
    alerts: list[str] = field(default_factory=list)
    exceptions: list[str] = field(default_factory=list)
    finished: bool = False

    @property
    def away(self) -> bool:
        """Whether the page says that the warehouse is away."""
        return "The warehouse is away" in self.headings


class Session:
    """One tab: open it, run its page again and again, close it."""

    def __init__(self, url: str, query: str = "") -> None:
        """`query` is that of the address, as `range=1h`."""
        self._query = query
        self._known: dict[str, ForwardMsg] = {}
        place = urlsplit(url).netloc
        self._open = ExitStack()
        self._socket: ClientConnection = self._open.enter_context(
            connect(
                f"ws://{place}/_stcore/stream",
                origin=f"http://{place}",
                subprotocols=["streamlit"],  # type: ignore[list-item]
                max_size=None,
                proxy=None,
            )
        )

    def run(self) -> Shown:
        """Run the page from the top; what it showed. Raises TimeoutError after RUN_S without a word."""
        wanted = BackMsg()
        wanted.rerun_script.query_string = self._query
        self._socket.send(wanted.SerializeToString())
        shown = Shown()
        started = False
        while not shown.finished:
            message = self._receive()
            kind = message.WhichOneof("type")
            if kind == "new_session":
                shown, started = Shown(), True
            elif kind == "delta" and message.delta.WhichOneof("type") == "new_element":
                _note(message, shown)
            elif kind == "script_finished" and started:
                shown.finished = message.script_finished == ForwardMsg.FINISHED_SUCCESSFULLY
        return shown

    def close(self) -> None:
        """Close the tab."""
        self._open.close()

    def _receive(self) -> ForwardMsg:
        message = ForwardMsg()
        message.ParseFromString(self._socket.recv(timeout=RUN_S, decode=False))
        if message.WhichOneof("type") == "ref_hash":
            return self._known[message.ref_hash]
        if message.metadata.cacheable:
            self._known[message.hash] = message
        return message


def _note(message: ForwardMsg, shown: Shown) -> None:
    element = message.delta.new_element
    kind = element.WhichOneof("type")
    shown.kinds.append(kind)
    if kind == "heading":
        shown.headings.append(element.heading.body)
    elif kind == "alert":
        shown.alerts.append(f"{element.alert.title} {element.alert.body}")
    elif kind == "exception":
        shown.exceptions.append(element.exception.message)
