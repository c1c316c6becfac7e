"""The MongoDB port where no server is needed: URLs, and a DNS that knows no servers."""

from __future__ import annotations

import pytest

from gomachinery_py import Config
from gomachinery_py.effects import Request
from gomachinery_py.errors import ConfigError, ServiceUnavailable
from gomachinery_py.ports.mongodb import MongoDBPort, open_port
from gomachinery_py.urls import MongoDBURL, parse_backend


def port_to(url: str) -> MongoDBPort:
    parsed = parse_backend(url)
    assert isinstance(parsed, MongoDBURL)
    return open_port(parsed, Config())


def test_servers_that_dns_does_not_know() -> None:
    """A worker waits for DNS as for a server that is away; whoever only makes a Server does not need it."""
    port = port_to("mongodb+srv://user:s3cret@no-such-cluster.invalid/?srvMaxHosts=2&w=majority&gmpyDialect=v1")

    [answer] = port.send([Request(port, [("find_one", "tasks", {"_id": "x"})])])

    assert isinstance(answer, ServiceUnavailable)
    assert str(answer).startswith("cannot find MongoDB at mongodb+srv://***@no-such-cluster.invalid/?")
    assert str(answer).endswith("Does DNS answer, and is the URL right?")
    assert "s3cret" not in str(answer)
    port.close()


@pytest.mark.parametrize("url", ["mongodb+srv://host/?bogus=1", "mongodb://host/?bogus=1", "mongodb+srv://u:p%40@@h"])
def test_urls_that_the_client_does_not_read(url: str) -> None:
    """They are refused when the Server is made."""
    with pytest.raises(ConfigError, match=r"is not a URL that MongoDB's client reads: "):
        port_to(url)
