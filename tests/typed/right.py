"""Code that both type checkers must accept."""

from __future__ import annotations

from datetime import timedelta
from typing import assert_type

from gomachinery_py import AsyncResult, Context, Server, Signature

server = Server("eager")


@server.task
def add(*numbers: int) -> int:
    return sum(numbers)


@server.task("total", queue="py_tasks", retries=3)
async def total(numbers: list[int]) -> int:
    return sum(numbers)


@server.task
def with_context(ctx: Context, name: str) -> tuple[str, int]:
    return name, ctx.retries_left


@server.remote("multiply")
def multiply(*numbers: int) -> int:
    raise NotImplementedError


@server.task("limited", soft_time_limit=timedelta(seconds=2))
def limited(number: int) -> int:
    return number


assert_type(limited.send(1), AsyncResult[int])
assert_type(server.cancel_delayed("x"), bool)
assert_type(add(1, 2), int)
assert_type(add.send(1, 2), AsyncResult[int])
assert_type(add.send(1, 2).get(timeout=1), int)
assert_type(add.s(1, "anything"), Signature)
assert_type(with_context("x"), tuple[str, int])
assert_type(with_context.send("x"), AsyncResult[tuple[str, int]])
assert_type(multiply.using(retries=2).send(1), AsyncResult[int])


async def main() -> None:
    assert_type(await total([1]), int)
    assert_type(await total.asend([1]), AsyncResult[int])
    assert_type(await (await total.asend([1])).aget(), int)
