"""Broker, result backend and lock URLs, taken apart into small frozen data.

Go source: ``v1/factories.go`` (``ParseRedisURL``, ``ParseRedisSocketURL``, ``ParseGCPPubSubURL`` and the schemes),
``v2/brokers/redis/goredis.go`` (``NewGR``: the form with several hosts). v2's constructors parse no URL, the program
does; so v2 users meet v1's forms here, with the user name that v2 can send.

======================================  ============================================  ==============================
form                                    Go                                            here
======================================  ============================================  ==============================
``redis://password@host``               password                                      the same
``redis://user:password@host``          v1 sends only the password, v2 both           both
``redis://pw@h1:1,h2:2``                cluster, or sentinel with ``master_name``     the same; ``/db`` is ignored
``%40`` in a single host's password     decoded                                       the same
``%40`` in a password of several hosts  literal                                       the same
``%``, ``#``, ``/``, ``?`` in it        refused, or read as the host                  the password
``redis+socket://a@b@/path``            password ``a``, path ``b@/path``              password ``a@b``, path ``/path``
``rediss://``                           plain text unless TLSConfig is set            TLS
a database that is no number            database 0                                    the same
======================================  ============================================  ==============================
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final, TypeAlias
from urllib.parse import parse_qsl, unquote

from gomachinery_py.errors import ConfigError
from gomachinery_py.secret import Secret, SecretURL, redact

__all__ = [
    "AMQPURL",
    "SQSURL",
    "Address",
    "DynamoDBURL",
    "EagerURL",
    "MemcacheURL",
    "MongoDBURL",
    "NullURL",
    "PubSubURL",
    "RedisURL",
    "ServiceURL",
    "only_carries",
    "parse_backend",
    "parse_broker",
    "parse_lock",
    "redact",
    "split_brokers",
]


_NOTHING: Final = Secret()
_GUEST: Final = Secret("guest")


@dataclass(frozen=True, slots=True)
class Address:
    """A host name or IP address (IPv6 without brackets) and a TCP port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


# User names are secrets as well: of a password that holds a colon the first half lands there.
@dataclass(frozen=True, slots=True)
class RedisURL:
    """One Redis server, several (cluster or sentinel), or a unix socket; ``socket`` is ``""`` unless it is one."""

    hosts: tuple[Address, ...] = ()
    db: int = 0
    username: Secret = _NOTHING
    password: Secret = _NOTHING
    tls: bool = False
    socket: str = ""
    url: SecretURL = field(default=SecretURL(), compare=False)


@dataclass(frozen=True, slots=True)
class AMQPURL:
    """RabbitMQ; ``settings`` are the query's (heartbeat, cacertfile, …), the last of a name wins."""

    host: Address
    username: Secret = _GUEST
    password: Secret = _GUEST
    vhost: str = "/"
    tls: bool = False
    settings: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    #: Tried in this order when this one does not answer.
    more: tuple[AMQPURL, ...] = ()
    url: SecretURL = field(default=SecretURL(), compare=False)


@dataclass(frozen=True, slots=True)
class MemcacheURL:
    """memcached servers, in the order that decides which one holds a key."""

    servers: tuple[Address, ...]
    url: SecretURL = field(default=SecretURL(), compare=False)


@dataclass(frozen=True, slots=True)
class MongoDBURL:
    """MongoDB; ``url`` is for the client library, ``database`` what its path names (``""``: none).

    Two settings of the query are ours, and ignored by Go's client: ``gmpyDialect`` (``v1`` or ``v2``, the default) and
    ``gmpyDatabase`` (``machinery``, as in Go, unless given; its path only says where users are kept).
    """

    database: str
    url: SecretURL

    @property
    def dialect(self) -> str:
        """Which version of Go the documents are for."""
        return self._own("gmpyDialect", "v2")

    @property
    def database_name(self) -> str:
        """Where the documents are."""
        return self._own("gmpyDatabase", "machinery")

    def _own(self, name: str, default: str) -> str:
        found = re.search(rf"[?&]{name}=([^&]*)", self.url.reveal())
        return unquote(found[1]) if found else default

    @property
    def driver_url(self) -> SecretURL:
        """The URL without our own settings."""
        before, mark, query = self.url.reveal().partition("?")
        left = [each for each in query.split("&") if each and not each.startswith(("gmpyDialect=", "gmpyDatabase="))]
        return SecretURL(f"{before}{mark}{'&'.join(left)}" if left else before)

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must not be shown, as it is written and as it is meant."""
        credentials, _ = _split_credentials(self.url.reveal().partition("://")[2])
        password = credentials.partition(":")[2]
        return tuple({password, unquote(password)} - {""})


@dataclass(frozen=True, slots=True)
class SQSURL:
    """SQS: ``base`` + ``/`` + queue is a queue's URL."""

    base: SecretURL
    url: SecretURL = field(default=SecretURL(), compare=False)


