"""Text from elsewhere, made safe for a terminal."""

from __future__ import annotations

__all__ = ["json_safe", "printable"]


def printable(text: str, limit: int | None = None) -> str:
    """``text`` without what could steer a terminal, and no longer than ``limit`` characters of it."""
    shown = text if limit is None or len(text) <= limit else f"{text[:limit]}…"
    if shown.isprintable():
        return shown
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in shown)


def json_safe(document: str) -> str:
    """A one-line JSON document that says the same in characters which no terminal obeys."""
    if document.isprintable():
        return document
    # Between the strings of a JSON document is nothing but ASCII, so whatever is escaped here is inside one.
    return "".join(character if character.isprintable() else _escaped(character) for character in document)


def _escaped(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at] << 8 | units[at + 1]:04x}" for at in range(0, len(units), 2))
