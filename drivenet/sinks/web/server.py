"""uvicorn in a thread of its own, with bounds on time, size and number that it does not have by itself."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import CloseCode

from drivenet.errors import SinkError
from drivenet.sinks.priority import step_back
from drivenet.sinks.web.crowd import BUSY, MAX_CONNECTIONS, MOST_CONNECTIONS, Crowd, HealthOnly
from drivenet.sinks.web.hub import HubGroup

if TYPE_CHECKING:
    from uvicorn._types import ASGISendEvent

#: From a connection to its first whole request, and between requests.
HEADER_S, KEEP_ALIVE_S = 10, 5
#: A viewer that takes so long for one picture is gone.
STALL_S = 20
_MAX_HEADER_BYTES = 16 * 1024
_MAX_MESSAGE_BYTES = 1024
#: How the headers begin that websockets reads and repeats.
_HANDSHAKE = (b"connection", b"sec-websocket-")
_NO_HANDSHAKE = "no handshake of a WebSocket: a body, an address or headers that are too long, or are no ASCII\n"
# half a dozen pictures: a slow viewer's are not seconds old when it gets them
_SEND_BUFFER_BYTES = 256 * 1024
_START_S, _STOP_S = 10.0, 2.0
# what viewers have to take their leave, before they are cut; uvicorn would cancel them, and write a traceback for each
_LEAVE_S = 0.5

_LOG = logging.getLogger(__name__)


class Cut:
    """Mixed into a protocol: cuts a peer that reads so slowly that one picture takes :data:`STALL_S`."""

    transport: asyncio.Transport
    _stalled: asyncio.TimerHandle | None = None

    def pause_writing(self) -> None:
        """The peer's buffers are full."""
        super().pause_writing()  # type: ignore[misc]
        self._stalled = asyncio.get_running_loop().call_later(STALL_S, self.transport.abort)

    def resume_writing(self) -> None:
        """The peer has read."""
        self._moving()
        super().resume_writing()  # type: ignore[misc]

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing to cut any more."""
        self._moving()
        super().connection_lost(exc)  # type: ignore[misc]

    @property
    def stalled(self) -> bool:
        """Whether the peer has yet to read what was sent."""
        return self._stalled is not None

    def _moving(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None


class BoundedWebSocket(Cut, WebSocketsSansIOProtocol):
    """uvicorn's WebSocket, cut when it stalls, and refused when its handshake cannot be read."""

    def data_received(self, data: bytes) -> None:
        """Refuse what is no handshake, although it was a request: uvicorn would neither answer nor close."""
        super().data_received(data)
        if not self.handshake_initiated:
            self.transport.write(self.conn.reject(400, _NO_HANDSHAKE).serialize())
            self.transport.close()

    async def send(self, message: ASGISendEvent) -> None:
        """Note that a refusal, too, completes the handshake: uvicorn would log an error."""
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and self.close_sent:
            self.handshake_complete = True

    def send_receive_event_to_app(self) -> None:
        """Send a viewer home whose text is no UTF-8: uvicorn would log a traceback."""
        if self.curr_msg_data_type == "text" and not self.close_sent:
            try:
                b"".join(self.frames).decode()
            except UnicodeDecodeError:
                self.conn.fail(CloseCode.INVALID_DATA)
                self.handle_parser_exception()
        super().send_receive_event_to_app()


