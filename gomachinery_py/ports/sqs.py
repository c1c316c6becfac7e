"""SQS through boto3: commands in, answers out.

boto3's own retries are off, since they can take half a minute before they say that nobody answers. What is worth
another try (throttling, an error of the service, a connection that was closed while it was idle) gets one soon.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from boto3.session import Session
from botocore.config import Config as ClientConfig
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionClosedError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
)

from gomachinery_py.config import Config
from gomachinery_py.effects import Port, Request
from gomachinery_py.errors import ServiceUnavailable
from gomachinery_py.ports.fork_lock import ForkLock
from gomachinery_py.secret import redact
from gomachinery_py.sqs_commands import (
    ACCESS_DENIED,
    BATCH,
    MAX_WAIT_SECONDS,
    NO_SUCH_QUEUE,
    SQSCommand,
    SQSRefused,
    is_for_good,
    queue_name,
)
from gomachinery_py.urls import SQSURL

__all__ = ["SQSPort", "SQSTarget", "open_port"]

_CONNECT_SECONDS = 1.5
_READ_SECONDS = 10
_CONNECTIONS = 32
_PARALLEL = 8
_PAUSES = (0.1, 0.3)
_LOCAL_REGION = "us-east-1"
# Also of FIPS, dual-stack and VPC endpoints.
_AWS_HOST = re.compile(
    r"(?:\A|\.)sqs(?:-fips)?\.(?P<region>[a-z]+(?:-[a-z]+)+-[0-9]+)\.(?:vpce\.)?(?:amazonaws\.com|api\.aws)"
)

_NO_QUEUE_CODES = {"AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"}
_LOGIN_CODES = {
    "AuthFailure",
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "IncompleteSignatureException",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidSecurity",
    "InvalidSignatureException",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
}
_DENIED_CODES = {"AccessDenied", "AccessDeniedException", "AWS.SimpleQueueService.AccessDenied"}


@dataclass(frozen=True, slots=True)
class SQSTarget:
    """Where SQS is; an empty ``region`` or ``endpoint`` is what AWS' own settings (environment, ``~/.aws``) say."""

    #: Safe to print.
    label: str
    region: str = ""
    endpoint: str = ""


