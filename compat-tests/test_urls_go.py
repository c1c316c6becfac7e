"""Redis URLs that Go's v1 factories can read mean the same here."""

from __future__ import annotations

import json
import random
import subprocess
from typing import Any

import pytest
from gobuild import binary
from seeds import FRESH_SEED

from gomachinery_py.urls import RedisURL, parse_broker

URLS = 3000

# What Go's net/url lets stand in a password; "@" and ":" are the interesting ones.
LETTERS = "abcXYZ019-._~!$&'()*+,;=@:"
ESCAPES = ["%40", "%3A", "%2F", "%23", "%25", "%20", "%C3%A9"]
HOSTS = ["localhost", "redis.example", "127.0.0.1", "[::1]", ""]


def text(random_: random.Random, letters: str) -> str:
    return "".join(random_.choice(letters) for _ in range(random_.randrange(1, 8)))


def random_url(random_: random.Random) -> str:
    database = random_.choice(["", "/", "/0", "/3", "/15", "/x", "/3/4", "/+2", "/03"])
    if random_.random() < 0.25:
        # Go ends the password at the first "@", so there is none in it here; see the table in urls.py.
        password = random_.choice(["", "", text(random_, LETTERS.replace("@", "") + "%/#") + "@"])
        path = f"/run/{text(random_, 'abc._-/')}"
        return f"redis+socket://{password}{path}{random_.choice(['', ':'])}{database}"
    credentials = random_.choice(["", text(random_, LETTERS), ":" + text(random_, LETTERS)])
    if credentials and random_.random() < 0.3:
        credentials += random_.choice(ESCAPES)
    # One host: a comma is another form.
    credentials = credentials.replace(",", "")
    port = random_.choice([":6379", ":7000", ""])
    tail = random_.choice(["", "", "?timeout=5", "#note"])
    scheme = random_.choice(["redis", "rediss"])
    at = "@" if credentials else ""
    return f"{scheme}://{credentials}{at}{random_.choice(HOSTS)}{port}{database}{tail}"


def ask_go(urls: list[str]) -> list[Any]:
    lines = "".join(json.dumps({"url": url}) + "\n" for url in urls)
    run = subprocess.run([binary("config")], input=lines, capture_output=True, text=True, timeout=120, check=True)
    return [json.loads(line) for line in run.stdout.splitlines()]


def place_of(url: RedisURL) -> str:
    return url.socket or ",".join(map(str, url.hosts))


def full_place(place: str) -> str:
    """Go leaves defaults to the client, which then fails for want of a port."""
    if place.startswith("/"):
        return place
    host, colon, port = place.rpartition(":")
    if not colon or "]" in port:
        host, port = place, "6379"
    return f"{host or 'localhost'}:{port}"


@pytest.mark.parametrize("seed", [20240601, FRESH_SEED], ids=["fixed", "fresh"])
def test_urls_are_read_as_v1_reads_them(seed: int) -> None:
    """Place, password and database of random URLs; v1 reads every one of them."""
    random_ = random.Random(seed)
    urls = [random_url(random_) for _ in range(URLS)]
    differences = []
    for url, go in zip(urls, ask_go(urls), strict=True):
        parsed = parse_broker(url)
        assert isinstance(parsed, RedisURL)
        ours = {"place": place_of(parsed), "password": parsed.password.reveal(), "db": parsed.db}
        theirs = {**go["config"], "place": full_place(go["config"]["place"])} if "config" in go else go
        if ours != theirs:
            differences.append((url, theirs, ours))
    print(f"seed {seed}: {URLS} URLs, {len(differences)} differ")
    assert differences[:5] == []
