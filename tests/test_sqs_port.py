"""How SQS' own answers are told: errors that no stand-in for SQS gives, requests that are put together, endpoints.

The server here only says what AWS says; the commands themselves are tested on a real server in ``compat-tests``.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from gomachinery_py import Config
from gomachinery_py.effects import Request, arun, run
from gomachinery_py.errors import ServiceUnavailable
from gomachinery_py.ports.sqs import SQSPort, SQSTarget, open_port
from gomachinery_py.sqs_commands import ACCESS_DENIED, NO_SUCH_QUEUE, SQSHeld, SQSRefused, delete
from gomachinery_py.urls import SQSURL, parse_broker

Answer = tuple[int, dict[str, Any]]


class Service:
    """Answers requests in turn from ``answers``, or with ``{}``, and keeps what it was asked."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.logins: list[str] = []
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                service.asked.append((self.headers["X-Amz-Target"].rpartition(".")[2], body))
                service.logins.append(self.headers["Authorization"].partition("Credential=")[2].partition("/")[0])
                status, told = service.answers.pop(0) if service.answers else (200, {})
                text = json.dumps(told).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/x-amz-json-1.0")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/000000000000"

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


@pytest.fixture
def service() -> Iterator[Service]:
    service = Service()
    yield service
    service.stop()


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of this machine's own AWS settings."""
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, os.devnull)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")


def port_to(url: str) -> SQSPort:
    parsed = parse_broker(url, strict_sqs=False)
    assert isinstance(parsed, SQSURL)
    return open_port(parsed, Config())


@pytest.fixture
def port(service: Service) -> Iterator[SQSPort]:
    port = port_to(service.url)
    yield port
    port.close()


def held(service: Service, number: int) -> SQSHeld:
    return SQSHeld(f"{service.url}/q", f"receipt-{number}", f"message-{number}", 0.0)


def problem(kind: str, text: str = "some text") -> dict[str, Any]:
    return {"__type": f"com.amazonaws.sqs#{kind}", "message": text}


