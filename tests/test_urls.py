"""URLs: what they mean, and that no part of a password is ever shown."""

from __future__ import annotations

import io
import logging
import re
import traceback
from collections.abc import Callable
from typing import Any

import pytest

from gomachinery_py.config import Config
from gomachinery_py.errors import ConfigError
from gomachinery_py.secret import Secret, SecretURL, redact
from gomachinery_py.urls import (
    AMQPURL,
    SQSURL,
    Address,
    DynamoDBURL,
    EagerURL,
    MemcacheURL,
    MongoDBURL,
    NullURL,
    PubSubURL,
    RedisURL,
    parse_backend,
    parse_broker,
    parse_lock,
    split_brokers,
)

LOCAL = (Address("localhost", 6379),)

REDIS = [
    ("redis://localhost:6379", RedisURL(LOCAL)),
    ("redis://localhost", RedisURL(LOCAL)),
    ("redis://:6379", RedisURL(LOCAL)),
    ("redis://h:1/3", RedisURL((Address("h", 1),), 3)),
    ("redis://h:1/", RedisURL((Address("h", 1),))),
    ("redis://h:1/name", RedisURL((Address("h", 1),))),
    ("redis://h:1/2/3?x=y#z", RedisURL((Address("h", 1),), 2)),
    ("redis://pw@h:1", RedisURL((Address("h", 1),), password=Secret("pw"))),
    ("redis://user:pw@h:1", RedisURL((Address("h", 1),), username=Secret("user"), password=Secret("pw"))),
    ("redis://:pw@h:1", RedisURL((Address("h", 1),), password=Secret("pw"))),
    ("redis://p@s@h:1", RedisURL((Address("h", 1),), password=Secret("p@s"))),
    ("redis://p%40s@h:1", RedisURL((Address("h", 1),), password=Secret("p@s"))),
    ("redis://100%@h:1", RedisURL((Address("h", 1),), password=Secret("100%"))),
    ("redis://a%zzb@h:1", RedisURL((Address("h", 1),), password=Secret("a%zzb"))),
    ("redis://p#s@h:1", RedisURL((Address("h", 1),), password=Secret("p#s"))),
    ("redis://p/s@h:1/4", RedisURL((Address("h", 1),), 4, password=Secret("p/s"))),
    ("redis://u:p:s@h:1", RedisURL((Address("h", 1),), username=Secret("u"), password=Secret("p:s"))),
    ("redis://u:a/b#c@d%e:f@h:1/5", RedisURL((Address("h", 1),), 5, Secret("u"), Secret("a/b#c@d%e:f"))),
    ("redis://h:1/0?note=a@b", RedisURL((Address("h", 1),))),
    ("redis://pw@h:1/0?note=a@b", RedisURL((Address("h", 1),), password=Secret("pw"))),
    ("redis://[::1]:7/1", RedisURL((Address("::1", 7),), 1)),
    ("rediss://u:pw@h:1", RedisURL((Address("h", 1),), 0, Secret("u"), Secret("pw"), True)),
    ("redis://pw@h1:1,h2:2", RedisURL((Address("h1", 1), Address("h2", 2)), password=Secret("pw"))),
    ("redis://u:p%40@h1:1,h2", RedisURL((Address("h1", 1), Address("h2", 6379)), 0, Secret("u"), Secret("p%40"))),
    ("redis://h1:1,h2:2/3", RedisURL((Address("h1", 1), Address("h2", 2)))),
    ("redis+socket:///run/r.sock", RedisURL(socket="/run/r.sock")),
    ("redis+socket://pw@/run/r.sock:/2", RedisURL(socket="/run/r.sock", db=2, password=Secret("pw"))),
    ("redis+socket://a@b:c@/run/r.sock", RedisURL(socket="/run/r.sock", password=Secret("a@b:c"))),
]


@pytest.mark.parametrize(("url", "expected"), REDIS, ids=[url for url, _ in REDIS])
def test_redis_urls(url: str, expected: RedisURL) -> None:
    """Every form of Machinery's Redis URLs, and passwords that Go cannot take apart."""
    assert expected == parse_broker(url) == parse_backend(url) == parse_lock(url)


