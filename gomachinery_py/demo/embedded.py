"""A Redis server inside this process, for trying things out: fakeredis behind a TCP port."""

from __future__ import annotations

import math
import select
import socket
import threading
import time
from types import TracebackType
from typing import Any, BinaryIO

from gomachinery_py.errors import ConfigError, MissingExtra

__all__ = ["EmbeddedRedis"]

_LOOK_SECONDS = 0.005
_PIECE = 1 << 18


class EmbeddedRedis:
    """Serves 127.0.0.1 while it is entered; nothing is kept when it ends.

    Args:
        port: where to listen; 0 is any free port.

    Raises MissingExtra when fakeredis is not installed, ConfigError when the port is taken.
    """

    def __init__(self, port: int = 0) -> None:
        try:
            from fakeredis import TcpFakeServer
        except ModuleNotFoundError as error:
            raise MissingExtra(
                f"{error.name} is not installed, which the embedded Redis needs: pip install 'gomachinery-py[embedded]'"
            ) from error

        class Server(TcpFakeServer):
            # A client that is still connected must not keep the process from ending.
            daemon_threads = True
            block_on_close = False

            def handle_error(self, request: Any, client_address: Any) -> None:
                """A connection that broke is the client's affair."""

            def process_request(self, request: Any, client_address: Any) -> None:
                request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                super().process_request(request, client_address)

        try:
            self._server: Any = Server(("127.0.0.1", port), server_version=(7,))
        except OSError as error:
            raise ConfigError(f"port {port} cannot be used: {error.strerror}; give another --port") from error
        self._server.daemon_threads = True
        self._server.RequestHandlerClass = _mended(self._server.RequestHandlerClass)
        self.port: int = self._server.server_address[1]
        self.url = f"redis://127.0.0.1:{self.port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), name="embedded-redis", daemon=True
        )

    def __enter__(self) -> EmbeddedRedis:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


def _mended(handler: Any) -> Any:
    """The handler of a connection, as Redis does it where fakeredis does not."""

    from redis.exceptions import ResponseError

    class Handler(handler):  # type: ignore[misc]
        def setup(self) -> None:
            super().setup()
            client = self.current_client
            read, sock = client.read_response, client.get_socket()
            process = sock._process_command

            def answered(*args: Any, **kwargs: Any) -> Any:
                # fakeredis ends a connection after each error that it answers.
                try:
                    return read(*args, **kwargs)
                except ResponseError as error:
                    return error

            def processed(fields: list[bytes]) -> None:
                # fakeredis answers BLMOVE at once when there is no such list, and a worker would spin.
                if len(fields) == 6 and fields[0].upper() == b"BLMOVE":
                    until = time.monotonic() + _seconds(fields[5])
                    while fields[1] not in sock._db and time.monotonic() < until:
                        time.sleep(_LOOK_SECONDS)
                process(fields)

            client.read_response = answered
            sock._process_command = processed
            patient = _Patient(self.connection, self.rfile)  # type: ignore[has-type]
            self.rfile = self.writer.writer = patient

    return Handler


class _Patient:
    """Reads and writes a connection in big pieces, and until everything is out.

    fakeredis reads line by line, which takes its time with a long value, and breaks off when a reply is long.
    """

    def __init__(self, connection: socket.socket, stream: BinaryIO) -> None:
        self._connection = connection
        self._stream = stream

    def readline(self) -> bytes:
        """What there is; b"" when there is nothing, or when the client is gone."""
        try:
            return self._connection.recv(_PIECE)
        except BlockingIOError:
            return b""

    def write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[self._connection.send(rest) :]
            except BlockingIOError:
                select.select([], [self._connection], [], 1.0)

    def flush(self) -> None:
        """Nothing is kept back."""

    def close(self) -> None:
        self._stream.close()


def _seconds(timeout: bytes) -> float:
    """A timeout of a blocking command, 0 being without an end; fakeredis itself complains of wrong ones."""
    try:
        return float(timeout) or math.inf
    except ValueError:
        return 0.0