class SQSPort(Port):
    """One SQS; its clients are shared by threads and belong to one process."""

    def __init__(self, target: SQSTarget) -> None:
        self.target = target
        self._lock = ForkLock()
        self._pid = os.getpid()
        self._clients: dict[bool, Any] = {}
        self._pool: ThreadPoolExecutor | None = None

    # -- clients --

    def _client(self, *, waits: bool) -> Any:
        """``waits``: for requests that the service may hold for up to 20 seconds."""
        with self._lock:
            self._after_fork()
            client = self._clients.get(waits)
            if client is None:
                session = Session()
                client = self._clients[waits] = session.client(
                    "sqs",
                    region_name=self.target.region or session.region_name or _LOCAL_REGION,
                    endpoint_url=self.target.endpoint or None,
                    config=ClientConfig(
                        connect_timeout=_CONNECT_SECONDS,
                        read_timeout=MAX_WAIT_SECONDS + _READ_SECONDS if waits else _READ_SECONDS,
                        retries={"total_max_attempts": 1},
                        max_pool_connections=_CONNECTIONS,
                        tcp_keepalive=True,
                    ),
                )
            return client

    def prepare(self) -> None:
        """Read boto3's description of SQS."""
        try:
            self._client(waits=False)
        except (BotoCoreError, ValueError):
            # Told by the first command.
            pass

    def _after_fork(self) -> None:
        if self._pid != os.getpid():
            self._clients, self._pool, self._pid = {}, None, os.getpid()

    def close(self) -> None:
        with self._lock:
            clients, self._clients = self._clients, {}
            pool, self._pool = self._pool, None
            if self._pid != os.getpid():
                return
        if pool is not None:
            pool.shutdown(wait=False)
        for client in clients.values():
            client.close()

    # -- sending --

    def send(self, requests: Sequence[Request]) -> list[list[Any] | Exception]:
        """Requests are independent of each other; the commands of one are sent one after the other."""
        answers: list[list[Any] | Exception] = [[] for _ in requests]
        jobs: list[Callable[[], None]] = []
        deletes: dict[str, list[int]] = {}
        for at, request in enumerate(requests):
            if self.observer is not None:
                for command in request.commands:
                    self.observer(command)
            if len(request.commands) == 1 and request.commands[0][0] == "DeleteMessage":
                deletes.setdefault(request.commands[0][1]["QueueUrl"], []).append(at)
            else:
                jobs.append(lambda at=at, request=request: _put(answers, at, self._one_by_one(request)))  # type: ignore[misc]
        for places in deletes.values():
            for start in range(0, len(places), BATCH):
                some = places[start : start + BATCH]
                jobs.append(lambda some=some: self._delete_batch(requests, some, answers))  # type: ignore[misc]
        if len(jobs) == 1:
            jobs[0]()
        elif jobs:
            for future in [self._threads().submit(job) for job in jobs]:
                future.result()
        return answers

    def _threads(self) -> ThreadPoolExecutor:
        with self._lock:
            self._after_fork()
            if self._pool is None:
                self._pool = ThreadPoolExecutor(_PARALLEL, thread_name_prefix="sqs")
            return self._pool

    def _one_by_one(self, request: Request) -> list[Any] | Exception:
        try:
            return [self._answer(command) for command in request.commands]
        except Exception as error:
            return error

    def _delete_batch(
        self, requests: Sequence[Request], places: Sequence[int], answers: list[list[Any] | Exception]
    ) -> None:
        """Several workers' ends of tasks as one request; each gets the answer to its own."""
        if len(places) == 1:
            answers[places[0]] = self._one_by_one(requests[places[0]])
            return
        commands = [requests[at].commands[0][1] for at in places]
        entries = [{"Id": str(at), "ReceiptHandle": fields["ReceiptHandle"]} for at, fields in enumerate(commands)]
        url = commands[0]["QueueUrl"]
        try:
            answer = self._answer(("DeleteMessageBatch", {"QueueUrl": url, "Entries": entries}))
        except Exception as error:
            for at in places:
                answers[at] = error
            return
        if isinstance(answer, SQSRefused):
            for at in places:
                answers[at] = [answer]
            return
        failed = {int(entry["Id"]): entry for entry in answer.get("Failed", ())}
        for number, at in enumerate(places):
            entry = failed.get(number)
            if entry is None:
                answers[at] = [{}]
            elif is_for_good(entry):
                answers[at] = [SQSRefused(f"SQS: {entry.get('Message') or entry['Code']}", entry["Code"])]
            else:
                answers[at] = self._busy(entry["Code"], entry.get("Message") or entry["Code"])

    def _answer(self, command: SQSCommand) -> Any:
        """What SQS says to one command; entries of a batch that it could not deal with are sent again, as one whole is.

        Raises ServiceUnavailable.
        """
        action, fields = command
        answer = self._told(action, fields)
        if isinstance(answer, SQSRefused):
            return answer
        for pause in _PAUSES:
            wrong = [entry for entry in answer.get("Failed", ()) if is_for_good(entry)]
            left = {entry["Id"] for entry in answer.get("Failed", ())} - {entry["Id"] for entry in wrong}
            if not left:
                break
            time.sleep(pause)
            try:
                again = self._told(action, {**fields, "Entries": [at for at in fields["Entries"] if at["Id"] in left]})
            except ServiceUnavailable:
                break
            if isinstance(again, SQSRefused):
                break
            answer["Failed"] = [*wrong, *again.get("Failed", ())]
        return answer

    def _told(self, action: str, fields: dict[str, Any]) -> Any:
        """What SQS says to one request. Raises ServiceUnavailable."""
        attempt = 0
        while True:
            try:
                client = self._client(waits=action == "ReceiveMessage")
                answer = getattr(client, _METHODS[action])(**fields)
            except ClientError as error:
                if attempt < len(_PAUSES) and _is_passing(error):
                    time.sleep(_PAUSES[attempt])
                    attempt += 1
                    continue
                return self._refused(error, fields)
            except ConnectionClosedError as error:
                if attempt == 0:
                    attempt += 1
                    continue
                raise self._unavailable(error) from error
            except ParamValidationError as error:
                return SQSRefused(f"SQS: {' '.join(str(error).split())}", "InvalidParameterValue")
            except (BotoCoreError, OSError, ValueError) as error:
                raise self._unavailable(error) from error
            return {name: value for name, value in answer.items() if name != "ResponseMetadata"}

    # -- errors --

    def _refused(self, error: ClientError, fields: dict[str, Any]) -> SQSRefused:
        """Raises ServiceUnavailable when nothing would be answered otherwise."""
        detail: dict[str, Any] = error.response.get("Error", {})
        code = str(detail.get("Code", ""))
        text = redact_keys(str(detail.get("Message") or code).strip().rstrip("."))
        url = str(fields.get("QueueUrl", ""))
        if code in _LOGIN_CODES:
            # Whoever renews the credentials need not start anything anew. Others may still wait for the clients.
            with self._lock:
                self._clients = {}
            raise ServiceUnavailable(
                f"SQS at {self.target.label} refused the login ({code}: {text}): check the AWS access key, secret and "
                "region"
            ) from error
        if _is_passing(error):
            raise self._busy(code, text) from error
        if code in _NO_QUEUE_CODES:
            return SQSRefused(
                f"SQS has no queue {queue_name(url)!r} at {redact(url)}: create it (Machinery never does), or check "
                "the URL, the region and the account",
                NO_SUCH_QUEUE,
            )
        if code in _DENIED_CODES:
            return SQSRefused(
                f"SQS: {error.operation_name} on {queue_name(url)!r} is not allowed: {text}", ACCESS_DENIED
            )
        return SQSRefused(f"SQS: {text} ({code})", code.rpartition(".")[2])

    def _busy(self, code: str, text: str) -> ServiceUnavailable:
        return ServiceUnavailable(f"SQS at {self.target.label} cannot answer now ({code}: {text})")

    def _unavailable(self, error: Exception) -> ServiceUnavailable:
        where = self.target.label
        if isinstance(error, NoCredentialsError | PartialCredentialsError):
            return ServiceUnavailable(
                f"no AWS credentials for SQS at {where}: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile"
            )
        text = redact_keys(" ".join(str(error).split()).rstrip(".")) or type(error).__name__
        return ServiceUnavailable(f"cannot reach SQS at {where}: {text}. Is the URL right, and AWS_ENDPOINT_URL?")


