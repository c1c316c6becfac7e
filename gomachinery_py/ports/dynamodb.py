"""DynamoDB through boto3's low-level client: operations with their parameters in, replies out.

Region, endpoint and credentials come from where boto3 finds them, as Go's SDKs do: ``AWS_REGION``,
``AWS_ENDPOINT_URL_DYNAMODB``, ``~/.aws``, a role. Machinery's URL only says that it is DynamoDB; here it also stands in
for a region, or an endpoint that is not Amazon's, which AWS' own settings do not name.

boto3's retries are off: what waits how long is decided here. Every operation may be sent twice: each of them writes
the same again, or is conditional on a mark.
"""

from __future__ import annotations

import os
import random
import re
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import boto3
from botocore.config import Config as ClientConfig
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    CredentialRetrievalError,
    HTTPClientError,
    NoCredentialsError,
    NoRegionError,
    ParamValidationError,
    PartialCredentialsError,
    ProfileNotFound,
)

from gomachinery_py.config import Config
from gomachinery_py.dynamodb_items import CONDITION_FAILED, DynamoDBCommand, DynamoDBRefused
from gomachinery_py.effects import Port, Request
from gomachinery_py.errors import ConfigError, MachineryError, ServiceError, ServiceUnavailable
from gomachinery_py.ports.fork_lock import ForkLock
from gomachinery_py.urls import DynamoDBURL

__all__ = ["DynamoDBPort", "DynamoDBTarget", "open_port"]

_CONNECT_SECONDS: Final = 0.9
_READ_SECONDS: Final = 10.0
_CONNECTIONS: Final = 32
# Requests of several tasks that are under way at the same time.
_AT_ONCE: Final = 16
# What a busy DynamoDB refuses is sent again after up to 0.05, 0.1 … 1.6 s.
_FIRST_PAUSE: Final = 0.05
_ATTEMPTS: Final = 7
_BUSY: Final = {
    "InternalServerError",
    "LimitExceededException",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "ServiceUnavailable",
    "ThrottlingException",
    "TransactionInProgressException",
}
_LOGIN: Final = {
    "ExpiredTokenException",
    "IncompleteSignatureException",
    "InvalidSignatureException",
    "MissingAuthenticationTokenException",
    "UnrecognizedClientException",
}
_OPERATIONS: Final = {
    "BatchGetItem": "batch_get_item",
    "DeleteItem": "delete_item",
    "GetItem": "get_item",
    "PutItem": "put_item",
    "Scan": "scan",
    "UpdateItem": "update_item",
}
# How DynamoDB says that a table has another key (to PutItem, GetItem, UpdateItem), and how DynamoDB Local does.
_OTHER_KEY: Final = re.compile(r"schema|Missing the key|Type mismatch for key|required keys")
_AMAZON: Final = re.compile(r"dynamodb(?:-fips)?\.([a-z0-9-]+)\.(?:amazonaws\.com(?:\.cn)?|api\.aws)")


@dataclass(frozen=True, slots=True)
class DynamoDBTarget:
    """Where DynamoDB is, as far as AWS' own settings do not say it; ``""`` for nothing to say."""

    #: Safe to print.
    label: str
    region: str = ""
    endpoint: str = ""

    @classmethod
    def of(cls, url: DynamoDBURL) -> DynamoDBTarget:
        """What a URL says: ``https://dynamodb``, ``https://dynamodb.<region>.amazonaws.com``, or a server's own."""
        parts = urlsplit(url.endpoint.reveal())
        host = parts.hostname or ""
        if amazon := _AMAZON.fullmatch(host):
            return cls(str(url.url), region=amazon[1])
        if host == "dynamodb" and ":" not in parts.netloc:
            return cls(str(url.url))
        return cls(str(url.url), endpoint=url.endpoint.reveal())


