"""The demo's tasks; ``gomachinery worker gomachinery_py.demo.app:server --broker URL`` serves them as well."""

from __future__ import annotations

import time

from gomachinery_py.context import Context
from gomachinery_py.server import Server

__all__ = ["server"]

server = Server("eager")


@server.task
def add(*numbers: int) -> int:
    return sum(numbers)


@server.task
def multiply(*numbers: int) -> int:
    product = 1
    for number in numbers:
        product *= number
    return product


@server.task("sum")
def total(numbers: list[int]) -> int:
    return sum(numbers)


@server.task(retries=2)
def flaky(ctx: Context) -> str:
    if ctx.retries_left == 2:
        raise ConnectionError("the first try always fails")
    return f"done with {ctx.retries_left} retry left"


@server.task
def clock() -> int:
    """Unix nanoseconds at which it ran."""
    return time.time_ns()
