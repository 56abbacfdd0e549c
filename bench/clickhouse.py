"""ClickHouse (chdb) behind HTTP: SQL is posted, Arrow comes back, as from Perfhouse. For measuring only."""

from __future__ import annotations

import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

from chdb.session import Session


def serve(folder: str, port: int) -> None:
    """Answer on 127.0.0.1, one question at a time, until killed."""
    session = Session(folder)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # head and body leave together, or the kernel would wait between the two

        def do_POST(self) -> None:
            sql = self.rfile.read(int(self.headers["Content-Length"])).decode()
            body = bytes(session.query(sql, "ArrowStream").bytes())
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    HTTPServer(("127.0.0.1", port), Handler).serve_forever()


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]))
