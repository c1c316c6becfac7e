"""Passwords and URLs that do not print themselves.

A :class:`Secret` is a ``str`` for the client library that needs it and ``***`` for every log line, ``repr``,
f-string and traceback. :func:`redact` does the same for a URL that is still a plain string, whatever its form.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["MASK", "Secret", "SecretURL", "redact"]

MASK: Final = "***"


class Secret(str):
    """Text that prints as ``***``; :meth:`reveal` gives the plain ``str``."""

    __slots__ = ()

    def reveal(self) -> str:
        """The text itself, as an ordinary ``str``: for the call that needs it, never for a message."""
        return str.__str__(self)

    def __str__(self) -> str:
        return MASK if self else ""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)


class SecretURL(Secret):
    """A URL that prints without its password."""

    __slots__ = ()

    def __str__(self) -> str:
        return redact(self.reveal())


# Only these may stand before a masked part without "://" proving that they are a scheme.
_SCHEMES: Final = (
    "amqp",
    "amqps",
    "eager",
    "gcppubsub",
    "http",
    "https",
    "memcache",
    "memcached",
    "mongodb",
    "mongodb+srv",
    "null",
    "redis",
    "redis+socket",
    "rediss",
    "sqs",
    "unix",
)
_SCHEME: Final = re.compile(rf"\s*(?:{'|'.join(map(re.escape, _SCHEMES))}):(?://)?", re.IGNORECASE)
_QUERY: Final = re.compile(r"[?&;][A-Za-z_.-]+=")
# Query settings that say nothing secret; the values of all others are masked.
_HARMLESS: Final = re.compile(
    r"(?i)(?:db|heartbeat|connection_timeout|timeout|channel_max|vhost|tls|ssl|ssl_cert_reqs|replicaset|authsource"
    r"|authmechanism|retrywrites|w|directconnection|region|protocol|server_name_indication)\Z"
)
_PORT: Final = re.compile(r"\d{1,5}\Z")
_HOST: Final = re.compile(r"(?:\[[0-9A-Fa-f:.%]*\]|[^:\[\]]*)(?P<rest>:.*)?\Z", re.DOTALL)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def redact(url: str) -> str:
    """``url`` with everything that may be a password replaced by ``***``.

    Rather masks too much than too little: all that stands between the scheme and the last ``@``, everything after
    a host's colon that is not a port, and the values of query settings that are not known to be harmless. Never
    raises; the result is one line.
    """
    text = url.reveal() if isinstance(url, Secret) else str(url)
    if text in ("eager", "null"):
        return text
    match = _SCHEME.match(text)
    scheme, rest = (match.group().strip(), text[match.end() :]) if match else ("", text)
    hidden, at, shown = rest.rpartition("@")
    if at and _QUERY.search(hidden):
        # The "@" may belong to a secret in the query, and then what follows it does as well.
        return f"{scheme}{MASK}"
    if not match and not at:
        if "://" not in rest:
            # No scheme and no "@": nothing tells a host from a password.
            return MASK if rest.strip() else ""
        unknown, _, shown = rest.partition("://")
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*", unknown):
            return MASK
        scheme = f"{unknown}://"
    path_shown = _redact_tail(shown, is_socket=scheme.lower() in ("redis+socket://", "unix://"))
    return _CONTROL.sub("?", f"{scheme}{MASK}@{path_shown}" if at else f"{scheme}{path_shown}")


def _redact_tail(text: str, *, is_socket: bool) -> str:
    """What follows the credentials: hosts, path, query, fragment."""
    body, question, query = text.partition("?")
    if question:
        query = "&".join(_redact_setting(setting) for setting in re.split("[&;]", query))
    if is_socket:
        if not body.startswith("/"):
            return MASK
    else:
        hosts, slash, path = body.partition("/")
        if any(not _is_host(host) for host in hosts.split(",")):
            # A password without an "@" behind it, or a second one behind a comma.
            return MASK
        if "#" in hosts or "#" in path:
            hosts, path = hosts.partition("#")[0], path.partition("#")[0]
        body = f"{hosts}{slash}{path}"
    return f"{body}{question}{query}"


def _is_host(text: str) -> bool:
    match = _HOST.match(text)
    if match is None:
        return False
    rest = match.group("rest")
    return rest is None or _PORT.match(rest[1:]) is not None


def _redact_setting(setting: str) -> str:
    name, equals, _ = setting.partition("=")
    if not equals:
        return MASK
    return setting if _HARMLESS.match(name) else f"{name}={MASK}"
