"""Leave tasks waiting in Celery's queue, one of every kind; prints the ids of messages and of results by a name."""

import json
import os
from datetime import UTC, datetime, timedelta

from celery import chord
from tasks import add, app, fail, note, nothing, show, xsum

FAR = datetime(2100, 1, 1, tzinfo=UTC)
SOON = datetime.now(UTC) + timedelta(milliseconds=200)


def leave():
    left = {
        "plain": add.delay(1, 2),
        "keywords": show.delay(1, x={"a": [None]}),
        "values": show.delay([1, 2.5], None, SOON.date(), b"\xff"),
        "eta": add.apply_async((1, 3), eta=SOON),
        "expires": add.apply_async((1, 4), expires=3600),
        "chain": (add.s(1, 2) | add.s(10) | show.s(4, x=5) | show.si(7)).delay(),
        "chain with map": (add.s(1, 2) | add.si(3, 4) | xsum.map([[1], [2, 3]])).delay(),
        "links": add.apply_async((5, 6), link=[note.s("linked"), note.si("immutable")], link_error=note.s()),
        "errors": fail.apply_async(("left",), link_error=note.si("called back")),
        "headers": add.apply_async((1, 5), headers={"tenant": "blue"}),
        "retried": note.apply_async(("retried",), retries=2),
        "group": nothing.delay(),
    }
    if not os.environ["EXAMPLE_BROKER"].startswith("amqp"):
        # RabbitMQ drops a message that has expired.
        left["expired"] = add.apply_async((1, 4), expires=SOON - timedelta(days=1))
    refused = {
        "pickle": add.apply_async(({1: 2}, None), serializer="pickle"),
        "time limit": add.apply_async((1, 2), time_limit=5),
        "chord": chord([add.s(1, 1), add.s(2, 2)])(xsum.s()).parent[0],
        "chord in a chain": (add.s(1, 1) | chord([add.s(1), add.s(2)], xsum.s())).delay(),
    }
    messages = {name: first(result).id for name, result in (left | refused).items()}
    return messages, {name: result.id for name, result in left.items()}


def first(result):
    """The task that waits: the others of a canvas come after it."""
    while result.parent is not None:
        result = result.parent
    return result


def leave_many(count):
    return [add.delay(number, 0).id for number in range(count)]


if __name__ == "__main__":
    app.conf.accept_content = ["json", "pickle"]
    many = int(os.environ.get("EXAMPLE_MANY", "0"))
    if os.environ.get("EXAMPLE_PRIORITY"):
        urgent = [add.apply_async((number, 0), priority=number).id for number in (0, 9, 3)]
        print(json.dumps(urgent))
    else:
        print(json.dumps(leave_many(many) if many else leave()))
