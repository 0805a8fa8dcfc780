"""Scenes on an MQTT broker, with a retained state and a last will."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING
from uuid import uuid4

from drivenet.address import mask_uri
from drivenet.errors import SinkError
from drivenet.health import Event, Health
from drivenet.result import Result, Totals
from drivenet.sinks.base import Sink, SinkAwayError
from drivenet.sinks.clock import reached
from drivenet.sinks.extras import need
from drivenet.sinks.jsonl import to_json
from drivenet.sinks.mqtt_address import MqttAddress, parse_address
from drivenet.sinks.node_state import NodeState, event_message
from drivenet.wall_clock import WALL

if TYPE_CHECKING:
    from paho.mqtt.client import Client, ConnectFlags, MQTTMessageInfo
    from paho.mqtt.properties import Properties
    from paho.mqtt.reasoncodes import ReasonCode

#: How long a connection may take, and then the broker's answer.
_CONNECT_S, _ANSWER_S = 3.0, 5.0
#: Seconds between attempts to come back, doubled up to the second.
_DELAYS_S = (1, 30)
#: A node that falls silent is declared offline by the broker after one and a half times as long.
_KEEPALIVE_S = 10
#: How long a scene, and the farewell, may take to be written to the network.
_WRITE_S = 1.0


class MqttSink(Sink):
    """Publishes ``TOPIC/scene`` for every result (QoS 0), and ``TOPIC/state`` whenever it changes (retained).

    A scene is a frame's line of the stats file with ``captured_unix_ns``, its capture time by the wall clock. The
    state is ``online``, that of the node's health where nothing good comes out (``lost``, ``stalled``, ``suspect``,
    ``failed``) or ``offline``; ``TOPIC/event`` has what happens. Nothing is kept for a broker that is away: when it is
    back it gets the state and the scenes from then on. At most one scene waits for a slow network.

    Args:
        uri: ``mqtt://[user:password@]host[:port]/topic``, or ``mqtts://`` for TLS, where ``?ca=FILE`` names the
            certificates to trust instead of the system's.

    Raises:
        UsageError: for an address that is not like this, or if the extra ``[mqtt]`` is not installed.
        SinkError: if there is no broker, or it refuses.
        SinkAwayError: from ``publish``, while a broker that was there is away.
    """

    name = "mqtt"
    overflow = "drop"
    needs_view = False

    def __init__(self, uri: str) -> None:
        self.check_address(uri)
        address = parse_address(uri)
        self.target, self._address = mask_uri(uri), address
        self._scene, self._state = f"{address.topic}/scene", f"{address.topic}/state"
        self._events = f"{address.topic}/event"
        self._node = NodeState()
        #: Scenes that were not sent because the broker, or the network to it, was away or slow.
        self._missed = 0
        self._last: MQTTMessageInfo | None = None
        self._telling, self._answered, self._left = threading.Lock(), threading.Event(), threading.Event()
        self._refusal = ""
        self._said = self._node.to_dict()
        self._client = self._make_client(address)
        self._connect(address)

    @classmethod
    def check_address(cls, uri: str) -> None:
        """See :meth:`Sink.check_address`."""
        parse_address(uri)
        need("paho.mqtt.client", "an mqtt:// output", "mqtt")

    def publish(self, result: Result) -> bool:
        """Send a scene, if the broker is there; False where the network has not taken the last one."""
        if self._node.publishes(result.labels):
            self._tell()
        if not self._client.is_connected():
            raise self._away()
        if self._is_waiting():
            self._missed += 1
            return False
        at = WALL.at(result.frame.captured_ns)
        scene = {**reached(result).to_dict(), "captured_unix_ns": at}
        self._last = self._client.publish(self._scene, to_json(scene))
        with suppress(RuntimeError):  # the connection broke meanwhile
            self._last.wait_for_publish(_WRITE_S)
        if self._last.rc:
            raise self._away()
        return True

    def health(self, health: Health) -> None:
        """Say how the node is, when that changes."""
        if self._node.fares(health):
            self._tell()

    def event(self, event: Event) -> None:
        """Send what happened, if the broker is there."""
        if event.severity != "debug" and self._client.is_connected():
            self._client.publish(self._events, to_json(event_message(event)))

    def status(self, totals: Totals) -> None:
        """Say which engine it is, as soon as that is known."""
        if self._node.works_with(totals.engine):
            self._tell()

    def close(self, totals: Totals) -> None:
        """Say goodbye, and what came of the run; waits no longer than a second for a network that is slow."""
        self._node.ended(totals, missed=self._missed)
        self._tell()
        self._leave()

    def _away(self) -> SinkAwayError:
        self._missed += 1
        if self._refusal:
            return SinkAwayError(*self._refused())
        return SinkAwayError(f"the MQTT broker at {self._address} is away", cure="check it and the network")

    def _refused(self) -> tuple[str, str, str]:
        """What it says, what would be right, and the cure."""
        return f"the MQTT broker at {self._address} refuses: {self._refusal}", "", "check user and password"

    def _is_waiting(self) -> bool:
        """Whether the last scene is still to be written to the network."""
        try:
            return self._last is not None and not self._last.is_published()
        except RuntimeError:  # it never will be
            return False

    def _tell(self) -> None:
        with self._telling:
            self._said = self._node.to_dict()
            self._send_state()

    def _send_state(self) -> None:
        """Under the lock, so that the newest is the last one sent. It has nothing to wait for while offline."""
        if self._client.is_connected():
            self._client.publish(self._state, to_json(self._said), retain=True)

    def _connect(self, address: MqttAddress) -> None:
        """Return once the broker has accepted the connection."""
        try:
            self._client.connect(address.host, address.port, _KEEPALIVE_S)
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            raise SinkError(f"no MQTT broker at {address}: {why}", cure="check the address and the broker") from error
        self._client.loop_start()
        if not self._answered.wait(_ANSWER_S):
            self._leave()
            raise SinkError(f"what listens at {address} does not answer as an MQTT broker", cure="check the port")
        if self._refusal:
            self._leave()
            raise SinkError(*self._refused())

    def _make_client(self, address: MqttAddress) -> Client:
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion

        client = Client(CallbackAPIVersion.VERSION2, client_id=f"drivenet-{uuid4().hex[:12]}")
        client.on_connect, client.on_disconnect = self._on_connect, lambda *_: self._left.set()
        client.on_connect_fail = self._on_connect_fail
        client.connect_timeout = _CONNECT_S
        client.reconnect_delay_set(*_DELAYS_S)
        client.will_set(self._state, to_json({"state": "offline", "reason": "connection lost"}), qos=1, retain=True)
        client.username_pw_set(address.user, address.password)
        if address.tls:
            try:
                client.tls_set(ca_certs=address.ca)
            except OSError as error:
                raise SinkError(f"cannot read the certificates {address.ca}: {error}", "a PEM file") from error
        return client

    def _on_connect(
        self, client: Client, _: object, flags: ConnectFlags, reason: ReasonCode, properties: Properties | None
    ) -> None:
        """In the network's thread, at the first connection and at every later one."""
        self._refusal = str(reason) if reason.is_failure else ""
        if not reason.is_failure:
            with self._telling:
                self._send_state()
        self._answered.set()

    def _on_connect_fail(self, *_: object) -> None:
        """In the network's thread: nobody is there, who could refuse."""
        self._refusal = ""

    def _leave(self) -> None:
        """Disconnect after what is already on its way; a thread that still tries to connect ends by itself."""
        self._left.clear()
        self._client.on_connect = _turn_back
        if self._client.disconnect() == 0 and self._left.wait(_WRITE_S):
            self._client.loop_stop()
        # who refers to each other is let go of late, and with paho's client go two sockets
        self._client.on_disconnect = self._client.on_connect_fail = None


def _turn_back(client: Client, *_: object) -> None:
    """Leave a broker that a client was on the way back to when its sink was closed."""
    client.disconnect()