@dataclass(frozen=True, slots=True)
class DynamoDBURL:
    """DynamoDB: the endpoint."""

    endpoint: SecretURL
    url: SecretURL = field(default=SecretURL(), compare=False)


@dataclass(frozen=True, slots=True)
class PubSubURL:
    """Google Cloud Pub/Sub."""

    project: str
    subscription: str
    url: SecretURL = field(default=SecretURL(), compare=False)


@dataclass(frozen=True, slots=True)
class EagerURL:
    """Everything happens in this process, inside the call."""

    url: SecretURL = field(default=SecretURL("eager"), compare=False)


@dataclass(frozen=True, slots=True)
class NullURL:
    """Results are not kept."""

    url: SecretURL = field(default=SecretURL("null"), compare=False)


ServiceURL: TypeAlias = (
    RedisURL | AMQPURL | MemcacheURL | MongoDBURL | SQSURL | DynamoDBURL | PubSubURL | EagerURL | NullURL
)
"""Any URL that names a broker, a result backend or a lock."""

_BROKERS: Final = "redis://, rediss://, redis+socket://, amqp://, amqps://, https://sqs…, gcppubsub://, eager"
_BACKENDS: Final = (
    "redis://, rediss://, redis+socket://, amqp://, amqps://, memcache://, mongodb://, https://dynamodb…, eager, null"
)
# What may follow the "@" that ends the credentials; an "@" further on is possible in a query only.
_LOCATION: Final = re.compile(r"[^@/?#]*(?:/[^@?#]*)?(?:\?[A-Za-z_]+=.*|#[^@]*)?", re.DOTALL)
_ESCAPE: Final = re.compile(r"%[0-9A-Fa-f]{2}")


def parse_broker(url: str, *, strict_sqs: bool = True) -> ServiceURL:
    """Read a broker URL (Go: ``v1 BrokerFactory``).

    ``strict_sqs=False`` takes any http(s) URL for SQS (Go: environment ``DISABLE_STRICT_SQS_CHECK``).
    Raises ConfigError, which never shows a password.
    """
    text = _text(url)
    if parsed := _redis(text) or _amqp(text):
        return parsed
    if text.startswith("eager"):
        return EagerURL()
    prefixes = ("https://sqs",) if strict_sqs else ("https://", "http://")
    if text.startswith(prefixes):
        return SQSURL(SecretURL(text.rstrip("/")), SecretURL(text))
    if text.startswith("gcppubsub://"):
        return _pubsub(text)
    raise _unknown("broker", text, _BROKERS)


def only_carries(url: str) -> bool:
    """Whether a broker's URL is that of a service that keeps no results (SQS, Pub/Sub)."""
    return _text(url).startswith(("https://", "http://", "gcppubsub://"))


def parse_backend(url: str) -> ServiceURL:
    """Read a result backend URL (Go: ``v1 BackendFactory``). Raises ConfigError, which never shows a password."""
    text = _text(url)
    if parsed := _redis(text) or _amqp(text):
        return parsed
    if text.startswith("memcache://"):
        return _memcache(text)
    if text.startswith(("mongodb://", "mongodb+srv://")):
        return _mongodb(text)
    if text.startswith("eager"):
        return EagerURL()
    if text.startswith("null"):
        return NullURL()
    if text.startswith("https://dynamodb"):
        return DynamoDBURL(SecretURL(text.rstrip("/")), SecretURL(text))
    raise _unknown("result_backend", text, _BACKENDS)


def parse_lock(url: str) -> RedisURL | EagerURL:
    """Read a lock URL (Go: ``v1 LockFactory``); an empty one is the lock inside this process.

    Go takes everything that is not ``redis://`` for the lock inside the process, ``rediss://`` too, so that every
    process would run a periodic task. Here ``rediss://`` and sockets work and a typo is a ConfigError.
    """
    text = _text(url)
    if text == "" or text.startswith("eager"):
        return EagerURL()
    if parsed := _redis(text):
        return parsed
    raise _unknown("lock", text, "redis://, rediss://, redis+socket://, eager")


def split_brokers(url: str, separator: str) -> list[str]:
    """The single URLs of a broker setting with ``multiple_broker_separator`` (Go: ``common.AMQPConnector``)."""
    text = _text(url)
    return [SecretURL(part) for part in text.split(separator)] if separator else [SecretURL(text)]


def _text(url: str) -> str:
    return url.reveal() if isinstance(url, Secret) else url


def _unknown(setting: str, text: str, known: str) -> ConfigError:
    shown = redact(text) or "empty"
    return ConfigError(f"{setting} URL is {shown}: no service has such a URL; write one of {known}")


# -- Redis --


