"""A store that misbehaves: a proxy on loopback in front of a real one."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


class BadStore:
    """Passes requests on, unless told otherwise.

    `answers` are statuses for the next requests, None to pass one on. `dies` cuts the next
    requests in the middle, `stalls` leaves all without an answer, `pause` is seconds before each.
    """

    def __init__(self, upstream: str) -> None:
        self.answers: list[int | None] = []
        self.always: int | None = None
        self.dies = 0
        self.pause = 0.0
        self.requests = 0
        self.stalls = False
        self.released = threading.Event()
        parts = urlsplit(upstream)
        store = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one_request(self) -> None:
                try:
                    super().handle_one_request()
                except (ConnectionError, ValueError):
                    self.close_connection = True

            def relay(self) -> None:
                store.requests += 1
                if store.stalls:
                    store.released.wait(600)
                    self.close_connection = True
                    return
                store.released.wait(store.pause)
                length = int(self.headers.get("Content-Length") or 0)
                if store.dies and self.command == "PUT":
                    store.dies -= 1
                    self.rfile.read(length // 2)
                    self.connection.close()
                    self.close_connection = True
                    return
                body = self.rfile.read(length)
                status = store.answers.pop(0) if store.answers else store.always
                if status is not None:
                    self.send_response(status)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                upstream = http.client.HTTPConnection(parts.netloc, timeout=240)
                upstream.request(self.command, self.path, body, dict(self.headers))
                answer = upstream.getresponse()
                data = answer.read()
                self.send_response(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in ("transfer-encoding", "connection", "content-length"):
                        self.send_header(name, value)
                self.send_header(
                    "Content-Length", answer.headers.get("Content-Length", str(len(data)))
                )
                self.end_headers()
                self.wfile.write(data)
                upstream.close()

            do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = relay

            def log_message(self, *arguments: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self.server.server_address[1]}{parts.path}"


@contextmanager
def bad_store(upstream: str) -> Iterator[BadStore]:
    """A `BadStore` that serves for as long as the block."""
    store = BadStore(upstream)
    thread = threading.Thread(target=store.server.serve_forever, daemon=True)
    thread.start()
    try:
        yield store
    finally:
        store.released.set()
        store.server.shutdown()
        store.server.server_close()
