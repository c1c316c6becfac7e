"""What needs no server of the AMQP port: settings, tables, errors, and which classes a URL leads to."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from typing import Any

import pytest
from pika.data import encode_table

from gomachinery_py import Config, Server, Signature
from gomachinery_py.amqp_commands import Int32, Int64
from gomachinery_py.config import TLSConfig
from gomachinery_py.errors import ConfigError, ServiceError, ServiceUnavailable
from gomachinery_py.ports.amqp_target import AMQPTarget, table
from gomachinery_py.urls import AMQPURL, parse_broker


def target(url: str, tls: TLSConfig | None = None) -> AMQPTarget:
    parsed = parse_broker(url)
    assert isinstance(parsed, AMQPURL)
    return AMQPTarget.of(parsed, tls)


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        (Int64(5), b"l\0\0\0\0\0\0\0\5"),
        (Int32(5), b"I\0\0\0\5"),
        (5, b"I\0\0\0\5"),
        (2**31, b"I\x80\0\0\0"),
        (2**32 + 5, b"I\0\0\0\5"),
        (True, b"t\1"),
        (None, b"V"),
        ("ż", b"S\0\0\0\2\xc5\xbc"),
        ([1, "a"], b"A\0\0\0\x0bI\0\0\0\1S\0\0\0\1a"),
        ({"b": 1}, b"F\0\0\0\7\1bI\0\0\0\1"),
    ],
)
def test_a_table_is_encoded_as_go_does(value: Any, encoded: bytes) -> None:
    """Integers have the size that Go's client writes, whatever their value; Go cuts an int to 32 bits."""
    pieces: list[bytes] = []
    encode_table(pieces, table({"a": value}))
    assert b"".join(pieces)[4:] == b"\1a" + encoded


def test_a_float_in_a_table() -> None:
    """pika cannot write it, so it is refused in words."""
    with pytest.raises(ServiceError, match="is a float"):
        table({"a": 1.5})


def test_settings_of_the_url() -> None:
    """Those that Go's client knows are used, others are told."""
    parameters = target("amqp://u:p@h:1/v?heartbeat=7&connection_timeout=9000&channel_max=40").parameters
    assert (parameters.host, parameters.port, parameters.virtual_host) == ("h", 1, "v")
    assert (parameters.heartbeat, parameters.socket_timeout, parameters.channel_max) == (7, 9.0, 40)
    assert parameters.ssl_options is None
    with pytest.raises(ConfigError, match="heartbeat is 'soon'"):
        target("amqp://h/?heartbeat=soon")


def test_warnings(caplog: pytest.LogCaptureFixture) -> None:
    """A password in plain text to another host, and a setting that nobody knows; the password is not shown."""
    target("amqp://u:secret@example.com/?hartbeat=3")
    assert len(caplog.records) == 2
    assert "secret" not in caplog.text


def test_certificates_are_verified_unless_told_otherwise() -> None:
    """amqps checks the host's name; Go's InsecureSkipVerify and the URL's verify_none switch it off."""
    strict = target("amqps://h/").parameters.ssl_options
    assert (strict.context.check_hostname, strict.server_hostname) == (True, "h")
    assert target("amqps://h/", TLSConfig(servername="other")).parameters.ssl_options.server_hostname == "other"
    for loose in (target("amqps://h/?verify=verify_none"), target("amqps://h/", TLSConfig(insecureskipverify=True))):
        assert loose.parameters.ssl_options.context.check_hostname is False
    with pytest.raises(ConfigError, match="TLS files cannot be read"):
        target("amqps://h/?cacertfile=nowhere.pem")


def test_several_brokers() -> None:
    """multiple_broker_separator parts the URLs; they are tried in order, and must be of one kind."""
    with Server(Config.of(broker="amqp://a;amqps://b", result_backend="null", multiple_broker_separator=";")) as server:
        hosts = [each.parameters.host for each in server.broker.port.targets]  # type: ignore[attr-defined]
    assert hosts == ["a", "b"]
    with pytest.raises(ConfigError, match="different services"):
        Server(Config.of(broker="amqp://a;redis://b", result_backend="null", multiple_broker_separator=";"))


def test_one_connection_for_broker_and_results() -> None:
    """The same URL for both is one port."""
    with Server("amqp://localhost/") as server:
        assert server.broker.port is server.backend.port


def test_a_server_that_is_silent() -> None:
    """A port that accepts and says nothing is given up within some seconds, in one line."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"amqp://guest:secret@127.0.0.1:{silent.getsockname()[1]}/"
        began = time.monotonic()
        with Server(f"{url}?connection_timeout=200") as server, pytest.raises(ServiceUnavailable) as caught:
            server.send_task(Signature("x"))
    assert time.monotonic() - began < 5
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_fork_while_another_thread_sends() -> None:
    """The child waits for no lock that only a thread of its parent could open."""
    program = """
import os, signal
from gomachinery_py import Server, Signature
from gomachinery_py.errors import ServiceUnavailable
server = Server("amqp://127.0.0.1:1/")
server.broker.port._lock.acquire()
if (pid := os.fork()) == 0:
    signal.alarm(30)
    try:
        server.send_task(Signature("x"))
    except ServiceUnavailable:
        server.close()
        os._exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert told == "7\n"


def test_without_pika() -> None:
    """The missing client is named with its pip command."""
    program = """
import sys
sys.modules["pika"] = None
from gomachinery_py import Server
try:
    Server("amqp://localhost/")
except ImportError as error:
    print(type(error).__name__, error)
"""
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert told == "MissingExtra pika is not installed, which this URL needs: pip install 'gomachinery-py[amqp]'\n"


def test_headers_and_names_are_checked_before_anything_is_sent() -> None:
    """Header values must be texts, names must fit AMQP's 255 bytes; nothing is connected for that."""
    with Server("amqp://127.0.0.1:1/") as server:
        with pytest.raises(TypeError, match="header 'n' must be str on AMQP"):
            server.send_task(Signature("x", headers={"n": 1}))
        with pytest.raises(ValueError, match=r"uuid .* has 250 bytes"):
            server.send_task(Signature("x", uuid="u" * 250))
        with pytest.raises(ValueError, match=r"routing_key .* has 260 bytes"):
            server.send_task(Signature("x", routing_key="ż" * 130))
        with pytest.raises(ValueError, match="in use"):
            server.send_task(Signature("x", uuid="machinery_task"))
