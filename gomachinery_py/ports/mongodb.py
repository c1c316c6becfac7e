"""MongoDB through pymongo: commands in, replies out.

The client is made for each process; it recovers lost connections by itself. What Go's library makes when it connects,
the indexes, is made before the first command.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from itertools import groupby
from typing import Any, Final

import bson
from bson.errors import BSONError
from pymongo import MongoClient, ReplaceOne, UpdateOne, errors
from pymongo.uri_parser import parse_uri

from gomachinery_py.config import Config
from gomachinery_py.effects import Command, Port, Request
from gomachinery_py.errors import ConfigError, ServiceError, ServiceUnavailable
from gomachinery_py.incoming import brief
from gomachinery_py.mongodb_documents import Int64
from gomachinery_py.ports.fork_lock import ForkLock
from gomachinery_py.urls import MongoDBURL

__all__ = ["MongoDBPort", "open_port"]

log = logging.getLogger(__name__)

_REACH_MS: Final = 1000
_ANSWER_MS: Final = 10_000
_LOGIN_CODES: Final = frozenset({13, 18})
_AWAY = (errors.AutoReconnect, errors.ServerSelectionTimeoutError, errors.ConnectionFailure, errors.NetworkTimeout)
# By Go's major version: collection, field, seconds; None is results_expire_in.
_INDEXES: Final[dict[str, tuple[tuple[str, int | None], ...]]] = {
    "v1": (("state", None), ("lock", None)),
    "v2": (("delete_at", 0),),
}


_PAGE = 500
_SRV: Final = "mongodb+srv://"


class MongoDBPort(Port):
    """One database; shared by threads."""

    def __init__(self, url: MongoDBURL, results_expire_in: int) -> None:
        self._url = url
        self._expire = results_expire_in
        self._lock = ForkLock()
        self._client: Any = None
        self._pid = 0
        try:
            self._given = {name.lower() for name in parse_uri(_without_srv(url.driver_url.reveal()))["options"]}
        except (errors.PyMongoError, ValueError) as error:
            raise ConfigError(f"{url.url} is not a URL that MongoDB's client reads: {self._safe(error)}") from None

    def _database(self) -> Any:
        with self._lock:
            if self._client is None or self._pid != os.getpid():
                self._client, self._pid = self._connected(), os.getpid()
            return self._client[self._url.database_name]

    def _connected(self) -> Any:
        defaults = {
            "serverSelectionTimeoutMS": _REACH_MS,
            "connectTimeoutMS": _REACH_MS,
            "socketTimeoutMS": _ANSWER_MS,
        }
        options: dict[str, Any] = {name: value for name, value in defaults.items() if name.lower() not in self._given}
        options["tz_aware"] = True
        client: Any = MongoClient(self._url.driver_url.reveal(), **options)
        tasks = client[self._url.database_name]["tasks"]
        for field, seconds in _INDEXES[self._url.dialect]:
            try:
                tasks.create_index([(field, 1)], expireAfterSeconds=self._expire if seconds is None else seconds)
            except errors.OperationFailure as error:
                if error.code in _LOGIN_CODES:
                    client.close()
                    raise
                log.warning("MongoDB: the index on %s is another one than Go's: %s", field, self._safe(error))
            except BaseException:
                client.close()
                raise
        return client

    def send(self, requests: Sequence[Request]) -> list[list[Any] | Exception]:
        commands = [command for request in requests for command in request.commands]
        if self.observer is not None:
            for command in commands:
                self.observer(command)
        replies: list[Any] = []
        for (verb, collection), run in groupby(commands, key=lambda command: (command[0], command[1])):
            replies += self._carried_out(verb, collection, list(run))
        answers: list[list[Any] | Exception] = []
        at = 0
        for request in requests:
            mine = replies[at : at + len(request.commands)]
            at += len(request.commands)
            away = next((reply for reply in mine if isinstance(reply, ServiceUnavailable)), None)
            answers.append(mine if away is None else away)
        return answers

    def _carried_out(self, verb: str, collection: str, commands: Sequence[Command]) -> list[Any]:
        """Neighbours of one kind on one collection; writes of theirs go together, in their order."""
        try:
            there = self._database()[collection]
            if verb in ("update_one", "replace_one") and len(commands) > 1:
                there.bulk_write([_write(command) for command in commands], ordered=True)
                return [None] * len(commands)
        except errors.BulkWriteError:
            # One of them is refused: which one, and why, is told when each goes by itself.
            pass
        except Exception as error:
            if isinstance(error, _AWAY) or len(commands) == 1:
                return [self._explained(error)] * len(commands)
        return [self._one(collection, command) for command in commands]

    def _one(self, collection: str, command: Command) -> Any:
        try:
            return _exchanged(self._database()[collection], command)
        except Exception as error:
            return self._explained(error)

    def _explained(self, error: Exception) -> Exception:
        label = self._url.url
        if isinstance(error, errors.OperationFailure) and error.code in _LOGIN_CODES:
            return ServiceUnavailable(
                f"MongoDB at {label} refused the login: check user, password and authSource in its URL, and that "
                f"the user may read and write the database {self._url.database_name!r}"
            )
        if isinstance(error, errors.ConfigurationError) and self._url.url.reveal().startswith(_SRV):
            # The URL itself was read before.
            why = brief(self._safe(error), 200).rstrip(".")
            return ServiceUnavailable(f"cannot find MongoDB at {label}: {why}. Does DNS answer, and is the URL right?")
        if isinstance(error, _AWAY):
            why = brief(self._safe(error).partition(", Timeout:")[0], 200)
            return ServiceUnavailable(f"cannot reach MongoDB at {label}: {why}. Is it running, and is the URL right?")
        if isinstance(error, errors.PyMongoError | BSONError | OverflowError | ValueError | TypeError):
            return ServiceError(f"MongoDB: {brief(self._safe(error), 300)}")
        return error

    def _safe(self, error: Exception) -> str:
        """An error's text without what is secret in the URL."""
        text = str(error)
        for secret in self._url.secrets:
            text = text.replace(secret, "***")
        return text

    def close(self) -> None:
        with self._lock:
            client, self._client = self._client, None
        if client is not None and self._pid == os.getpid():
            client.close()


