"""The DynamoDB port with a server that answers what it is told to: busy, refusing, gone in the middle of an answer."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from gomachinery_py import Config
from gomachinery_py.effects import Request, run
from gomachinery_py.errors import ServiceError, ServiceUnavailable
from gomachinery_py.ports.dynamodb import DynamoDBPort, DynamoDBTarget, open_port
from gomachinery_py.urls import DynamoDBURL, parse_backend

GET = ("GetItem", {"TableName": "task_states", "Key": {"TaskUUID": {"S": "t"}}})


class Answers(ThreadingHTTPServer):
    """A server that gives one answer after the other, the last one for ever: a status and a document, or None: none."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: list[tuple[int, dict[str, Any]] | None] = [(200, {})]
        self.asked = 0
        self.logins: list[str] = []


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Answers

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.logins.append(self.headers["Authorization"].partition("Credential=")[2].partition("/")[0])
        answers = self.server.answers
        answer = answers[min(self.server.asked, len(answers) - 1)]
        self.server.asked += 1
        if answer is None:
            self.close_connection = True
            return
        status, document = answer
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.0")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: Any) -> None:
        """Nothing is logged."""


@pytest.fixture(scope="module")
def one_server() -> Iterator[Answers]:
    with Answers() as server, pytest.MonkeyPatch.context() as monkeypatch:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        for name, value in (
            ("AWS_ENDPOINT_URL_DYNAMODB", f"http://127.0.0.1:{server.server_port}"),
            ("AWS_REGION", "eu-west-1"),
            ("AWS_ACCESS_KEY_ID", "id"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
        ):
            monkeypatch.setenv(name, value)
        monkeypatch.setattr("gomachinery_py.ports.dynamodb._FIRST_PAUSE", 0.001)
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def port(one_server: Answers) -> Iterator[DynamoDBPort]:  # noqa: ARG001
    """One for all tests: boto3 takes its time to begin."""
    url = parse_backend("https://dynamodb")
    assert isinstance(url, DynamoDBURL)
    port = open_port(url, Config())
    yield port
    port.close()


@pytest.fixture
def server(one_server: Answers) -> Answers:
    one_server.answers, one_server.asked, one_server.logins = [(200, {})], 0, []
    return one_server


async def ask(port: DynamoDBPort) -> Any:
    return await port.execute(GET)


def refusal(code: str, text: str = "why", **more: Any) -> tuple[int, dict[str, Any]]:
    return 400, {"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": text, **more}


def test_what_is_busy_is_asked_again(port: DynamoDBPort, server: Answers) -> None:
    """Throttling and server errors are waited for, seven times in all; then it is an error that a worker waits out."""
    found = (200, {"Item": {"TaskUUID": {"S": "t"}}})
    server.answers = [
        refusal("ThrottlingException"),
        (500, {}),
        refusal("ProvisionedThroughputExceededException"),
        found,
    ]

    assert run(ask(port))["Item"] == {"TaskUUID": {"S": "t"}}
    assert server.asked == 4

    server.answers, server.asked = [refusal("ThrottlingException")], 0
    with pytest.raises(ServiceUnavailable, match=r"^DynamoDB \(https://dynamodb\) is too busy: why$"):
        run(ask(port))
    assert server.asked == 7


def test_a_connection_that_ends(port: DynamoDBPort, server: Answers) -> None:
    """Without an answer it is asked once more, not for ever."""
    server.answers = [None, (200, {})]
    assert "Item" not in run(ask(port))

    server.answers, server.asked = [None], 0
    with pytest.raises(ServiceUnavailable, match=r"^cannot reach DynamoDB at http://127"):
        run(ask(port))
    assert server.asked == 2


@pytest.mark.parametrize(
    ("answer", "kind", "text"),
    [
        (
            refusal("AccessDeniedException", "no\nright."),
            ServiceUnavailable,
            "(https://dynamodb) denies access: no right",
        ),
        (refusal("ExpiredTokenException"), ServiceUnavailable, "(https://dynamodb) refused the login: why. Check AWS_"),
        (refusal("ValidationException", "too long"), ServiceError, ", table task_states: too long"),
        (refusal("ResourceNotFoundException"), ServiceUnavailable, "(https://dynamodb) has no table task_states: cre"),
    ],
    ids=lambda value: value[1]["__type"] if isinstance(value, tuple) else "",
)
def test_refusals(port: DynamoDBPort, server: Answers, answer: Any, kind: type[Exception], text: str) -> None:
    """Each is one line that says what to do, and is not tried again."""
    server.answers = [answer]

    with pytest.raises(kind) as caught:
        run(ask(port))
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)
    assert server.asked == 1


def test_credentials_that_were_renewed(port: DynamoDBPort, server: Answers, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a refused login they are looked up again, so a worker goes on when somebody has renewed them."""
    server.answers = [(200, {}), refusal("ExpiredTokenException"), (200, {})]
    run(ask(port))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "new")
    with pytest.raises(ServiceUnavailable, match="refused the login"):
        run(ask(port))

    run(ask(port))
    assert server.logins == ["id", "id", "new"]
    port.close()


def test_what_boto3_refuses(port: DynamoDBPort, server: Answers) -> None:
    """A parameter of a wrong type is an error of its command alone; other commands and requests are answered."""
    wrong = ("GetItem", {"TableName": "task_states", "Key": {"TaskUUID": {"S": 1}}})

    [first, second] = port.send([Request(port, [wrong, GET]), Request(port, [GET])])

    assert isinstance(first, list)
    assert "Invalid type for parameter Key.TaskUUID.S" in str(first[0])
    assert isinstance(first[0], ServiceError)
    assert first[1]["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert isinstance(second, list)
    assert second[0]["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert server.asked == 2


@pytest.mark.parametrize(
    ("url", "region", "endpoint"),
    [
        ("https://dynamodb", "", ""),
        ("https://dynamodb.eu-west-1.amazonaws.com/", "eu-west-1", ""),
        ("https://dynamodb-fips.us-gov-west-1.amazonaws.com", "us-gov-west-1", ""),
        ("https://dynamodb.cn-north-1.amazonaws.com.cn", "cn-north-1", ""),
        ("https://dynamodb:8000", "", "https://dynamodb:8000"),
        ("https://dynamodb.internal/", "", "https://dynamodb.internal"),
    ],
)
def test_what_a_url_says(url: str, region: str, endpoint: str) -> None:
    """A region, an endpoint that is not Amazon's, or nothing."""
    parsed = parse_backend(url)
    assert isinstance(parsed, DynamoDBURL)

    target = DynamoDBTarget.of(parsed)

    assert (target.region, target.endpoint) == (region, endpoint)