OTHERS: list[tuple[Callable[[str], Any], str, Any]] = [
    (parse_broker, "amqp://", AMQPURL(Address("localhost", 5672))),
    (parse_broker, "amqp://h/", AMQPURL(Address("h", 5672))),
    (parse_broker, "amqps://u@h/v", AMQPURL(Address("h", 5671), Secret("u"), Secret("guest"), "v", True)),
    (
        parse_backend,
        "amqp://u:p%2F@h:5/a%2Fb?heartbeat=3",
        AMQPURL(Address("h", 5), Secret("u"), Secret("p/"), "a/b", settings=(("heartbeat", "3"),)),
    ),
    (parse_broker, "eager", EagerURL()),
    (parse_backend, "eager://", EagerURL()),
    (parse_lock, "", EagerURL()),
    (parse_lock, "eager", EagerURL()),
    (parse_backend, "null", NullURL()),
    (parse_backend, "memcache://a:1,b", MemcacheURL((Address("a", 1), Address("b", 11211)))),
    (
        parse_backend,
        "mongodb://u:p@h:27017/db?authSource=admin",
        MongoDBURL("db", SecretURL("mongodb://u:p@h:27017/db?authSource=admin")),
    ),
    (
        parse_broker,
        "https://sqs.eu-west-1.amazonaws.com/1/",
        SQSURL(SecretURL("https://sqs.eu-west-1.amazonaws.com/1")),
    ),
    (
        parse_backend,
        "https://dynamodb.eu-west-1.amazonaws.com",
        DynamoDBURL(SecretURL("https://dynamodb.eu-west-1.amazonaws.com")),
    ),
    (parse_broker, "gcppubsub://project/subscription", PubSubURL("project", "subscription")),
]


@pytest.mark.parametrize(("parse", "url", "expected"), OTHERS, ids=[url or "(empty)" for _, url, _ in OTHERS])
def test_other_urls(parse: Callable[[str], Any], url: str, expected: Any) -> None:
    """The services beside Redis."""
    assert expected == parse(url)


def test_sqs_takes_any_endpoint_when_the_check_is_off() -> None:
    """DISABLE_STRICT_SQS_CHECK lets a local stand-in serve."""
    assert SQSURL(SecretURL("http://127.0.0.1:9324/0")) == parse_broker("http://127.0.0.1:9324/0", strict_sqs=False)


def test_brokers_are_split_at_their_separator() -> None:
    """multiple_broker_separator gives single URLs; without one there is a single URL."""
    assert split_brokers("amqp://a;amqp://b", ";") == ["amqp://a", "amqp://b"]
    assert split_brokers("amqp://a;amqp://b", "") == ["amqp://a;amqp://b"]


REFUSED = [
    (parse_broker, "", "broker URL is empty"),
    (parse_broker, "null", "broker URL is null"),
    (parse_broker, "memcache://h", "broker URL is memcache://h"),
    (parse_broker, "http://127.0.0.1:9324", "no service has such a URL"),
    (parse_backend, "gcppubsub://a/b", "result_backend URL is gcppubsub://a/b"),
    (parse_lock, "rdis://h", "lock URL is"),
    (parse_broker, "redis://h:99999", "port 99999"),
    (parse_broker, "redis://h:0", "port 0"),
    (parse_broker, "redis://h:x", "not host:port"),
    (parse_broker, "redis://h/-1", "database"),
    (parse_broker, "redis://h/99999999999", "database"),
    (parse_broker, "redis+socket://pw@", "names no socket"),
    (parse_broker, "redis+socket://run/redis.sock", "names no socket"),
    (parse_backend, "memcache://", "names no server"),
    (parse_broker, "gcppubsub://project", "YOUR_PUBSUB_SUBSCRIPTION_NAME"),
    (parse_broker, "gcppubsub:///x", "YOUR_GCP_PROJECT_ID"),
]


@pytest.mark.parametrize(("parse", "url", "text"), REFUSED, ids=[url or "(empty)" for _, url, _ in REFUSED])
def test_urls_that_no_service_has(parse: Callable[[str], Any], url: str, text: str) -> None:
    """A ConfigError that says what is wrong with which URL."""
    with pytest.raises(ConfigError, match=re.escape(text)):
        parse(url)


