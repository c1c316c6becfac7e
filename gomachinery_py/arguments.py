"""Refusing arguments of the wrong kind, in words, where they are given and not where they are used."""

from __future__ import annotations

from typing import Any

__all__ = ["kind_of", "need"]


def need(value: object, kinds: Any, where: str, what: str) -> None:
    """Raise TypeError unless ``value`` is one of ``kinds``; a bool is no number."""
    if not isinstance(value, kinds) or (isinstance(value, bool) and kinds is not bool):
        raise TypeError(f"{where} must be {what}, not {kind_of(value)}")


def kind_of(value: object) -> str:
    """What people call it."""
    return "None" if value is None else type(value).__name__
