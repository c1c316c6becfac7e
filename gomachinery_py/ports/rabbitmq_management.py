"""RabbitMQ's management plugin: what the server counts and a client of AMQP is not told.

One command: ``("GET", path)`` below ``/api``, answered with what its JSON says, or None where there is nothing (404).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any
from urllib.parse import urlsplit

from gomachinery_py.effects import Port, Request
from gomachinery_py.errors import ConfigError, ServiceError, ServiceUnavailable
from gomachinery_py.secret import SecretURL
from gomachinery_py.urls import AMQPURL

__all__ = ["RabbitMQManagementPort", "open_port"]

_SECONDS = 5.0
_NOT_FOUND = 404
_REFUSED = (401, 403)


class RabbitMQManagementPort(Port):
    """Asks with a connection for each question: there are only a few."""

    def __init__(self, url: SecretURL, username: str, password: str) -> None:
        self._label = str(url)
        parts = urlsplit(url.reveal())
        self._kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        self._address = (parts.hostname or "", parts.port or (15671 if parts.scheme == "https" else 15672))
        self._base = parts.path.rstrip("/")
        login = base64.b64encode(f"{username}:{password}".encode()).decode()
        self._headers = {"Authorization": f"Basic {login}"}

    def send(self, requests: Sequence[Request]) -> list[list[Any] | Exception]:
        return [self._answer(request) for request in requests]

    def _answer(self, request: Request) -> list[Any] | Exception:
        try:
            return [self._get(path) for _, path in request.commands]
        except ServiceUnavailable as error:
            return error
        except (OSError, HTTPException) as error:
            return ServiceUnavailable(
                f"cannot reach RabbitMQ's management at {self._label}: {error}. Is its plugin on, is the URL right?"
            )
        except (ServiceError, ValueError) as error:
            return error if isinstance(error, ServiceError) else ServiceError(f"{self._label} answers no JSON")

    def _get(self, path: str) -> Any:
        connection = self._kind(*self._address, timeout=_SECONDS)
        try:
            connection.request("GET", f"{self._base}/api{path}", headers=self._headers)
            answer = connection.getresponse()
            body = answer.read()
        finally:
            connection.close()
        if answer.status == _NOT_FOUND:
            return None
        if answer.status in _REFUSED:
            raise ServiceUnavailable(
                f"RabbitMQ's management at {self._label} refused the login: check user and password in its URL, or the "
                "broker's where it has none; the user needs the tag monitoring or management"
            )
        if answer.status >= 300:
            raise ServiceError(f"RabbitMQ's management at {self._label} answers {answer.status} {answer.reason}")
        return json.loads(body)


def open_port(url: str, broker: AMQPURL) -> RabbitMQManagementPort:
    """A port to an http(s) URL; who logs in is in it, or else in the broker's. Raises ConfigError."""
    try:
        parts = urlsplit(url)
        has_port = parts.port is None or parts.port > 0
    except ValueError:
        parts, has_port = urlsplit(""), False
    if parts.scheme not in ("http", "https") or not parts.hostname or not has_port:
        raise ConfigError("the management URL is not one; write http://host:15672")
    username, password = parts.username, parts.password
    if username is None or password is None:
        username, password = broker.username.reveal(), broker.password.reveal()
    return RabbitMQManagementPort(SecretURL(url), username, password)
