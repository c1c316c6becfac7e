"""Which arguments of a message are whose: Celery's order on a wire that has Machinery's.

Machinery appends results to the arguments given; Celery puts them in front. So that nothing depends on it, a task that
gets results carries its own arguments with names (``Arg.Name``, which Go passes on and never looks at): a keyword has
its own, a positional one has :data:`OWN`. Results have none. The worker puts what has no name first, then what was
given, then the keywords: Celery's order, whoever appended.

How many results are expected is in the header :data:`TAKES`, since a Go task may return none or several, and Celery
passes the results of a chord as one list:

====================  ===================================================================
header                what the arguments without a name are
====================  ===================================================================
absent                arguments of a plain call, in their order
``result``            the result of one task: none is None, several are a list
``results <n>``       those of the n members of a chord: one list
``nothing``           results that an immutable signature does not want
``error <uuid>``      the text of an error; the task that failed is ``uuid``
====================  ===================================================================
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from gomachinery_py.compat.celery.values import restored, to_arg
from gomachinery_py.errors import ArgumentError
from gomachinery_py.wire.model import Arg, Signature

__all__ = ["EXPIRES", "OWN", "RETRIES", "TAKES", "Call", "call_of", "own_arguments"]

OWN: Final = "*"
TAKES: Final = "gmpy-celery-takes"
RETRIES: Final = "gmpy-celery-retries"
EXPIRES: Final = "gmpy-celery-expires"


@dataclass(frozen=True, slots=True)
class Call:
    """What a task is called with; ``error`` is the text and the task of the failure that it is called back for."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    error: tuple[str, str] | None = None


def own_arguments(args: Sequence[Any], kwargs: Mapping[str, Any], *, named: bool) -> list[Arg]:
    """The arguments of a signature; ``named`` when results may come among them. Raises TypeError or ValueError."""
    arguments = [_arg(value, OWN if named else "", f"argument {index}") for index, value in enumerate(args, 1)]
    return [*arguments, *(_arg(value, name, f"argument {name!r}") for name, value in kwargs.items())]


def _arg(value: Any, name: str, where: str) -> Arg:
    try:
        return to_arg(value, name)
    except (TypeError, ValueError) as error:
        raise (ValueError if isinstance(error, ValueError) else TypeError)(f"{where}: {error}") from None


def call_of(signature: Signature, values: Sequence[Any]) -> Call:
    """The call that a message asks for; ``values`` are its converted arguments.

    Raises ArgumentError when there are not as many results as the signature expects.
    """
    others: list[Any] = []
    own: list[Any] = []
    kwargs: dict[str, Any] = {}
    for arg, value in zip(signature.args or (), values, strict=True):
        try:
            value = restored(value)
        except ValueError as error:
            raise ArgumentError(f"argument {arg.name or 'without a name'}: {error}") from None
        if arg.name == "":
            others.append(value)
        elif arg.name == OWN:
            own.append(value)
        else:
            kwargs[arg.name] = value
    takes = (signature.headers or {}).get(TAKES)
    kind, _, detail = takes.partition(" ") if isinstance(takes, str) else ("", "", "")
    if kind == "result":
        others = [None if not others else others[0] if len(others) == 1 else others]
    elif kind == "results":
        if str(len(others)) != detail:
            raise ArgumentError(
                f"{len(others)} results came from the {detail} members of the chord: each member must return exactly "
                "one value, and nobody can tell here whose is missing or too many"
            )
        others = [others]
    elif kind == "nothing":
        others = []
    elif kind == "error":
        return Call(tuple(own), kwargs, (str(others[0]) if others else "", detail))
    return Call((*others, *own), kwargs)