class BoundedHttp(Cut, H11Protocol):
    """uvicorn's HTTP, cut when it stalls, and when a request does not come or comes very slowly."""

    _deadline: asyncio.TimerHandle | None = None
    _crowded = False

    def __init__(self, *args: Any, crowd: Crowd, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._crowd = crowd

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the request."""
        super().connection_made(transport)
        if len(self.connections) > MOST_CONNECTIONS:
            self._crowd.make_room(self)
        if len(self.connections) > MAX_CONNECTIONS:  # uvicorn's own limit would refuse those who came before, too
            self._crowded = True
            self.app = HealthOnly(self.app)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Wait no longer when a request is whole; wait again when the next one has begun."""
        super().data_received(data)
        self._watch()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Refuse a handshake beyond ASCII: websockets before 17 fails while it answers."""
        if any(name.startswith(_HANDSHAKE) and max(value, default=0) > 127 for name, value in event.headers):
            self.send_400_response(_NO_HANDSHAKE)
        elif self._crowded or not self._crowd.handshakes.take(self.client[0] if self.client else ""):
            self.transport.write(BUSY)
            self.transport.close()
        else:
            super().handle_websocket_upgrade(event)

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP, unless an answer is under way: uvicorn would log tracebacks about two."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            super().send_400_response(msg)
        else:
            self.transport.close()
        if self.cycle is not None:
            self.cycle.disconnected = True

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._forget_deadline()
        self._crowd.served(self)
        super().connection_lost(exc)

    def _watch(self) -> None:
        # a request for a WebSocket is whole when it has its own protocol; h11 is not told, and waits for a body
        upgraded = self.transport.get_protocol() is not self
        incomplete = self.conn.their_state in (h11.IDLE, h11.SEND_BODY)
        if upgraded or not incomplete:
            self._forget_deadline()
            self._crowd.served(self)
        elif self._deadline is None:
            self._crowd.wait(self)
            self._deadline = self.loop.call_later(HEADER_S, self._give_up)

    def _give_up(self) -> None:
        self._deadline = None
        if self.conn.their_state in (h11.IDLE, h11.SEND_BODY):
            self.transport.abort()

    def _forget_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class Server:
    """A running server.

    Args:
        app: what it serves.
        hub: those that are told the loop in which viewers live.
        listener: a bound socket; the server closes it.

    Raises:
        SinkError: if it does not start.
    """

    def __init__(self, app: ASGIApp, hub: HubGroup, listener: socket.socket) -> None:
        self._hub, self._listener = hub, listener
        self._uvicorn = uvicorn.Server(_config(app))
        self._started, self._error = threading.Event(), ""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="drivenet-web", daemon=True)
        self._thread.start()
        if not self._started.wait(_START_S) or self._loop is None:
            raise SinkError("the live page does not start", self._error, "leave --serve out")

    def _run(self) -> None:
        step_back()  # the threads that encode are started from this one
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # noqa: BLE001 - told by check()
            self._error = str(error) or type(error).__name__
            _LOG.exception("the live page has ended")
        finally:
            self._started.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._hub.start(self._loop)
        # the socket listens already: a connection that comes before accept() waits in its queue
        self._started.set()
        await self._uvicorn.serve(sockets=[self._listener])

    def check(self) -> None:
        """SinkError if the server's thread has ended by itself."""
        if not self._thread.is_alive():
            why = f": {self._error}" if self._error else ""
            raise SinkError(f"the live page has ended{why}", cure="start the node again")

    def stop(self) -> None:
        """End all connections and the thread, within about two seconds."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._send_home)
        self._uvicorn.should_exit = True
        self._thread.join(2 * _STOP_S)
        self._hub.stop()

    def _send_home(self) -> None:
        """End all viewers; those who are not reading would be waited for, and the others not for long."""
        self._hub.end_viewers()
        self._cut(stalled=True)
        asyncio.get_running_loop().call_later(_LEAVE_S, self._cut)

    def _cut(self, stalled: bool = False) -> None:
        """All connections that are left, or those who do not read."""
        for connection in list(self._uvicorn.server_state.connections):
            if isinstance(connection, Cut) and (connection.stalled or not stalled):
                connection.transport.abort()


def _config(app: ASGIApp) -> uvicorn.Config:
    log = logging.getLogger("uvicorn")
    if not log.handlers:
        log.setLevel(logging.ERROR)  # what a stranger sends is no matter for this program's log
    return uvicorn.Config(
        app,
        http=partial(BoundedHttp, crowd=Crowd()),  # type: ignore[arg-type]
        ws=BoundedWebSocket,
        loop="asyncio",
        lifespan="off",
        log_config=None,
        access_log=False,  # query strings may hold the token
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=int(_STOP_S),
        h11_max_incomplete_event_size=_MAX_HEADER_BYTES,
        ws_max_size=_MAX_MESSAGE_BYTES,
        ws_per_message_deflate=False,  # pictures and ids are compressed already
        ws_ping_interval=10,
        ws_ping_timeout=20,
    )


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one.

    Raises:
        SinkError: if the address is not there or taken.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except (OSError, OverflowError, ValueError) as error:  # ValueError for a name that no host can have
        raise _no_page(host, port, error) from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # a peer that vanished holds its connection no longer than this
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 20_000)
        listener.bind(address)
        listener.listen(256)
    except OSError as error:
        listener.close()
        raise _no_page(host, port, error) from error
    listener.setblocking(False)
    return listener


def _no_page(host: str, port: int, error: Exception) -> SinkError:
    said = getattr(error, "strerror", None) or str(error)
    shown = f"[{host}]" if ":" in host else host
    return SinkError(f"cannot serve on {shown}:{port}: {said}", cure="name a free port of this machine")
