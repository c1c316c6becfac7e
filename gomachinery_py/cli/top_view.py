"""A frame of ``gomachinery top`` for a terminal. Foreign text is made printable, and never read as markup."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from gomachinery_py.cli.text import printable

__all__ = ["view"]

# Without a sign of life for so long, a worker that gives one every five seconds is worth a look.
_SILENT_SECONDS = 15
_NAME = 48
_TEXT = 100


def view(frame: dict[str, Any], broker: str) -> RenderableType:
    """All of it, the most wanted first."""
    parts: list[RenderableType] = [_head(frame, broker)]
    if frame["error"] is not None:
        return Group(*parts)
    parts.append(_queues(frame))
    if frame["workers"]:
        parts.append(_workers(frame))
    if frame["failures"]:
        parts.append(
            _table(
                "failed for good",
                ["at", "queue", "task", "uuid", "error"],
                [_failure(each) for each in frame["failures"]],
            )
        )
    if frame["dead_letters"]:
        rows = [
            [_cell(each["queue"]), _cell(each["name"]), _cell(each["uuid"]), _cell(each["reason"], _TEXT)]
            for each in frame["dead_letters"]
        ]
        parts.append(_table("dead letters", ["queue", "task", "uuid", "reason"], rows))
    return Group(*parts)


def _head(frame: dict[str, Any], broker: str) -> Text:
    head = Text(f"{printable(broker)}  {frame['time'][:19].replace('T', ' ')} UTC")
    if frame["error"] is not None:
        return head.append(f"\n{printable(frame['error'])}", "red")
    delayed = frame["delayed"]
    head.append(f"  delayed {_number(delayed['count'])}")
    if delayed["next"]:
        head.append(f", next due {printable(delayed['next'][:19].replace('T', ' '))}")
    return head


def _queues(frame: dict[str, Any]) -> Table:
    rows = [
        [
            _cell(each["queue"]),
            *(_number(each[name]) for name in ("waiting", "inflight", "dead", "workers")),
            _rate(each["per_second"]),
            _rate(each["waiting_per_second"], signed=True),
        ]
        for each in frame["queues"]
    ]
    return _table("", ["queue", "waiting", "inflight", "dead", "workers", "ended/s", "waiting/s"], rows, numbers=6)


def _workers(frame: dict[str, Any]) -> Table:
    rows = []
    for each in frame["workers"]:
        age = each["sign_of_life_seconds"]
        busy = _number(each["running"]) if each["concurrency"] is None else f"{each['running']}/{each['concurrency']}"
        rows.append(
            [
                _cell(each["worker"]),
                _cell(", ".join(each["queues"])),
                Text(f"{age:.0f} s", "red" if age > _SILENT_SECONDS else ""),
                busy,
                *(_number(each[name]) for name in ("held", "done", "failed", "retried", "dead")),
                _rate(each["per_second"]),
            ]
        )
    columns = ["worker", "queues", "seen", "running", "held", "done", "failed", "retried", "dead", "ended/s"]
    return _table("", columns, rows, numbers=8)


def _failure(failure: dict[str, Any]) -> list[Text]:
    return [
        _cell(failure["time"][:19].replace("T", " ")),
        *(_cell(failure[name]) for name in ("queue", "name", "uuid")),
        _cell(failure["error"], _TEXT),
    ]


def _table(title: str, columns: list[str], rows: list[Any], *, numbers: int = 0) -> Table:
    """The last ``numbers`` columns are numbers."""
    table = Table(
        title=title or None, title_justify="left", title_style="bold", box=None, pad_edge=False, header_style="dim"
    )
    for at, column in enumerate(columns):
        right = at >= len(columns) - numbers
        table.add_column(column, justify="right" if right else "left", no_wrap=True, overflow="ellipsis")
    for row in rows:
        table.add_row(*row)
    return table


def _cell(text: str, limit: int = _NAME) -> Text:
    return Text(printable(text, limit))


def _number(value: int | None) -> str:
    return "-" if value is None else str(value)


def _rate(value: float | None, *, signed: bool = False) -> str:
    if value is None:
        return "-"
    return f"{value:+.1f}" if signed else f"{value:.1f}"
