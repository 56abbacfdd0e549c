"""A real warehouse some of whose questions always pass their deadline: a proxy that says so in its place."""

import json
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx

from tests.servers.warehouse import WarehouseProcess
from warehouse.errors import DeadlineError

MESSAGE = "it ran for longer than 10 s"


@contextmanager
def slow_warehouse(warehouse: WarehouseProcess, slow: Collection[str]) -> Iterator[Path]:
    """A configuration file whose warehouse answers 504 to the `slow` questions, or to all where empty."""

    class Proxy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            question = self.path.partition("?")[0].rpartition("/")[2]
            if not slow or question in slow:
                error = {
                    "title": DeadlineError.title,
                    "message": MESSAGE,
                    "hint": "Ask for a shorter window.",
                }
                self._reply(504, "application/json", json.dumps({"error": error}).encode())
                return
            told = {name: self.headers[name] for name in ("accept", "authorization") if name in self.headers}
            answer = httpx.get(warehouse.settings.warehouse.url + self.path, headers=told, trust_env=False)
            self._reply(answer.status_code, answer.headers["content-type"], answer.content)

        def _reply(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    config = warehouse.config.with_name("slow.toml")
    before = warehouse.config.read_text(encoding="utf-8")
    port = warehouse.settings.warehouse.port
    config.write_text(before.replace(f"port = {port}", f"port = {server.server_port}"), encoding="utf-8")
    try:
        yield config
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
