"""Messages that a Celery producer has left in a queue, read as the signatures that they are.

Protocol 2, JSON: ``celery/app/amqp.py`` (``as_task_v2``), ``kombu/transport/virtual/base.py``. Nothing is ever
unpickled. What is read goes through ``weaving.py`` like anything else, so what Machinery cannot say is refused there.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from gomachinery_py.compat.celery.canvas import Canvas, Signature, chain, chord, group
from gomachinery_py.compat.celery.exceptions import CeleryDifference
from gomachinery_py.compat.celery.options import moment
from gomachinery_py.compat.celery.values import loaded

__all__ = ["Waiting", "label", "read"]

_JSON: Final = "application/json"
_PICKLES: Final = frozenset({"application/x-python-serialize", "application/x-python"})
# What a worker needs for itself, or for whoever watches; the task means the same without it.
_BOOKKEEPING: Final = frozenset(
    {
        *("lang", "task", "id", "eta", "expires", "retries", "timelimit", "root_id", "parent_id", "argsrepr"),
        *("kwargsrepr", "origin", "group", "group_index", "ignore_result", "replaced_task_nesting", "shadow"),
        *("stamped_headers", "stamps", "compression", "stack"),
    }
)
_UNIMPORTANT: Final = frozenset({"reply_to", "group_index", "root_id", "parent_id", "group_id", "origin"})


class Waiting:
    """One message: what it is, ``retries`` how often it was tried, ``canvas`` what remains to be done."""

    def __init__(self, canvas: Canvas, name: str, id: str, retries: int) -> None:
        self.canvas = canvas
        self.name = name
        self.id = id
        self.retries = retries


def label(body: bytes, properties: Mapping[str, Any] | None = None) -> tuple[str, str]:
    """The name and the id of a message that cannot be read, as far as they are to be found."""
    try:
        headers = properties.get("headers") if properties else _opened(body)[0]
    except ValueError:
        return "", ""
    found = headers if isinstance(headers, Mapping) else {}
    return tuple(text if isinstance(text := found.get(key), str) else "" for key in ("task", "id"))  # type: ignore[return-value]


def read(body: bytes, properties: Mapping[str, Any] | None = None) -> Waiting:
    """A message as it lies in a queue; without ``properties`` it is kombu's envelope on Redis.

    Raises CeleryDifference or ValueError that says why it cannot be translated.
    """
    if properties:
        headers, content, encoding = (properties.get(key) for key in ("headers", "content_type", "content_encoding"))
        payload = body
    else:
        headers, content, encoding, payload = _opened(body)
    if content in _PICKLES:
        raise CeleryDifference("it is pickled, and nothing is ever unpickled here; let a Celery worker finish it")
    if content != _JSON:
        raise CeleryDifference(f"it is {content}, and only {_JSON} is read; let a Celery worker finish it")
    if encoding not in (None, "utf-8", "utf8"):
        raise CeleryDifference(f"its text is encoded as {encoding}, and only utf-8 is read")
    if not isinstance(headers, Mapping) or "task" not in headers or "id" not in headers:
        raise CeleryDifference("it is no task of Celery's protocol 2; let a Celery worker finish it")
    document = _json(payload, "its body")
    if not isinstance(document, list) or len(document) != 3:
        raise ValueError("its body is not a list of arguments, keywords and callbacks")
    return _task(dict(headers), *document)


def _opened(body: bytes) -> tuple[Any, Any, Any, bytes]:
    """kombu's envelope: the body in base64, and beside it what AMQP has for it."""
    try:
        envelope = json.loads(body)
    except (ValueError, RecursionError):
        envelope = None
    if not isinstance(envelope, dict) or not isinstance(envelope.get("body"), str):
        raise ValueError("it is no message of Celery's")
    properties = envelope.get("properties")
    how = properties.get("body_encoding") if isinstance(properties, dict) else None
    if how == "base64":
        try:
            payload = base64.b64decode(envelope["body"], validate=True)
        except ValueError:
            raise ValueError("its body is not the base64 that it says it is") from None
    elif how is None:
        payload = envelope["body"].encode("utf-8", "surrogatepass")
    else:
        raise ValueError(f"its body is encoded as {how!r}, which only kombu knows")
    return envelope.get("headers"), envelope.get("content-type"), envelope.get("content-encoding"), payload


