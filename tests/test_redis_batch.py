"""One pipeline of many requests: whose reply is whose, also when the server goes away half-way."""

from __future__ import annotations

from redis.exceptions import NoScriptError, ResponseError

from gomachinery_py import redis_scripts as lua
from gomachinery_py import redis_transactions as tx
from gomachinery_py.effects import Port, Request
from gomachinery_py.errors import ServiceError, ServiceUnavailable
from gomachinery_py.ports.redis_batch import Batch, atomic_answer, packed_atomic

PORT = Port()


def _store(uuid: str) -> Request:
    return Request(PORT, (tx.transaction([("SET", uuid, b"{}", "EX", 60)]),))


def test_joined_requests_get_their_own_replies() -> None:
    """Transactions and reads go as one command each, a single command as itself."""
    batch = Batch([_store("a"), Request(PORT, (("GET", "x"),)), _store("b"), Request(PORT, (("GET", "y"),))])
    assert len(batch.commands) == 2
    batch.replies = [[tx.DONE, tx.NOT_HELD], [b"x", None]]
    assert batch.results() == [[tx.DONE], [b"x"], [tx.NOT_HELD], [None]]


def test_a_script_that_is_never_answered_is_no_error_of_the_task() -> None:
    """A server that forgot a script and then went away has not refused anything: it is tried again."""
    batch = Batch([_store("a"), Request(PORT, (("GET", "x"),)), Request(PORT, (("GET", "y"),))])
    batch.replies = [NoScriptError("No matching script"), NoScriptError("No matching script")]
    assert [at for at, _ in batch.unknown_scripts()] == [0, 1]
    batch.replies[0] = [tx.DONE]
    batch.broken = ServiceUnavailable("gone")
    assert batch.results() == [[tx.DONE], batch.broken, batch.broken]


def test_a_transaction_by_itself() -> None:
    """Its commands' replies, or the error that refused it; scripts are left to the batch."""
    request = Request(PORT, (("SET", "a", b"1"), ("RPUSH", "q", b"2")), True)
    assert packed_atomic(request.commands) == Batch([request]).packed()
    assert atomic_answer(request, [b"OK", b"QUEUED", b"QUEUED", [b"OK", 1]]) == [b"OK", 1]
    refused = atomic_answer(request, [b"OK", ResponseError("OOM command not allowed"), b"QUEUED", ResponseError("x")])
    assert isinstance(refused, ServiceUnavailable)
    wrong = atomic_answer(request, [b"OK", b"QUEUED", b"QUEUED", [b"OK", ResponseError("ERR no")]])
    assert isinstance(wrong, list)
    assert isinstance(wrong[1], ServiceError)
    assert packed_atomic([lua.script(lua.BEAT, ["k"], "w")]) is None
    assert packed_atomic([("SET", "a", object())]) is None
