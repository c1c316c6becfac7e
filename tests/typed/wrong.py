"""Code of which both type checkers must refuse every line marked so."""

from __future__ import annotations

from gomachinery_py import Context, Server

server = Server("eager")


@server.task
def add(*numbers: int) -> int:
    return sum(numbers)


@server.task("total", retries=3)
async def total(numbers: list[int]) -> int:
    return sum(numbers)


@server.task
def with_context(ctx: Context, name: str) -> str:
    return name * ctx.retries_left


@server.task(soft_time_limit=0.5)
def limited() -> None: ...


add.send("1")  # refused
add.using(retries=1).send("1")  # refused
add.signature("1")  # refused
add("1")  # refused
add.using(retries="1")  # refused
add.using(unknown=1)  # refused
add.using(soft_time_limit=1)  # refused
server.task(soft_time_limit="1")  # refused
server.remote(soft_time_limit=1)  # refused
server.revoke(7)  # refused
server.cancel_delayed(b"x")  # refused
limited.send(1)  # refused
total.send(["1"])  # refused
total.send()  # refused
with_context.send(1)  # refused
with_context.send(Context(), "x")  # refused
server.send_task("add")  # refused