# The words hunter2, and sw0rd after it, are parts of passwords and stand nowhere else.
SECRETS = [
    "redis://hunter2@localhost:6379",
    "redis://user:hunter2@localhost:6379/0",
    "redis://:hunter2@localhost",
    "redis://hunter2@sw0rd@localhost:6379",
    "redis://hunter2#sw0rd@localhost:6379",
    "redis://hunter2%sw0rd@localhost:6379",
    "redis://hunter2%40sw0rd@localhost:6379",
    "redis://hunter2/sw0rd@localhost:6379",
    "redis://hunter2:sw0rd@localhost:6379",
    "redis://user:hunter2?sw0rd@localhost:6379",
    "redis://user:hunter2?x=sw0rd@localhost:6379",
    "redis://user:hunter2//sw0rd@localhost",
    "redis://user:hunter2@sw0rd/x#y@localhost",
    "redis://user:hunter2://sw0rd@localhost",
    "redis://user:hunter2 sw0rd@localhost",
    "redis://user:hunter2\nsw0rd@localhost",
    "redis://user:hunter2[sw0rd@localhost",
    "redis://user:hunter2]sw0rd@[::1]:6379",
    "redis://hunter2@h1:6379,h2:6379",
    "redis://hunter2@h1:6379,sw0rd@h2:6379",
    "redis://user:hunter2@h1,h2,h3",
    "redis://:hunter2",
    "redis://user:hunter2",
    "redis://user:hunter2%40localhost:6379",
    "redis://localhost:6379/0?password=hunter2",
    "redis://localhost:6379/0?password=hunter2@sw0rd",
    "redis://localhost:6379/0?db=1&ssl_password=hunter2;token=sw0rd",
    "redis://localhost:6379?hunter2",
    "redis://localhost:6379#hunter2",
    "rediss://user:hunter2@localhost:6379",
    "redis+socket://hunter2@/run/redis.sock:/1",
    "redis+socket://hunter2@sw0rd@/run/redis.sock",
    "redis+socket://hunter2/run/redis.sock",
    "amqp://user:hunter2@localhost:5672/vhost",
    "amqps://user:hunter2#sw0rd@localhost:5671/",
    "amqp://user:hunter2@h1;amqp://user:sw0rd@h2",
    "mongodb://user:hunter2@h1:27017,h2:27017/db?authSource=admin",
    "mongodb+srv://user:hunter2@cluster.example/db",
    "memcache://user:hunter2@h1:11211,h2:11211",
    "https://AKIA:hunter2@sqs.eu-west-1.amazonaws.com/1",
    "https://sqs.eu-west-1.amazonaws.com/1?X-Amz-Signature=hunter2",
    "http://user:hunter2@localhost:9324",
    "kafka://user:hunter2@localhost",
    "kafka://:hunter2",
    "hunter2@localhost",
    "user:hunter2@localhost:6379",
    "user:hunter2",
    "hunter2",
    "redis:user:hunter2@localhost",
    " redis://user:hunter2@localhost",
    "REDIS://user:hunter2@localhost",
]


def leaked(text: str) -> list[str]:
    return [word for word in ("hunter2", "sw0rd") if word in text]


@pytest.mark.parametrize("url", SECRETS, ids=range(len(SECRETS)))
def test_no_password_is_shown(url: str, caplog: pytest.LogCaptureFixture) -> None:
    """Not when masked, nor in a Secret, a Config, a log line, a parsed URL, an error or its traceback."""
    shown = io.StringIO()
    print(redact(url), SecretURL(url), repr(SecretURL(url)), f"{SecretURL(url):>9}", file=shown)
    print(f"{SecretURL(url)} {Secret(url)!r}", Config(broker=url, result_backend=url, lock=url), file=shown)
    logging.getLogger("test").warning("%s", Config(broker=url))
    for parse in (parse_broker, parse_backend, parse_lock):
        try:
            print(parse(url), file=shown)
        except ConfigError:
            traceback.print_exc(file=shown)
    # The traceback quotes this file's source, which holds no password.
    assert leaked(shown.getvalue() + caplog.text) == []
    assert len(redact(url).splitlines()) == 1


def test_harmless_urls_are_shown_whole() -> None:
    """What holds no password stays readable."""
    urls = [
        "redis://localhost:6379/1",
        "redis://h1:1,h2:2",
        "rediss://[::1]:6379",
        "redis+socket:///run/redis.sock:/1",
        "amqp://localhost:5672/vhost?heartbeat=10",
        "memcache://h1:11211,h2:11211",
        "https://sqs.eu-west-1.amazonaws.com/123456789012",
        "https://dynamodb.eu-west-1.amazonaws.com",
        "gcppubsub://project/subscription",
        "eager",
        "null",
        "",
    ]
    assert urls == [redact(url) for url in urls]


def test_masked_urls_still_say_where() -> None:
    """Host, port and path of a masked URL remain."""
    assert redact("redis://user:hunter2@localhost:6379/1") == "redis://***@localhost:6379/1"
    assert redact("redis+socket://hunter2@/run/r.sock:/1") == "redis+socket://***@/run/r.sock:/1"


def test_a_secret_is_its_text_for_who_needs_it() -> None:
    """A client library gets the password; an empty one shows that it is empty."""
    secret = Secret("hunter2")
    assert "hunter2" == secret.reveal() == secret
    assert (str, b"hunter2") == (type(secret.reveal()), secret.encode())
    assert (str(secret), repr(secret), repr(Secret())) == ("***", "Secret('***')", "Secret('')")
