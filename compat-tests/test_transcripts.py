"""The recorded fixtures are what live Go does today."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest
from harness.fixtures import CLIENTS, FIXTURES, VERSIONS, plain, render, stale, transcript
from harness.redis_server import RedisServer
from harness.scenarios import PRODUCER

PAIRS = list(product(VERSIONS, CLIENTS))


@pytest.mark.parametrize(("version", "client"), PAIRS)
def test_recording_again_gives_the_committed_bytes(
    version: str, client: str, redis_server: RedisServer, tmp_path: Path
) -> None:
    """Each scenario, sent and done by Go, gives the commands and the stored bytes that are in fixtures/."""
    rendered = render(version, client, redis_server, tmp_path)

    committed = {path: (FIXTURES / path).read_text(encoding="utf-8") for path in rendered}

    assert committed == rendered


def test_no_recorded_file_is_left_over() -> None:
    """Every recorded file belongs to a scenario, a version and a client that are recorded today."""
    names = {path.name for path in FIXTURES.glob(f"golden/{VERSIONS['v1']}/redis-*.json")}
    expected = {Path("golden", version, name) for version in VERSIONS.values() for name in names}
    for version, side, client in product(VERSIONS.values(), ("producer", "worker"), CLIENTS):
        expected.add(Path("transcripts", version, f"{side}.{client}.jsonl"))

    assert stale(expected) == []


@pytest.mark.parametrize("version", VERSIONS)
def test_gos_two_clients_send_the_same_in_plain_spelling(version: str) -> None:
    """Letter case and the text of a score are all that redigo and go-redis differ in when they send."""
    for scenario in PRODUCER:
        redigo = transcript(version, "producer", "redigo", scenario.name)
        goredis = transcript(version, "producer", "goredis", scenario.name)

        assert plain(redigo) == plain(goredis)
