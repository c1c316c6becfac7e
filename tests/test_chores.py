"""What a worker does beside its tasks, each time by hand, on the embedded Redis."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gomachinery_py import Server
from gomachinery_py.effects import run
from gomachinery_py.errors import ServiceError
from gomachinery_py.worker.chores import Chore, heartbeat, recovery


@pytest.mark.parametrize("chore", [heartbeat, recovery])
def test_a_queue_that_fails_takes_no_sign_of_life_from_the_others(
    chore: Callable[..., Chore], embedded_url: str
) -> None:
    """Otherwise the tasks that run here would be given to others, since one node of a cluster is down."""
    broken, well = f"{chore.__name__}-broken", f"{chore.__name__}-well"
    with Server(embedded_url) as server:
        run(_set(server, f"{{{broken}}}:gmpy:workers", "no sorted set"))
        with pytest.raises(ServiceError):
            chore(server.broker, [broken, well], "w", 1.0)._call()
        assert [worker.name for worker in run(server.broker.workers(well))] == ["w"]


async def _set(server: Server, key: str, value: str) -> None:
    await server.broker.port.execute(("SET", key, value))
