"""The quick way of pika's connection against pika's own: the same bytes out, the same messages in."""

from __future__ import annotations

import random
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pika import ConnectionParameters, SelectConnection, frame, spec
from pika.adapters.select_connection import IOLoop
from pika.exceptions import InvalidFrameError

from gomachinery_py.ports.amqp_connection import Connection, properties_told, publish_frames

CHANNEL = 3
MOST = 100


LOOPS: list[IOLoop] = []


@pytest.fixture(scope="module", autouse=True)
def _loop() -> Iterator[None]:
    LOOPS.append(IOLoop())
    yield
    LOOPS.pop().close()


def unconnected() -> dict[str, Any]:
    return {
        "parameters": ConnectionParameters(),
        "custom_ioloop": LOOPS[0],
        "internal_connection_workflow": False,
    }


class _Told(Connection):
    """Open from the start, without a server; notes what comes in, by which way."""

    def __init__(self) -> None:
        super().__init__(**unconnected())
        self.connection_state = self.CONNECTION_OPEN
        self.told: list[Any] = []
        self.by_pika: list[str] = []

    def _process_frame(self, frame_value: Any) -> None:
        self.by_pika.append(type(getattr(frame_value, "method", frame_value)).__name__)


class _Pika(SelectConnection):
    """The same, as pika does it."""

    def __init__(self) -> None:
        super().__init__(**unconnected())
        self.connection_state = self.CONNECTION_OPEN
        self.frames: list[Any] = []

    def _process_frame(self, frame_value: Any) -> None:
        self.frames.append(frame_value)


def quick(channel: int = CHANNEL) -> _Told:
    connection = _Told()
    connection.deliveries[channel] = lambda *delivered: connection.told.append(delivered)
    connection.confirms[channel] = lambda *confirmed: connection.told.append(confirmed)
    return connection


def method(what: Any, channel: int = CHANNEL) -> bytes:
    return bytes(frame.Method(channel, what).marshal())


def delivery(tag: int, redelivered: bool, body: bytes, properties: Any, channel: int = CHANNEL) -> list[bytes]:
    parts = [body[at : at + MOST] for at in range(0, len(body), MOST)]
    return [
        method(spec.Basic.Deliver("bench.1", tag, redelivered, "exchange", "key"), channel),
        frame.Header(channel, len(body), properties).marshal(),
        *(frame.Body(channel, part).marshal() for part in parts),
    ]


PROPERTIES = [
    spec.BasicProperties(),
    spec.BasicProperties(content_type="application/json", delivery_mode=2),
    spec.BasicProperties(content_type="application/json", delivery_mode=2, priority=4, headers={"a": "ż", "n": 5}),
]


@given(st.binary(max_size=350), st.sampled_from(PROPERTIES), st.booleans(), st.text(max_size=80), st.booleans())
def test_a_message_is_encoded_as_pika_does(
    body: bytes, properties: spec.BasicProperties, mandatory: bool, key: str, names_exchange: bool
) -> None:
    """Method, header and as many frames as the body needs, byte for byte."""
    exchange = "machinery_exchange" if names_exchange else ""
    plain = _Pika()
    plain._body_max_length = MOST
    sent: list[bytes] = []
    plain._adapter_emit_data = sent.append  # type: ignore[method-assign]
    plain._send_message(
        CHANNEL,
        spec.Basic.Publish(exchange=exchange, routing_key=key, mandatory=mandatory),
        (properties, body),
    )
    told = {name: value for name, value in vars(properties).items() if value is not None}
    assert publish_frames(CHANNEL, exchange, key, mandatory, told, body, MOST) == b"".join(sent)


def test_properties_are_told_as_pika_does() -> None:
    """By name, without those that are not set."""
    for properties in PROPERTIES:
        told = {name: value for name, value in vars(properties).items() if value is not None}
        assert properties_told(b"".join(properties.encode())) == told