def _json(payload: bytes, what: str) -> Any:
    try:
        return loaded(payload)
    except ValueError as error:
        raise ValueError(f"{what} cannot be read: {error}") from None


def _task(headers: dict[str, Any], args: Any, kwargs: Any, embed: Any) -> Waiting:
    name, uuid = headers["task"], headers["id"]
    if not (isinstance(name, str) and isinstance(uuid, str) and isinstance(args, list) and isinstance(kwargs, dict)):
        raise ValueError("its name, id, arguments or keywords are of the wrong kind")
    if any(headers.get("timelimit") or ()):
        raise CeleryDifference("it has a time limit, which nobody keeps here; let a Celery worker finish it")
    if headers.get("stamped_headers"):
        raise CeleryDifference("it is stamped, which Machinery has nothing for; let a Celery worker finish it")
    if headers.get("compression"):
        raise CeleryDifference("it is compressed; let a Celery worker finish it")
    embed = embed if isinstance(embed, dict) else {}
    if embed.get("chord"):
        raise CeleryDifference(
            "it is a member of a chord, and what the others returned is in Celery's result store; let a Celery worker "
            "finish it"
        )
    signature = Signature(name, *_mapped(name, args, kwargs))
    signature.options["task_id"] = uuid
    for option in ("eta", "expires"):
        if headers.get(option) is not None:
            signature.options[option] = _time(option, headers[option])
    own = {key: value for key, value in headers.items() if key not in _BOOKKEEPING}
    if own:
        signature.options["headers"] = own
    for option, key in (("link", "callbacks"), ("link_error", "errbacks")):
        if embed.get(key):
            signature.options[option] = [_canvas(each) for each in _several(embed[key], key)]
    # The next one is the last.
    rest = [_canvas(each) for each in reversed(_several(embed.get("chain") or [], "chain"))]
    retries = headers.get("retries") or 0
    if not isinstance(retries, int):
        raise ValueError("its number of retries is none")
    return Waiting(chain(signature, *rest) if rest else signature, name, uuid, retries)


def _time(option: str, value: Any) -> datetime:
    if not isinstance(value, str):
        raise ValueError(f"its {option} is no time")
    try:
        return moment(value, 0)
    except ValueError:
        raise ValueError(f"its {option} {value!r} is no time") from None


def _several(value: Any, what: str) -> Sequence[Any]:
    if not isinstance(value, list):
        raise ValueError(f"its {what} is no list")
    return value


def _mapped(name: str, args: list[Any], kwargs: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """The arguments of ``task.map`` and the like as this layer's own tasks take them: a name, and the items."""
    inner = kwargs.get("task")
    if name not in ("celery.map", "celery.starmap") or not isinstance(inner, dict):
        return args, kwargs
    return [inner.get("task"), kwargs.get("it")], {}


def _canvas(document: Any) -> Canvas:
    """A signature that travels inside a message; Celery: ``Signature.from_dict``."""
    if not isinstance(document, dict) or not isinstance(document.get("task"), str):
        raise ValueError("what is to follow it is no signature")
    args, kwargs, options = document.get("args") or [], document.get("kwargs") or {}, document.get("options") or {}
    if not (isinstance(args, list) and isinstance(kwargs, dict) and isinstance(options, dict)):
        raise ValueError("the arguments or options of what is to follow it are of the wrong kind")
    kind = document.get("subtask_type")
    if kind == "chain":
        return chain(*map(_canvas, _several(kwargs.get("tasks"), "chain")))
    if kind == "group":
        return group([_canvas(each) for each in _several(kwargs.get("tasks"), "group")])
    if kind == "chord":
        return chord(_canvas(kwargs.get("header")), _canvas(kwargs.get("body")))
    if kind is not None:
        raise CeleryDifference(f"{document['task']} is to follow it as {kind}, which cannot be translated")
    links = {key: options.pop(key) for key in ("link", "link_error") if options.get(key)}
    if options.pop("chord", None):
        raise CeleryDifference("what is to follow it is a member of a chord; let a Celery worker finish it")
    kept = {key: value for key, value in options.items() if key not in _UNIMPORTANT and value is not None}
    signature = Signature(
        document["task"], *_mapped(document["task"], args, kwargs), kept, immutable=bool(document.get("immutable"))
    )
    for key, several in links.items():
        signature.options[key] = [_canvas(each) for each in _several(several, key)]
    return signature