@pytest.mark.parametrize(
    "kind",
    [
        "InvalidClientTokenId",
        "SignatureDoesNotMatch",
        "InvalidSignatureException",
        "ExpiredTokenException",
        "UnrecognizedClientException",
    ],
)
def test_a_refused_login(service: Service, port: SQSPort, kind: str) -> None:
    """Wrong or expired credentials are one line that says what to check; a worker waits until they are right."""
    service.answers = [(403, problem(kind, "The security token included in the request is invalid."))]
    with pytest.raises(ServiceUnavailable, match=f"refused the login \\({kind}: The security token") as caught:
        run(_asked(port, delete(held(service, 1))))

    assert "\n" not in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_credentials_that_were_renewed(
    service: Service, port: SQSPort, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """After a refused login they are looked up again, so a worker goes on when somebody has renewed them."""
    file = tmp_path / "credentials"
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    file.write_text("[default]\naws_access_key_id = AKIAOLD\naws_secret_access_key = old\n")
    service.answers = [(200, {}), (403, problem("ExpiredTokenException"))]
    assert run(_asked(port, delete(held(service, 1)))) == {}
    with pytest.raises(ServiceUnavailable, match="refused the login"):
        run(_asked(port, delete(held(service, 1))))

    file.write_text("[default]\naws_access_key_id = AKIANEW\naws_secret_access_key = new\n")
    assert run(_asked(port, delete(held(service, 1)))) == {}
    assert service.logins == ["AKIAOLD", "AKIAOLD", "AKIANEW"]


async def _asked(port: SQSPort, command: Any) -> Any:
    return await port.execute(command)


def test_what_sqs_refuses(service: Service, port: SQSPort) -> None:
    """A missing queue and a missing permission can be told apart; both name the queue."""
    service.answers = [(400, problem("QueueDoesNotExist")), (403, problem("AccessDeniedException", "not authorized"))]
    with pytest.raises(SQSRefused, match=r"^SQS has no queue 'q' at http://127\.0\.0\.1:.*/q: create it") as missing:
        run(_asked(port, delete(held(service, 1))))
    with pytest.raises(SQSRefused, match=r"^SQS: DeleteMessage on 'q' is not allowed: not authorized$") as denied:
        run(_asked(port, delete(held(service, 1))))

    assert (missing.value.code, denied.value.code) == (NO_SUCH_QUEUE, ACCESS_DENIED)


def test_what_passes_is_tried_again(service: Service, port: SQSPort) -> None:
    """Throttling and errors of the service get two more tries; then the service counts as away."""
    busy: Answer = (400, problem("ThrottlingException"))
    service.answers = [busy, (500, problem("InternalFailure"))]
    assert run(_asked(port, delete(held(service, 1)))) == {}
    assert len(service.asked) == 3

    service.answers = [busy] * 3
    with pytest.raises(ServiceUnavailable, match=r"cannot answer now \(ThrottlingException: some text\)"):
        run(_asked(port, delete(held(service, 1))))


def test_the_ends_of_several_tasks_are_one_request(service: Service, port: SQSPort) -> None:
    """Ten deletions share a request, each gets its own answer, and other commands are not held up by them."""
    service.answers = [(200, {"Failed": [{"Id": "3", "Code": "ReceiptHandleIsInvalid", "SenderFault": True}]})]
    requests = [Request(port, [delete(held(service, number))]) for number in range(10)]

    answers = port.send(requests)

    [(action, fields)] = service.asked
    assert (action, [entry["ReceiptHandle"] for entry in fields["Entries"]]) == (
        "DeleteMessageBatch",
        [f"receipt-{number}" for number in range(10)],
    )
    assert [answer for at, answer in enumerate(answers) if at != 3] == [[{}]] * 9
    assert isinstance(answers[3], list)
    assert isinstance(answers[3][0], SQSRefused)

    service.asked.clear()
    other = Request(port, [("PurgeQueue", {"QueueUrl": f"{service.url}/q"})])
    assert port.send([*requests, other, Request(port, [delete(held(service, 10))])]) == [[{}]] * 12
    assert sorted(action for action, _ in service.asked) == ["DeleteMessage", "DeleteMessageBatch", "PurgeQueue"]


def failed(at: int, code: str, *, theirs: bool) -> dict[str, Any]:
    """An entry of an answer to a batch that was not carried out; whose fault that is SQS says."""
    return {"Id": str(at), "Code": code, "Message": "some text", "SenderFault": not theirs}


def test_what_a_batch_left_out_is_tried_again(service: Service, port: SQSPort) -> None:
    """An entry that SQS itself failed at is sent once more, alone; one that is at fault itself is not."""
    busy, wrong = failed(1, "InternalError", theirs=True), failed(2, "ReceiptHandleIsInvalid", theirs=False)
    service.answers = [(200, {"Failed": [busy, wrong]}), (200, {"Successful": [{"Id": "1"}]})]
    first, second, third = port.send([Request(port, [delete(held(service, number))]) for number in range(3)])

    assert (first, second) == ([{}], [{}])
    assert isinstance(third, list)
    assert isinstance(third[0], SQSRefused)
    assert [[entry["Id"] for entry in fields["Entries"]] for _, fields in service.asked] == [["0", "1", "2"], ["1"]]

    for kind in ("SendMessageBatch", "ChangeMessageVisibilityBatch"):
        service.asked.clear()
        service.answers = [(200, {"Failed": [busy, wrong]}), (200, {"Failed": [busy]}), (200, {})]
        entries = [{"Id": str(at), "MessageBody": "x", "ReceiptHandle": "x"} for at in range(3)]
        for entry in entries:
            del entry["ReceiptHandle" if kind == "SendMessageBatch" else "MessageBody"]
        answer = run(_asked(port, (kind, {"QueueUrl": f"{service.url}/q", "Entries": entries})))
        assert answer["Failed"] == [wrong]
        assert [len(fields["Entries"]) for _, fields in service.asked] == [3, 1, 1]


def test_an_end_that_sqs_fails_at_is_not_an_end(service: Service, port: SQSPort) -> None:
    """A deletion that SQS cannot carry out for now is for the worker to wait for: its task would run again."""
    service.answers = [(200, {"Failed": [failed(0, "InternalError", theirs=True)]})] * 3
    first, second = port.send([Request(port, [delete(held(service, number))]) for number in range(2)])

    assert isinstance(first, ServiceUnavailable)
    assert "cannot answer now (InternalError: some text)" in str(first)
    assert second == [{}]


def test_a_batch_that_is_not_answered(service: Service, port: SQSPort) -> None:
    """Every one of the deletions that were put together is told, so that each can be tried again."""
    service.answers = [(503, problem("ServiceUnavailable"))] * 3
    answers = port.send([Request(port, [delete(held(service, number))]) for number in range(3)])

    assert [type(answer) for answer in answers] == [ServiceUnavailable] * 3


def test_nobody_there() -> None:
    """A closed port and a name that does not exist are one line within two seconds."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{free.getsockname()[1]}/0"
    for url in (closed, "http://no-such-host.invalid/0"):
        away = port_to(url)
        away.prepare()
        began = time.monotonic()
        with pytest.raises(ServiceUnavailable, match="cannot reach SQS at http://") as caught:
            run(_asked(away, ("PurgeQueue", {"QueueUrl": f"{url}/q"})))
        assert time.monotonic() - began < 2
        assert "\n" not in str(caught.value)
        away.close()


def test_a_closed_port_opens_again(service: Service, port: SQSPort) -> None:
    """Closing twice does no harm, and what comes after it is sent all the same, also by an event loop."""
    assert run(_asked(port, delete(held(service, 1)))) == {}
    port.close()
    port.close()
    assert asyncio.run(arun(_asked(port, delete(held(service, 2))))) == {}
    assert len(service.asked) == 2


def test_a_child_process_has_clients_of_its_own(service: Service, port: SQSPort) -> None:
    """A connection that was opened before a fork is not used after it."""
    assert run(_asked(port, delete(held(service, 1)))) == {}
    before = port._client(waits=False)
    port._pid = -1
    assert port._client(waits=False) is not before
    before.close()


def test_a_command_that_boto3_refuses(service: Service, port: SQSPort) -> None:
    """It is an answer like any other, not the end of the worker."""
    with pytest.raises(SQSRefused, match="Parameter validation failed"):
        run(_asked(port, ("PurgeQueue", {"QueueUrl": 5})))
    assert service.asked == []


@pytest.mark.parametrize(
    ("url", "environment", "region", "endpoint"),
    [
        (
            "https://sqs.eu-west-1.amazonaws.com/1",
            {"AWS_REGION": "us-east-1"},
            "eu-west-1",
            "https://sqs.eu-west-1.amazonaws.com",
        ),
        ("https://sqs.cn-north-1.amazonaws.com.cn/1", {}, "cn-north-1", "https://sqs.cn-north-1.amazonaws.com.cn"),
        ("https://sqs.eu-west-1.amazonaws.com/1", {"AWS_ENDPOINT_URL": "http://proxy"}, "eu-west-1", ""),
        ("http://localhost:9324/0", {"AWS_REGION": "eu-north-1"}, "eu-north-1", "http://localhost:9324"),
        ("http://localhost:9324/0", {"AWS_ENDPOINT_URL_SQS": "http://x"}, "", ""),
    ],
)
def test_where_it_is(
    monkeypatch: pytest.MonkeyPatch, url: str, environment: dict[str, str], region: str, endpoint: str
) -> None:
    """The URL says where and in which region SQS is, unless AWS' own variables name another place."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    assert port_to(url).target == SQSTarget(url, region, endpoint)
