"""Signed tasks: a worker runs only what somebody with the key has sent. Go has nothing like it, and ignores it.

The signature is an HMAC-SHA256 in the header ``gmpy-signature``, as text ``v1.<key>.<arguments>.<digest>``. It covers
what Go leaves as it is when it sends a task on, as a retry or as a callback: Name, UUID, RoutingKey, the group,
Immutable, the arguments that the task was sent with, and the signatures of its callbacks. What Go changes it does not
cover: ETA, the retries, headers, and the arguments that a parent's results or its error's text have added.

Everything below a task is signed with it, so that Go workers may pass it on. A task that a Go *producer* sends is never
signed: ``if-present`` lets it pass, ``required`` does not.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence
from typing import Any, Final, Literal

from gomachinery_py.errors import ConfigError
from gomachinery_py.golang.json import value_text
from gomachinery_py.producer import new_task_uuid
from gomachinery_py.secret import Secret
from gomachinery_py.wire.model import Arg, Signature

__all__ = ["HEADER", "Signing", "Verify"]

HEADER: Final = "gmpy-signature"
Verify = Literal["off", "if-present", "required"]
_VERSION: Final = "v1"
_LEAST_KEY_BYTES: Final = 16
_LONE_SURROGATE: Final = re.compile("[\ud800-\udfff]")


class Signing:
    """Keys, and what a worker does with them.

    Args:
        key: text that both sides know and nobody else; 16 bytes at least. Sends are signed with it.
        verify: ``off`` runs everything; ``if-present`` refuses a wrong signature; ``required`` a missing one too.
        old_keys: further keys that are accepted, while a new one is introduced.

    What is refused becomes a dead letter that says why. Raises ConfigError.
    """

    def __init__(self, key: str, *, verify: Verify = "required", old_keys: Sequence[str] = ()) -> None:
        if verify not in ("off", "if-present", "required"):
            raise ConfigError(f"verify is {verify!r}; use off, if-present or required")
        for each in (key, *old_keys):
            if len(each.encode()) < _LEAST_KEY_BYTES:
                raise ConfigError(f"a signing key needs {_LEAST_KEY_BYTES} bytes at least; make one with openssl rand")
        self.verify: Verify = verify
        self._keys = {_name(each): Secret(each) for each in (*old_keys, key)}
        self._current = _name(key)

    def __repr__(self) -> str:
        return f"Signing(key {self._current}, verify={self.verify!r})"

    def sign(self, signature: Signature) -> None:
        """Sign a task and everything below it, in place; callbacks without a UUID get one."""
        family = [signature]
        for member in family:
            family += _below(member)
        for member in reversed(family):
            if member.uuid == "":
                member.uuid = new_task_uuid()
            count = len(member.args or ())
            digest = self._digest(member, member.args or (), member.routing_key, self._current)
            member.headers = {**(member.headers or {}), HEADER: f"{_VERSION}.{self._current}.{count}.{digest}"}

    def reason(self, signature: Signature) -> str | None:
        """Why a worker must not run this task, or None when it may."""
        if self.verify == "off":
            return None
        stated = (signature.headers or {}).get(HEADER)
        if stated is None:
            return None if self.verify == "if-present" else f"it is not signed (header {HEADER})"
        version, key, count, digest = (*str(stated).split("."), "", "", "", "")[:4]
        if version != _VERSION or not count.isascii() or not count.isdigit() or len(count) > 6:
            return "its signature is not one of this version"
        if key not in self._keys:
            return f"its signature was made with a key that is not known here ({key[:8]!r})"
        args = signature.args or []
        number = int(count)
        # Results come after the arguments, an error's text before them.
        candidates = [args[:number]]
        if len(args) == number + 1 and args[0].type == "string":
            candidates.append(args[1:])
        # Whoever publishes a task without a routing key fills in the default queue.
        for routing_key in {signature.routing_key, ""}:
            for sent in candidates:
                if len(sent) == number and hmac.compare_digest(digest, self._digest(signature, sent, routing_key, key)):
                    return None
        return "its signature does not fit: it was changed, or signed with another key"

    def _digest(self, signature: Signature, args: Sequence[Arg], routing_key: str, key: str) -> str:
        covered: list[Any] = [
            _VERSION,
            signature.name,
            signature.uuid,
            routing_key,
            signature.group_uuid,
            signature.group_task_count,
            signature.immutable,
            [[arg.name, arg.type, arg.value] for arg in args],
            [
                [_stated(each) for each in signature.on_success or ()],
                [_stated(each) for each in signature.on_error or ()],
            ],
            _stated(signature.chord_callback),
        ]
        # What no reader can read arrives as U+FFFD.
        text = _LONE_SURROGATE.sub("\ufffd", value_text(covered))
        return hmac.new(self._keys[key].reveal().encode(), text.encode(), hashlib.sha256).hexdigest()


def _name(key: str) -> str:
    """Which key it was, without telling it."""
    return hashlib.sha256(b"gmpy key name " + key.encode()).hexdigest()[:8]


def _below(signature: Signature) -> list[Signature]:
    callback = [signature.chord_callback] if signature.chord_callback is not None else []
    return [*(signature.on_success or ()), *(signature.on_error or ()), *callback]


def _stated(signature: Signature | None) -> str:
    return "" if signature is None else str((signature.headers or {}).get(HEADER, ""))
