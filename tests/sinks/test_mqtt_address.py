"""MQTT: addresses that are wrong, and a package that is missing."""

from __future__ import annotations

import sys

import pytest

from drivenet.errors import UsageError
from drivenet.sinks import mqtt, open_sink
from drivenet.sinks.mqtt_address import parse_address

pytest.importorskip("paho.mqtt.client", reason="paho-mqtt is not installed (extra [mqtt])")


def test_an_address_in_its_parts() -> None:
    assert parse_address("mqtt://host/a/b/") == mqtt.MqttAddress("host", 1883, "a/b")
    address = parse_address("mqtts://me:a%40b@[::1]:99/t?ca=/x.pem")
    assert (address.host, address.port, address.user, address.password) == ("::1", 99, "me", "a@b")
    assert (address.tls, address.ca, str(address)) == (True, "/x.pem", "[::1]:99")
    assert parse_address("mqtts://host/t").port == 8883
    assert "a@b" not in repr(address)


@pytest.mark.parametrize(
    "uri",
    [
        "mqtt://me:s3cret@host",
        "mqtt://me:s3cret@/topic",
        "mqtt://me:s3cret@host:0/topic",
        "mqtt://me:x#s3cret@host/topic",
        "mqtt://me:x?s3cret@host/topic",
        "mqtt://me:x/s3cret@host/topic",
        "mqtt://me:s3cret@host:port/topic",
        "mqtt://me:s3cret@host/a/%23",
        "mqtt://me:s3cret@host/+/a",
        "mqtt://me:s3cret@host/topic?quality=2",
    ],
)
def test_a_wrong_address_is_a_usage_error_that_tells_no_secret(uri: str) -> None:
    with pytest.raises(UsageError) as caught:
        open_sink(uri, fps=0, visualize="overlay")
    assert "s3cret" not in str(caught.value)


def test_a_missing_package_says_which_extra_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "paho.mqtt.client", None)
    with pytest.raises(UsageError, match=r'pip install "drivenet\[mqtt\]"'):
        open_sink("mqtt://host/topic", fps=0, visualize="overlay")
