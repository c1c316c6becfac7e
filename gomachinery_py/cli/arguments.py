"""What is typed on a command line, as values."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import click

from gomachinery_py.golang.json import parse
from gomachinery_py.golang.time import Time, parse_time
from gomachinery_py.wire.model import Arg
from gomachinery_py.wire.reflect import TYPE_NAMES

__all__ = ["WaitCommand", "moment", "parse_argument", "parse_headers", "seconds"]

# No number, and nothing that anyone would type.
_FOREVER = "for as long as it takes"
_TYPED = re.compile(r"((?:\[\])?[a-z]+[0-9]*):(.*)", re.DOTALL)
_LIKE_A_TYPE = re.compile(r"(?:\[\].*|(?:u?int|float)[0-9]*|u?long|double|str|boolean|bytes?|list|json)\Z")
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]*)")
_FRACTION = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_LONGEST_SECONDS = 100 * 365 * 24 * 3600.0


def parse_argument(text: str) -> Arg:
    """``int64:5``, ``[]int64:[1,2]``, ``string:hi``; without a type: a number, ``true``, ``false``, or else text.

    Raises click.BadParameter.
    """
    match = _TYPED.fullmatch(text)
    if match is not None and match[1] in TYPE_NAMES:
        return _typed(text, match[1], match[2])
    if match is not None and _LIKE_A_TYPE.match(match[1]):
        raise click.BadParameter(
            f"{text!r}: Machinery has no type {match[1]}; it has {', '.join(sorted(TYPE_NAMES))}. "
            f"Write string:{text} when it is text"
        )
    if text in ("true", "false"):
        return Arg("bool", text == "true")
    if _INTEGER.fullmatch(text):
        return Arg("int64", _json(text, text))
    if _FRACTION.fullmatch(text):
        return Arg("float64", _json(text, text))
    if text.startswith("-"):
        raise click.BadParameter(f"there is no option {text}; write string:{text} when it is an argument of the task")
    return Arg("string", text)


def _typed(text: str, kind: str, literal: str) -> Arg:
    if kind == "string":
        return Arg(kind, literal)
    if kind in ("[]byte", "[]uint8") and not literal.lstrip().startswith(("[", "null", '"')):
        return Arg(kind, literal)
    return Arg(kind, _json(text, literal))


def _json(argument: str, literal: str) -> Any:
    try:
        return parse(literal.encode("utf-8", "surrogatepass"))
    except ValueError as error:
        raise click.BadParameter(
            f'{argument!r}: what is behind the type must be JSON, as 5, [1,2] or "text" ({error})'
        ) from error


def parse_headers(options: Sequence[str]) -> dict[str, Any] | None:
    """``KEY=VALUE`` each; None when there is none. Raises click.BadParameter."""
    headers: dict[str, Any] = {}
    for option in options:
        key, equals, value = option.partition("=")
        if not equals or not key:
            raise click.BadParameter(f"{option!r} is not KEY=VALUE", param_hint="--header")
        headers[key] = value
    return headers or None


def moment(eta: str | None, countdown: float | None) -> datetime | None:
    """When a task is due. Raises click.UsageError."""
    if eta is not None and countdown is not None:
        raise click.UsageError("give --eta or --countdown, not both")
    if eta is not None:
        try:
            return parse_time(eta)
        except ValueError as error:
            raise click.BadParameter(f"{error}", param_hint="--eta") from error
    if countdown is not None:
        return Time.from_unix_ns(Time.now().unix_ns + round(countdown * 1_000_000_000))
    return None


def seconds(_ctx: click.Context, _param: click.Parameter, value: str | None) -> float | None:
    """A callback of click: seconds, 0 or more; infinity for ``--wait`` alone. Raises click.BadParameter."""
    if value is None or value == _FOREVER:
        return None if value is None else math.inf
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not 0 <= number <= _LONGEST_SECONDS:
        raise click.BadParameter(f"{value!r} is not a number of seconds")
    return number


class WaitCommand(click.Command):
    """A command whose ``--wait`` may stand without its seconds."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        words: list[str] = []
        for at, word in enumerate(args):
            if word == "--":
                words += args[at:]
                break
            words.append(word)
            following = args[at + 1] if at + 1 < len(args) else "-"
            # A typed argument may follow as well; any other word is meant as seconds.
            if word == "--wait" and (following.startswith("-") or ":" in following):
                words.append(_FOREVER)
        return super().parse_args(ctx, words)