@given(st.integers(0, 2**32), st.integers(1, 60))
def test_frames_are_read_wherever_the_bytes_are_cut(seed: int, piece: int) -> None:
    """Deliveries and confirms of two channels mixed with frames that are pika's, in pieces of any size."""
    dice = random.Random(seed)
    wanted: list[Any] = []
    pikas: list[str] = []
    channels: dict[int, list[list[bytes]]] = {CHANNEL: [], CHANNEL + 1: []}
    for channel, series in channels.items():
        for tag in range(1, 6):
            body = dice.randbytes(dice.choice([0, 1, 99, 100, 101, 350]))
            properties = dice.choice(PROPERTIES)
            series.append(delivery(tag, dice.random() < 0.5, body, properties, channel))
            series.append([method(spec.Basic.Ack(tag, dice.random() < 0.5), channel)])
            series.append([method(spec.Basic.Nack(tag, dice.random() < 0.5), channel)])
            series.append([method(spec.Basic.GetEmpty(), channel)])
        dice.shuffle(series)
    stream = [each for series in channels.values() for each in series]
    dice.shuffle(stream)
    data = b"".join(piece for each in stream for piece in each)

    plain = _Pika()
    plain._on_data_available(data)
    content: Any = None
    for each in plain.frames:
        what = getattr(each, "method", None)
        if isinstance(what, spec.Basic.Deliver):
            content = (each.channel_number, what, b"", 0, b"")
        elif isinstance(each, frame.Header):
            content = (*content[:2], b"".join(each.properties.encode()), each.body_size, b"")
        elif isinstance(each, frame.Body):
            content = (*content[:4], content[4] + each.fragment)
        elif isinstance(what, spec.Basic.Ack | spec.Basic.Nack):
            wanted.append((each.channel_number, what.delivery_tag, what.multiple, isinstance(what, spec.Basic.Ack)))
        else:
            pikas.append(type(what).__name__)
        if content is not None and not isinstance(what, spec.Basic.Deliver) and len(content[4]) == content[3]:
            told = content[1]
            wanted.append(
                (content[0], told.consumer_tag.encode(), told.delivery_tag, told.redelivered, content[2], content[4])
            )
            content = None

    connection = _Told()
    for channel in channels:

        def told_of(*what: Any, channel: int = channel) -> None:
            connection.told.append((channel, *what))

        connection.deliveries[channel] = connection.confirms[channel] = told_of
    for at in range(0, len(data), piece):
        connection._on_data_available(data[at : at + piece])

    assert connection.told == wanted
    assert connection.by_pika == pikas
    assert (connection.bytes_received, connection._frame_buffer) == (len(data), b"")


def test_a_channel_that_nobody_asked_for_is_pikas() -> None:
    """Its deliveries go pika's way, frame by frame, and so do those of a channel that was closed."""
    connection = quick()
    pieces = delivery(1, False, b"body", PROPERTIES[1], CHANNEL + 1)
    connection._on_data_available(b"".join([*pieces, method(spec.Basic.Ack(1), CHANNEL + 1)]))
    connection._on_data_available(b"".join(delivery(1, False, b"body", PROPERTIES[1])[:2]))
    connection.forget(CHANNEL)
    connection._on_data_available(delivery(1, False, b"body", PROPERTIES[1])[2])

    assert connection.told == []
    assert connection.by_pika == ["Deliver", "Header", "Body", "Ack", "Body"]


def test_a_frame_without_its_end() -> None:
    """The stream cannot be trusted any more; pika raises the same."""
    broken = method(spec.Basic.Ack(1))[:-1] + b"\0"
    read: list[Callable[[bytes], None]] = [quick()._on_data_available, _Pika()._on_data_available]
    for each in read:
        with pytest.raises(InvalidFrameError):
            each(broken)


class _Transport:
    """As much of pika's as is asked for."""

    def __init__(self, plain: socket.socket) -> None:
        self._sock = plain
        self.waiting = b""

    def get_write_buffer_size(self) -> int:
        return len(self.waiting)

    def write(self, data: bytes) -> None:
        self.waiting += data


def test_what_a_turn_has_to_say_is_one_write() -> None:
    """Held back until the turn ends; what the socket does not take is pika's to write, and so is what follows."""
    here, there = socket.socketpair()
    with here, there:
        here.setblocking(False)
        connection = quick()
        transport = connection._transport = _Transport(here)  # type: ignore[assignment]
        connection.hold()
        connection.hold()
        connection._adapter_emit_data(b"a")
        connection.let_go()
        connection._adapter_emit_data(b"b")
        there.setblocking(False)
        with pytest.raises(BlockingIOError):
            there.recv(10)
        connection.let_go()
        assert there.recv(10) == b"ab"

        connection._adapter_emit_data(bytes(10_000_000))
        left = len(transport.waiting)
        connection._adapter_emit_data(b"end")
        assert 0 < left < 10_000_000
        assert (len(transport.waiting), transport.waiting[-3:]) == (left + 3, b"end")


def test_a_socket_that_is_gone_is_pikas_to_notice() -> None:
    """The bytes are handed to pika's transport, which finds the error by itself."""
    here, there = socket.socketpair()
    there.close()
    here.close()
    connection = quick()
    transport = connection._transport = _Transport(here)  # type: ignore[assignment]
    connection._adapter_emit_data(b"abc")
    assert transport.waiting == b"abc"


def test_no_name_is_taken_twice() -> None:
    """What this class has of its own is not what pika has under that name, apart from what is meant to be."""
    own = {name for name in (*vars(Connection), *vars(quick())) if not name.startswith("__")}
    inherited = {*dir(SelectConnection), *vars(_Pika())}
    test = {"told", "by_pika", "frames"}
    assert {name for name in own - test - {"_abc_impl"} if name in vars(Connection) and name in inherited} == {
        "_adapter_emit_data",
        "_on_data_available",
    }
    assert {name for name in vars(quick()) if name not in inherited} - test == {
        "_contents",
        "_holding",
        "_open_channels",
        "_thread",
        "_unsent",
        "_writing",
        "confirms",
        "deliveries",
    }