_METHODS = {
    "SendMessage": "send_message",
    "SendMessageBatch": "send_message_batch",
    "ReceiveMessage": "receive_message",
    "DeleteMessage": "delete_message",
    "DeleteMessageBatch": "delete_message_batch",
    "ChangeMessageVisibilityBatch": "change_message_visibility_batch",
    "GetQueueAttributes": "get_queue_attributes",
    "PurgeQueue": "purge_queue",
}

_URL_IN_TEXT = re.compile(r'https?://[^\s"]+')


def redact_keys(text: str) -> str:
    """A message of boto3 with every URL in it made safe to print."""
    return _URL_IN_TEXT.sub(lambda match: redact(match.group()), text)


def _put(answers: list[list[Any] | Exception], at: int, answer: list[Any] | Exception) -> None:
    answers[at] = answer


def _is_passing(error: ClientError) -> bool:
    """Whether the same request may succeed a moment later."""
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    code = str(error.response.get("Error", {}).get("Code", ""))
    return bool(status >= 500 or "Throttl" in code or code in ("RequestThrottled", "TooManyRequestsException"))


def open_port(url: SQSURL, config: Config) -> SQSPort:  # noqa: ARG001
    """A port to the SQS of a URL; nothing is connected yet.

    It is where the URL says, unless AWS_ENDPOINT_URL_SQS or AWS_ENDPOINT_URL names another place, as for Go. A URL of
    AWS names its region, and so wins over AWS_REGION.
    """
    parts = urlsplit(url.base.reveal())
    elsewhere = os.environ.get("AWS_ENDPOINT_URL_SQS") or os.environ.get("AWS_ENDPOINT_URL")
    endpoint = "" if elsewhere else f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    named = _AWS_HOST.search(parts.hostname or "")
    region = named["region"] if named else os.environ.get("AWS_REGION", "")
    return SQSPort(SQSTarget(str(url.url), region, endpoint))
