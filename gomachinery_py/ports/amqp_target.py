"""Where RabbitMQ is and how to log in, as pika wants it; and how pika's errors read to people.

The settings of a URL's query are those that Go's client knows: ``amqp091-go/uri.go``.
"""

from __future__ import annotations

import logging
import ssl
from dataclasses import dataclass, field
from typing import Any

import pika
from pika import exceptions
from pika.compat import long
from pika.credentials import ExternalCredentials

from gomachinery_py.amqp_commands import AMQPRefused, Int64
from gomachinery_py.config import TLSConfig
from gomachinery_py.errors import ConfigError, ServiceError, ServiceUnavailable
from gomachinery_py.urls import AMQPURL

__all__ = ["AMQPTarget", "refused", "table"]

log = logging.getLogger(__name__)

_LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")
_CONNECT_SECONDS = 2.5
_LOGIN_SECONDS = 3.0
_SETTINGS = {
    "auth_mechanism",
    "cacertfile",
    "certfile",
    "channel_max",
    "connection_timeout",
    "frame_max",
    "heartbeat",
    "keyfile",
    "server_name_indication",
    "verify",
}


@dataclass(frozen=True, slots=True)
class AMQPTarget:
    """One RabbitMQ server; ``label`` is safe to print."""

    label: str
    parameters: pika.ConnectionParameters
    secrets: tuple[str, ...] = field(default=(), repr=False)

    @classmethod
    def of(cls, url: AMQPURL, tls: TLSConfig | None) -> AMQPTarget:
        """The server of a URL. Raises ConfigError."""
        settings = dict(url.settings)
        for name in settings.keys() - _SETTINGS:
            log.warning("%s: there is no setting %s; it does nothing", url.url, name)
        if url.password and not url.tls and url.host.host not in _LOCAL_HOSTS:
            log.warning("%s sends its password in plain text to %s; use amqps:// where you can", url.url, url.host)
        options: dict[str, Any] = {}
        for name in ("heartbeat", "channel_max", "frame_max"):
            if name in settings:
                options[name] = _number(settings[name], name, url)
        timeout = _CONNECT_SECONDS
        if "connection_timeout" in settings:
            timeout = _number(settings["connection_timeout"], "connection_timeout", url) / 1000
        external = settings.get("auth_mechanism", "plain").lower() == "external"
        parameters = pika.ConnectionParameters(
            host=url.host.host,
            port=url.host.port,
            virtual_host=url.vhost,
            credentials=ExternalCredentials()
            if external
            else pika.PlainCredentials(url.username.reveal(), url.password.reveal()),
            ssl_options=_ssl_options(url, settings, tls) if url.tls else None,
            connection_attempts=1,
            socket_timeout=timeout,
            stack_timeout=max(_LOGIN_SECONDS, 2 * timeout),
            client_properties={"connection_name": "gomachinery_py"},
            **options,
        )
        return cls(str(url.url), parameters, (url.password.reveal(),) if url.password else ())

    def unavailable(self, error: BaseException | None) -> ServiceUnavailable:
        """Why the server cannot be reached, and what to do about it."""
        cause = _cause(error)
        if isinstance(cause, exceptions.ProbableAuthenticationError | exceptions.AuthenticationError):
            return ServiceUnavailable(f"RabbitMQ at {self.label} refused the login: check user and password in its URL")
        if isinstance(cause, exceptions.ProbableAccessDeniedError) or getattr(cause, "reply_code", 0) == 530:
            return ServiceUnavailable(
                f"RabbitMQ at {self.label} does not let this user into the vhost: check it in the URL; "
                "it must exist and the user needs permissions there"
            )
        text = _text(cause)
        for secret in self.secrets:
            text = text.replace(secret, "***")
        return ServiceUnavailable(
            f"cannot reach RabbitMQ at {self.label}: {text}. Is it running, and is the URL right?"
        )


def _number(text: str, name: str, url: AMQPURL) -> int:
    if not (text.isascii() and text.isdigit() and int(text) < 2**31):
        raise ConfigError(f"{url.url}: {name} is {text!r}, which is not a small whole number")
    return int(text)


def _ssl_options(url: AMQPURL, settings: dict[str, str], tls: TLSConfig | None) -> pika.SSLOptions:
    """Certificates are verified unless the settings say otherwise, as Go does it."""
    tls = tls or TLSConfig()
    ca = settings.get("cacertfile") or tls.ca_file or None
    certificate = settings.get("certfile") or tls.cert_file
    key = settings.get("keyfile") or tls.key_file
    try:
        context = ssl.create_default_context(cafile=ca)
        if certificate:
            context.load_cert_chain(certificate, key or None)
    except OSError as error:
        raise ConfigError(f"{url.url}: the TLS files cannot be read: {error}") from error
    if tls.insecureskipverify or settings.get("verify") == "verify_none":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return pika.SSLOptions(context, settings.get("server_name_indication") or tls.servername or url.host.host)


def _cause(error: BaseException | None) -> BaseException | None:
    """What really went wrong: pika wraps it several times."""
    while True:
        inner = getattr(error, "exceptions", None) or getattr(error, "exception", None) or getattr(error, "args", ())
        wrapped = inner if isinstance(inner, list | tuple) else [inner]
        causes = [each for each in wrapped if isinstance(each, BaseException)]
        if not causes:
            return error
        error = causes[-1]


def _text(error: BaseException | None) -> str:
    if error is None:
        return "the connection was closed"
    if isinstance(error, exceptions.ConnectionClosed | exceptions.ChannelClosed):
        return error.reply_text or "the connection was closed"
    if isinstance(error, exceptions.AMQPHeartbeatTimeout):
        return "it sent no heartbeat in time"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, exceptions.AMQPError) and error.args and isinstance(error.args[0], str):
        return error.args[0].rstrip(".")
    return str(error).rstrip(".") or type(error).__name__


def refused(error: BaseException) -> ServiceError:
    """An error that RabbitMQ answered, or that pika found in a command."""
    code = getattr(error, "reply_code", None)
    if isinstance(code, int):
        return AMQPRefused(f"RabbitMQ: {_text(error)}", code)
    return ServiceError(f"RabbitMQ: {_text(error) or type(error).__name__}")


def table(values: dict[str, Any] | None) -> dict[str, Any]:
    """A table as pika encodes it, with integers of the size that Go's client writes."""
    return {key: _value(value) for key, value in (values or {}).items()}


def _value(value: Any) -> Any:
    if isinstance(value, Int64):
        return long(value)
    if isinstance(value, int) and not isinstance(value, bool):
        # Go writes the low 32 bits of an int, so a larger one must be cut the same way to be equal to it.
        return (value + 2**31) % 2**32 - 2**31
    if isinstance(value, float):
        raise ServiceError(f"RabbitMQ: {value} is a float, which a queue's arguments cannot hold")
    if isinstance(value, dict):
        return table(value)
    if isinstance(value, list):
        return [_value(item) for item in value]
    return value