class DynamoDBPort(Port):
    """One region's DynamoDB. The client is made when it is first needed, shared by threads, and belongs to one pid."""

    def __init__(self, target: DynamoDBTarget) -> None:
        self.target = target
        self._pid = os.getpid()
        self._lock = ForkLock()
        self._client: Any = None
        self._threads: ThreadPoolExecutor | None = None

    def send(self, requests: Sequence[Request]) -> list[list[Any] | Exception]:
        try:
            client, threads = self._opened(several=len(requests) > 1)
        except MachineryError as error:
            return [error for _ in requests]
        if len(requests) > 1 and threads is not None:
            try:
                return list(threads.map(lambda request: self._answer(client, request), requests))
            except RuntimeError:
                # Closed meanwhile. What was begun may be done twice, as everything here.
                pass
        return [self._answer(client, request) for request in requests]

    def _answer(self, client: Any, request: Request) -> list[Any] | Exception:
        replies: list[Any] = []
        for command in request.commands:
            if self.observer is not None:
                self.observer(command)
            try:
                replies.append(self._run(client, command))
            except ServiceError as error:
                replies.append(error)
            except Exception as error:
                return error
        return replies

    def _run(self, client: Any, command: DynamoDBCommand) -> Any:
        operation, parameters = command
        pause = _FIRST_PAUSE
        attempts = _ATTEMPTS
        while True:
            attempts -= 1
            try:
                return getattr(client, _OPERATIONS[operation])(**parameters)
            except ClientError as error:
                code = str(error.response.get("Error", {}).get("Code", ""))
                status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
                if not (code in _BUSY or status >= 500) or attempts <= 0:
                    raise self._refused(error, code, parameters) from None
            except (ConnectionError, HTTPClientError) as error:
                # Once more, in case that only the connection had ended; a server that is not there is reported soon.
                if attempts < _ATTEMPTS - 1:
                    raise self._unreachable(client, error) from None
            except ParamValidationError as error:
                raise ServiceError(f"DynamoDB: {' '.join(str(error).split())}") from None
            except BotoCoreError as error:
                raise self._not_set_up(error) from None
            time.sleep(pause * random.uniform(0.5, 1))
            pause *= 2

    # -- the client --

    def _opened(self, *, several: bool) -> tuple[Any, ThreadPoolExecutor | None]:
        with self._lock:
            if self._pid != os.getpid():
                # The parent's sockets and threads are left alone.
                self._pid, self._client, self._threads = os.getpid(), None, None
            if self._client is None:
                self._client = self._made()
            if several and self._threads is None:
                self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="dynamodb")
            return self._client, self._threads

    def _made(self) -> Any:
        try:
            session = boto3.Session()
            # boto3 knows only the older of the two names; Go's SDKs read this one.
            region = os.environ.get("AWS_REGION") or session.region_name or self.target.region
            settings = ClientConfig(
                connect_timeout=_CONNECT_SECONDS,
                read_timeout=_READ_SECONDS,
                max_pool_connections=_CONNECTIONS,
                retries={"total_max_attempts": 1},
            )
            named = any(name in os.environ for name in ("AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL"))
            endpoint = None if named else self.target.endpoint or None
            return session.client("dynamodb", region_name=region or None, endpoint_url=endpoint, config=settings)
        except (BotoCoreError, ValueError) as error:
            raise self._not_set_up(error) from None

    def close(self) -> None:
        if self._pid != os.getpid():
            return
        with self._lock:
            client, self._client = self._client, None
            threads, self._threads = self._threads, None
        if threads is not None:
            threads.shutdown()
        if client is not None:
            client.close()

    # -- errors for people --

    def _refused(self, error: ClientError, code: str, parameters: dict[str, Any]) -> MachineryError:
        response: Any = error.response
        text = " ".join(str(response.get("Error", {}).get("Message") or code).split()).rstrip(".")
        if code == CONDITION_FAILED:
            return DynamoDBRefused(f"DynamoDB: {text}", code, response.get("Item"))
        if code in _LOGIN:
            # Whoever renews the credentials need not start anything anew. Others may still wait for the client.
            with self._lock:
                self._client = None
            return ServiceUnavailable(f"DynamoDB ({self.target.label}) refused the login: {text}. Check {_CREDENTIALS}")
        if code == "ResourceNotFoundException":
            table, key = _table(parameters)
            return ServiceUnavailable(
                f"DynamoDB ({self.target.label}) has no table {table}: create it with the string {key} as its hash "
                "key, or name another one in the dynamodb settings; also check the region"
            )
        if code == "AccessDeniedException":
            return ServiceUnavailable(f"DynamoDB ({self.target.label}) denies access: {text}")
        if code in _BUSY or response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) >= 500:
            return ServiceUnavailable(f"DynamoDB ({self.target.label}) is too busy: {text}")
        table, key = _table(parameters)
        if code == "ValidationException" and _OTHER_KEY.search(text):
            return ConfigError(f"the DynamoDB table {table} has another key than the string {key}: {text}")
        return DynamoDBRefused(f"DynamoDB, table {table}: {text}", code)

    def _unreachable(self, client: Any, error: Exception) -> ServiceUnavailable:
        where = client.meta.endpoint_url
        text = "no answer in time" if "imeout" in type(error).__name__ else _reason(error)
        return ServiceUnavailable(
            f"cannot reach DynamoDB at {where}: {text}. Is it running, are region and AWS_ENDPOINT_URL_DYNAMODB right?"
        )

    def _not_set_up(self, error: Exception) -> MachineryError:
        text = " ".join(str(error).split()).rstrip(".")
        if isinstance(error, NoRegionError):
            return ConfigError(f"no AWS region for {self.target.label}: set AWS_REGION")
        if isinstance(error, NoCredentialsError | PartialCredentialsError | CredentialRetrievalError):
            return ServiceUnavailable(f"no AWS credentials for {self.target.label}: {text}. Set {_CREDENTIALS}")
        if isinstance(error, ProfileNotFound | ValueError):
            return ConfigError(f"AWS settings for {self.target.label}: {text}")
        return ServiceUnavailable(f"DynamoDB ({self.target.label}): {text}")


_CREDENTIALS: Final = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the profile or role"


def _table(parameters: dict[str, Any]) -> tuple[str, str]:
    """The table that a command names, and what its key must be."""
    if "RequestItems" in parameters:
        return next(iter(parameters["RequestItems"])), "TaskUUID"
    key = parameters.get("Key") or parameters.get("Item") or {}
    return str(parameters["TableName"]), "GroupUUID" if "GroupUUID" in key else "TaskUUID"


def _reason(error: Exception) -> str:
    """The innermost cause, such as "Connection refused"."""
    text = " ".join(str(getattr(error, "kwargs", {}).get("error") or error).split()).rstrip(".")
    found = re.search(r"\[Errno -?\d+\] ([^')\"]+)|(SSL[^')\"]+)", text)
    return (found[1] or found[2]).strip() if found else text


def open_port(url: DynamoDBURL, _config: Config) -> DynamoDBPort:
    """A port to the DynamoDB of a URL; nothing is connected yet."""
    return DynamoDBPort(DynamoDBTarget.of(url))
