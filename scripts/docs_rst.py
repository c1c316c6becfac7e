"""A griffe extension: docstrings have reStructuredText's tables, roles and literal blocks; the site is Markdown."""

from __future__ import annotations

import re
from typing import Any

import griffe

_ROLE = re.compile(r":\w+:`~?([^`]+)`")
_RULE = re.compile(r"=+(?: +=+)+")


class Markdown(griffe.Extension):
    """Rewrites each docstring as it is loaded."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite the docstring of a module, class, function or attribute."""
        if obj.docstring is not None:
            obj.docstring.value = markdown(obj.docstring.value)


def markdown(text: str) -> str:
    """The text with Markdown's tables, code and fences."""
    lines = _tables(_ROLE.sub(r"`\1`", text).splitlines())
    return re.sub(r"::\n\n((?:    .*(?:\n|\Z)|\n)+)", _fenced, "\n".join(lines))


def _fenced(found: re.Match[str]) -> str:
    return f"\n\n```text\n{re.sub('^    ', '', found[1], flags=re.MULTILINE).strip()}\n```\n\n"


def _tables(lines: list[str]) -> list[str]:
    made: list[str] = []
    at = 0
    while at < len(lines):
        if not _RULE.fullmatch(lines[at].strip()):
            made.append(lines[at])
            at += 1
            continue
        after = next((index for index in range(at, len(lines)) if not lines[index].strip()), len(lines))
        rules = [index for index in range(at, after) if _RULE.fullmatch(lines[index].strip())]
        starts = [match.start() for match in re.finditer("=+", lines[at])]
        # With a head there is a rule below it too.
        body_from = rules[1] if len(rules) > 2 else at
        head = _cells(lines[at + 1], starts) if len(rules) > 2 else [""] * len(starts)
        rows = [_cells(lines[index], starts) for index in range(body_from + 1, rules[-1])]
        made += ["", _row(head), _row(["---"] * len(starts)), *map(_row, _joined(rows)), ""]
        at = after
    return made


def _cells(line: str, starts: list[int]) -> list[str]:
    ends: list[int | None] = [*starts[1:], None]
    return [line[start:end].strip() for start, end in zip(starts, ends, strict=True)]


def _joined(rows: list[list[str]]) -> list[list[str]]:
    """A row that goes on in the next line has nothing in its other cells there."""
    made: list[list[str]] = []
    for row in rows:
        if made and row[0].startswith("``_"):
            made[-1] = [f"{old} {new}".strip() for old, new in zip(made[-1], row, strict=True)]
        else:
            made.append(row)
    return made


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