def _redis(text: str) -> RedisURL | None:
    if text.startswith("redis+socket://"):
        return _redis_socket(text)
    if not text.startswith(("redis://", "rediss://")):
        return None
    scheme, _, rest = text.partition("://")
    credentials, location = _split_credentials(rest)
    location = location.partition("?")[0].partition("#")[0]
    authority, _, path = location.partition("/")
    addresses = authority.split(",")
    if len(addresses) == 1:
        username, colon, password = credentials.partition(":")
        if not colon:
            username, password = "", username
        username, password = _unescape(username), _unescape(password)
        db = _database(path.partition("/")[0], text)
    else:
        username, colon, password = credentials.partition(":")
        if not colon:
            username, password = "", username
        db = 0
    return RedisURL(
        hosts=tuple(_address(address, 6379, text) for address in addresses),
        db=db,
        username=Secret(username),
        password=Secret(password),
        tls=scheme == "rediss",
        url=SecretURL(text),
    )


def _redis_socket(text: str) -> RedisURL:
    rest = text.removeprefix("redis+socket://")
    at = rest.rfind("@/")
    if at < 0:
        at = rest.rfind("@")
    password, location = (rest[:at], rest[at + 1 :]) if at >= 0 else ("", rest)
    path, _, tail = location.partition(":")
    if not path.startswith("/"):
        raise ConfigError(
            f"{redact(text)} names no socket by its whole path; write redis+socket://password@/path/to/file.sock:/db"
        )
    db = _database(tail.partition("/")[2], text)
    return RedisURL(socket=path, db=db, password=Secret(password), url=SecretURL(text))


def _split_credentials(rest: str) -> tuple[str, str]:
    """Credentials and location; a password may hold any character, ``@`` too."""
    if _LOCATION.fullmatch(rest):
        return "", rest
    at = rest.find("@")
    while at >= 0:
        if _LOCATION.fullmatch(rest, at + 1):
            return rest[:at], rest[at + 1 :]
        at = rest.find("@", at + 1)
    before, _, location = rest.rpartition("@")
    return before, location


def _unescape(text: str) -> str:
    """Percent escapes as Go's net/url decodes them; text that holds a stray ``%`` was never escaped."""
    return unquote(text) if text.count("%") == len(_ESCAPE.findall(text)) else text


def _database(text: str, url: str) -> int:
    try:
        number = int(text) if re.fullmatch(r"[+-]?[0-9]+", text) else 0
    except ValueError:
        number = -1
    if not 0 <= number < 2**31:
        raise ConfigError(f"{redact(url)} names a database that Redis cannot have; write a small number after the /")
    return number


def _address(text: str, default_port: int, url: str) -> Address:
    match = re.fullmatch(r"(?:\[(?P<six>[^\]]*)\]|(?P<name>[^:\[\]\s]*))(?::(?P<port>[0-9]{0,5}))?", text)
    if match is None:
        raise ConfigError(f"{redact(url)} holds an address that is not host:port")
    port = int(match["port"]) if match["port"] else default_port
    if not 0 < port < 65536:
        raise ConfigError(f"{redact(url)} holds port {port}; ports are 1 to 65535")
    return Address(match["six"] or match["name"] or "localhost", port)


# -- the others --


def _amqp(text: str) -> AMQPURL | None:
    if not text.startswith(("amqp://", "amqps://")):
        return None
    scheme, _, rest = text.partition("://")
    credentials, location = _split_credentials(rest)
    location, _, query = location.partition("?")
    authority, _, vhost = location.partition("/")
    username, colon, password = credentials.partition(":")
    return AMQPURL(
        host=_address(authority, 5671 if scheme == "amqps" else 5672, text),
        username=Secret(_unescape(username) if credentials else "guest"),
        password=Secret(_unescape(password) if colon else "guest"),
        vhost=_unescape(vhost) or "/",
        tls=scheme == "amqps",
        settings=tuple(parse_qsl(query, keep_blank_values=True)),
        url=SecretURL(text),
    )


def _memcache(text: str) -> MemcacheURL:
    servers = text.removeprefix("memcache://").rstrip("/").split(",")
    if not all(servers):
        raise ConfigError(f"{redact(text)} names no server; write memcache://server1:port,server2:port")
    return MemcacheURL(tuple(_address(server, 11211, text) for server in servers), SecretURL(text))


def _mongodb(text: str) -> MongoDBURL:
    _, location = _split_credentials(text.partition("://")[2])
    path = location.partition("?")[0].partition("/")[2]
    url = MongoDBURL(_unescape(path), SecretURL(text))
    if url.dialect not in ("v1", "v2"):
        raise ConfigError(f"{redact(text)}: gmpyDialect is v1 or v2")
    return url


def _pubsub(text: str) -> PubSubURL:
    parts = text.removeprefix("gcppubsub://").split("/")
    if len(parts) != 2 or not all(parts):
        raise ConfigError(
            f"{redact(text)} is not complete; write gcppubsub://YOUR_GCP_PROJECT_ID/YOUR_PUBSUB_SUBSCRIPTION_NAME"
        )
    return PubSubURL(parts[0], parts[1], SecretURL(text))
