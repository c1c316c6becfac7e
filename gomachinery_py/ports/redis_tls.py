"""What redis-py's TLS connections leave open: a certificate for another name than the address, and a handshake's time.

Go: ``ServerName`` of ``tls.Config`` is the name that a certificate is checked against, whatever was dialled.
"""

from __future__ import annotations

from typing import Any

import redis
import redis.asyncio

__all__ = ["AsyncTLSConnection", "TLSConnection"]


class TLSConnection(redis.SSLConnection):
    """A blocking connection; the time limit for connecting holds for the TLS handshake as well.

    A server that does not speak TLS at all may wait for more bytes as long as the client does.
    """

    def __init__(self, *, server_name: str = "", **options: Any) -> None:
        super().__init__(**options)
        self._server_name = server_name

    def _wrap_socket_with_ssl(self, sock: Any) -> Any:
        address = self.host
        sock.settimeout(self.socket_connect_timeout)
        try:
            self.host = self._server_name or address
            wrapped = super()._wrap_socket_with_ssl(sock)  # type: ignore[no-untyped-call]
        finally:
            self.host = address
        wrapped.settimeout(self.socket_timeout)
        return wrapped


class AsyncTLSConnection(redis.asyncio.SSLConnection):
    """The same for asyncio, where redis-py's time limit holds for all of connecting."""

    def __init__(self, *, server_name: str = "", **options: Any) -> None:
        super().__init__(**options)
        self._server_name = server_name

    def _connection_arguments(self) -> Any:
        arguments = dict(super()._connection_arguments())
        if self._server_name:
            arguments["server_hostname"] = self._server_name
        return arguments
