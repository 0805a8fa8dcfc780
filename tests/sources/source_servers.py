"""HTTP servers on the loopback that serve well or badly."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Request(BaseHTTPRequestHandler):
    """One request; routes write their answers to it."""

    server: _Server

    def do_GET(self) -> None:
        route = self.server.routes.get(self.path.split("?")[0])
        if route is None:
            self.send_error(404)
        else:
            route(self)

    def head(self, status: int = 200, **headers: str) -> None:
        """Send the first line and headers; underscores stand for dashes."""
        self.send_response(status)
        for name, value in {**headers, "Connection": "close"}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def hold(self) -> None:
        """Say nothing more until the server ends."""
        self.wfile.flush()
        self.server.ending.wait()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing on the terminal."""


Route = Callable[[Request], None]


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, routes: Mapping[str, Route], port: int) -> None:
        self.routes, self.ending = routes, threading.Event()
        super().__init__(("127.0.0.1", port), Request)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is no event."""


@contextlib.contextmanager
def serve(routes: Mapping[str, Route], port: int = 0) -> Iterator[str]:
    """Serve the routes; gives ``http://127.0.0.1:PORT``."""
    server = _Server(routes, port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.ending.set()
        server.shutdown()
        server.server_close()
        thread.join()


def recording(data: bytes, sent: int | None = None) -> Route:
    """A file of known length, of which only ``sent`` bytes arrive."""

    def route(request: Request) -> None:
        request.head(Content_Length=str(len(data)))
        request.wfile.write(data[:sent])

    return route


def stream(data: bytes, hold: bool = False) -> Route:
    """Data of unknown length, after which the server hangs up or falls silent."""

    def route(request: Request) -> None:
        request.head(Content_Type="video/mp2t")
        request.wfile.write(data)
        if hold:
            request.hold()

    return route