def _without_srv(url: str) -> str:
    """A URL as it can be read without asking DNS for its servers, which may be away now and answer later."""
    if not url.startswith(_SRV):
        return url
    before, mark, query = url.removeprefix(_SRV).partition("?")
    left = [each for each in query.split("&") if not each.lower().startswith("srv")]
    return f"mongodb://{before}{mark}{'&'.join(left)}"


def _write(command: Command) -> Any:
    verb, _, wanted, document = command
    if verb == "replace_one":
        return ReplaceOne(wanted, _native(document), upsert=True)
    return UpdateOne(wanted, _native(document), upsert=True)


def _exchanged(collection: Any, command: Command) -> Any:
    verb, _, wanted, *more = command
    if verb == "update_one":
        collection.update_one(wanted, _native(more[0]), upsert=True)
        return None
    if verb == "replace_one":
        collection.replace_one(wanted, _native(more[0]), upsert=True)
        return None
    if verb == "update_if":
        return collection.update_one(wanted, _native(more[0])).matched_count == 1
    if verb == "find_one":
        return collection.find_one(wanted)
    if verb == "find_ids":
        found = collection.find(wanted, {"_id": True}).sort("_id", 1).limit(_PAGE)
        return [each["_id"] for each in found if isinstance(each["_id"], str)]
    if verb == "find":
        return list(collection.find(wanted))
    collection.delete_one(wanted)
    return None


def _native(value: Any) -> Any:
    """A document with pymongo's own 64-bit integers."""
    if isinstance(value, Int64):
        return bson.Int64(value.value)
    if isinstance(value, dict):
        return {key: _native(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_native(each) for each in value]
    return value


def open_port(url: MongoDBURL, config: Config) -> MongoDBPort:
    """A port to the database of a URL; nothing is connected yet."""
    return MongoDBPort(url, config.results_expire_in)
