"""pika's connection with a quick way for what there is much of: deliveries, confirms, publishes and acks.

pika writes each frame by itself, after another turn of its loop, and makes several objects of every frame that comes
in; with three frames a message that costs more than all else a task needs. Here what one turn has to say is written at
once and in one piece, and the frames of deliveries and confirms are read where they lie. Everything else is pika's,
which this class hands every other frame to, in its order. Other threads may write as well, on channels that are open:
to wake the connection's own thread for that would take longer than the rest.

It relies on three of pika's methods that are not public: ``_on_data_available`` and ``_adapter_emit_data``, through
which every byte goes in and out, and ``_process_frame``. ``tests/test_amqp_connection.py`` compares it with pika's own.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, TypeAlias

from pika import SelectConnection, exceptions, frame, spec

__all__ = ["Confirmed", "Connection", "Delivered", "ack_frame", "properties_told", "publish_frames"]

Delivered: TypeAlias = Callable[[bytes, int, bool, bytes, bytes], None]
"""Consumer tag, delivery tag, redelivered, the encoded properties, body."""
Confirmed: TypeAlias = Callable[[int, bool, bool], None]
"""Tag, multiple, whether it was an ack."""

_METHOD: Final = 1
_HEADER: Final = 2
_BODY: Final = 3
_END: Final = 0xCE
# What stands before and after a frame's payload.
_BEFORE: Final = 7
_AROUND: Final = 8
_DELIVER: Final = 60 << 16 | 60
_ACK: Final = 60 << 16 | 80
_OPEN: Final = 20 << 16 | 10
# After these nothing may be written: on the channel, or at all.
_LAST_OF_CHANNEL: Final = (20 << 16 | 40, 20 << 16 | 41)
_LAST: Final = (10 << 16 | 50, 10 << 16 | 51)
_NACK: Final = 60 << 16 | 120
_FRAME = struct.Struct(">BHI")
_NUMBER = struct.Struct(">I")
_TAG_AND_BITS = struct.Struct(">QB")
_ACK_FRAME = struct.Struct(">BHIIQBB")
# Class and weight, then the body's size; the properties follow.
_SIZE = struct.Struct(">HHQ")
_PROPERTIES_AT: Final = 12


class _Content:
    """A message of which the body is not complete."""

    __slots__ = ("body", "left", "method", "properties")

    def __init__(self, method: tuple[bytes, int, bool]) -> None:
        self.method = method
        self.properties = b""
        self.left = 0
        self.body: list[bytes] = []


class Connection(SelectConnection):  # type: ignore[misc]
    """Its two tables say, by channel, who is told of deliveries and of confirms; others are told by pika."""

    # pika's own.
    bytes_sent: int
    bytes_received: int
    frames_received: int
    _frame_buffer: bytes
    _body_max_length: int
    _transport: Any
    _process_frame: Callable[[Any], None]

    def __init__(self, *args: Any, **keywords: Any) -> None:
        self.deliveries: dict[int, Delivered] = {}
        self.confirms: dict[int, Confirmed] = {}
        self._contents: dict[int, _Content] = {}
        self._unsent: list[bytes] = []
        self._holding = 0
        # Between the threads that write: whose turn it is, and what is closed.
        self._writing = threading.Lock()
        self._thread = threading.get_ident()
        self._open_channels: set[int] = set()
        super().__init__(*args, **keywords)

    def forget(self, channel: int) -> None:
        """A channel is closed; another one may have its number next."""
        for table in (self.deliveries, self.confirms, self._contents):
            table.pop(channel, None)

    # -- out --

    def hold(self) -> None:
        """Write nothing until :meth:`let_go` is called as often."""
        with self._writing:
            self._holding += 1

    def let_go(self) -> None:
        """Write what has come together."""
        with self._writing:
            self._holding -= 1
            if not self._holding and self._unsent:
                self._write()

    def emit(self, channel: int, frames: bytes) -> bool:
        """Write whole frames of a channel, from any thread; False when it is closed, or about to be."""
        with self._writing:
            if channel not in self._open_channels:
                return False
            self.bytes_sent += len(frames)
            self._unsent.append(frames)
            if not self._holding:
                self._write()
            return True

    def emit_message(
        self, channel: int, exchange: str, routing_key: str, mandatory: bool, properties: dict[str, Any], body: bytes
    ) -> bool:
        """``Channel.basic_publish``, as :meth:`emit`."""
        most = self._body_max_length
        frames = publish_frames(channel, exchange, routing_key, mandatory, properties, body, most)
        return self.emit(channel, frames)

    def _adapter_emit_data(self, data: bytes) -> None:
        with self._writing:
            if data[0] == _METHOD:
                self._note(data)
            self._unsent.append(data)
            if not self._holding:
                self._write()

    def _note(self, data: bytes) -> None:
        """See what pika opens and closes: a frame on a closed channel would be the end of the connection."""
        _, channel, _ = _FRAME.unpack_from(data)
        (what,) = _NUMBER.unpack_from(data, _BEFORE)
        if what == _OPEN:
            self._open_channels.add(channel)
        elif what in _LAST_OF_CHANNEL:
            self._open_channels.discard(channel)
        elif what in _LAST:
            self._open_channels.clear()

    def _write(self) -> None:
        data = b"".join(self._unsent)
        self._unsent.clear()
        transport = self._transport
        if transport is None:
            return
        plain = getattr(transport, "_sock", None)
        # TLS has a say in what may be written when; so has what pika could not write before.
        if type(plain) is socket.socket and transport.get_write_buffer_size() == 0:
            try:
                data = data[plain.send(data) :]
            except OSError:
                # Whatever it is, pika will find it too, and knows what to do about it.
                pass
        if not data:
            return
        if threading.get_ident() == self._thread:
            transport.write(data)
        else:
            self._unsent.append(data)
            self.ioloop.add_callback_threadsafe(self._write_rest)

    def _write_rest(self) -> None:
        with self._writing:
            if self._unsent and not self._holding:
                self._write()

    # -- in --

    def _on_data_available(self, data_in: bytes) -> None:
        if not self.is_open:
            pika: Any = super()
            pika._on_data_available(data_in)
            return
        self.hold()
        try:
            self._read(self._frame_buffer + data_in if self._frame_buffer else data_in)
        finally:
            self.let_go()

    def _read(self, data: bytes) -> None:
        """Every frame that is complete; the rest stays in pika's buffer."""
        at, stop, end = 0, 0, len(data)
        try:
            while end - at >= _AROUND:
                kind, channel, size = _FRAME.unpack_from(data, at)
                stop = at + size + _AROUND
                if stop > end:
                    break
                if data[stop - 1] != _END:
                    raise exceptions.InvalidFrameError("Invalid FRAME_END marker")
                begin, at = at, stop
                if kind == _METHOD and self._is_read(channel, data, begin + _BEFORE):
                    self.frames_received += 1
                elif kind != _METHOD and channel in self._contents:
                    self.frames_received += 1
                    self._read_content(channel, kind, data, begin + _BEFORE, stop - 1)
                else:
                    _, value = frame.decode_frame(data[begin:stop])
                    if value is not None:
                        self._process_frame(value)
        finally:
            self._frame_buffer = data[at:]
            self.bytes_received += at

    def _is_read(self, channel: int, data: bytes, at: int) -> bool:
        """Whether a method was one of the quick ones."""
        (what,) = _NUMBER.unpack_from(data, at)
        if what == _DELIVER:
            if channel not in self.deliveries:
                return False
            tag_at = at + 5
            tag_end = tag_at + data[at + 4]
            tag, bits = _TAG_AND_BITS.unpack_from(data, tag_end)
            self._contents[channel] = _Content((data[tag_at:tag_end], tag, bool(bits & 1)))
            return True
        if what in (_ACK, _NACK) and channel in self.confirms:
            tag, bits = _TAG_AND_BITS.unpack_from(data, at + 4)
            self.confirms[channel](tag, bool(bits & 1), what == _ACK)
            return True
        return False

    def _read_content(self, channel: int, kind: int, data: bytes, at: int, end: int) -> None:
        content = self._contents[channel]
        if kind == _HEADER:
            _, _, content.left = _SIZE.unpack_from(data, at)
            content.properties = data[at + _PROPERTIES_AT : end]
        elif kind == _BODY:
            content.left -= end - at
            content.body.append(data[at:end])
        else:
            raise exceptions.UnexpectedFrameError(kind)
        if content.left <= 0:
            del self._contents[channel]
            body = content.body[0] if len(content.body) == 1 else b"".join(content.body)
            self.deliveries[channel](*content.method, content.properties, body)


def ack_frame(channel: int, tag: int, *, multiple: bool) -> bytes:
    """Basic.Ack as its frame."""
    return _ACK_FRAME.pack(_METHOD, channel, 13, _ACK, tag, multiple, _END)


@lru_cache(maxsize=256)
def properties_told(encoded: bytes) -> dict[str, Any]:
    """The properties that a message has, by name. Most messages have the same ones; not to be changed."""
    told = spec.BasicProperties()
    told.decode(encoded)
    return {name: value for name, value in vars(told).items() if value is not None}


@lru_cache(maxsize=64)
def _publish_method(exchange: str, routing_key: str, mandatory: bool) -> bytes:
    method = spec.Basic.Publish(exchange=exchange, routing_key=routing_key, mandatory=mandatory)
    return _NUMBER.pack(method.INDEX) + b"".join(method.encode())


@lru_cache(maxsize=64)
def _plain_properties(properties: tuple[tuple[str, Any], ...]) -> bytes:
    return b"".join(spec.BasicProperties(**dict(properties)).encode())


def publish_frames(
    channel: int, exchange: str, routing_key: str, mandatory: bool, properties: dict[str, Any], body: bytes, most: int
) -> bytes:
    """A message as its frames; ``most`` bytes of the body are in one."""
    told = (
        b"".join(spec.BasicProperties(**properties).encode())
        if "headers" in properties
        else _plain_properties(tuple(properties.items()))
    )
    method = _publish_method(exchange, routing_key, mandatory)
    header = _SIZE.pack(spec.Basic.INDEX, 0, len(body)) + told
    end = b"\xce"
    pieces = [_FRAME.pack(_METHOD, channel, len(method)), method, end]
    pieces += (_FRAME.pack(_HEADER, channel, len(header)), header, end)
    for at in range(0, len(body), most):
        part = body[at : at + most]
        pieces += (_FRAME.pack(_BODY, channel, len(part)), part, end)
    return b"".join(pieces)
