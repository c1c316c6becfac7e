"""What a Celery program sends; the tests compare what comes of it under Celery and on Machinery."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import tasks
from celery import chain, chord, group, signature
from celery.result import AsyncResult
from tasks import add, app, describe, echo, fail, nothing, show, xsum

TIMEOUT = 60
CASES: dict[str, Callable[[], Any]] = {}


def case(function):
    CASES[function.__name__] = function
    return function


def get(sent):
    """The value, or the class and text of what was raised."""
    try:
        return sent.get(timeout=TIMEOUT)
    except Exception as error:
        return [type(error).__name__, str(error)]


def raised(call):
    try:
        call()
    except Exception as error:
        return type(error).__name__
    return "nothing"


# -- single tasks --


@case
def delay():
    return [get(add.delay(2, 2)), get(add.delay(2, y=3)), get(add.delay(x=2, y=4)), add(1, 1)]


@case
def apply_async():
    result = add.apply_async((5, 6), countdown=0.05)
    other = add.apply_async(args=[1], kwargs={"y": 1}, eta=datetime.now(UTC), task_id=f"id-of-its-own-{time.time_ns()}")
    return [get(result), get(other), other.id.startswith("id-of-its-own")]


@case
def wrong_arguments():
    return [raised(lambda: add.delay(1)), raised(lambda: add.delay(1, 2, 3)), raised(lambda: add.delay(1, z=2))]


@case
def keywords():
    sent = [
        tasks.keyword_only.delay(1, third=5),
        tasks.defaults.delay(1, c=3),
        tasks.defaults.delay(b=2, a=1),
        show.delay(1, x=2, y=None),
    ]
    return [get(each) for each in sent]


@case
def values():
    given = [
        None, True, 1, -(2**63), 2**64, 1.5, 1.0, "text", "", "\t\rnot JSON", [], [1, 2], [1, 2.5], [True, 1],
        ["a", None], [[1], [2]], {}, {"a": {"b": [1, None]}}, (1, (2, 3)), "é\u2028<&>", b"bytes", b"\xff\x00",
    ]  # fmt: skip
    return [get(each) for each in [describe.delay(value) for value in given]]


@case
def returned():
    given = [None, {"a": [1, 2.5]}, [1, None], (1, 2), [], "\t\r", 1.0, {"1": 2}]
    return [get(each) for each in [echo.delay(value) for value in given]]


@case
def rich_values():
    value = get(tasks.order.delay(7))
    return [value["number"], value["lines"], str(value["price"]), value["when"].isoformat(), get(describe.delay(value))]


@case
def states():
    good, bad = add.delay(1, 2), fail.delay("oh no")
    get(good), get(bad)
    again = AsyncResult(bad.id, app=app)
    return [
        [good.state, good.status, good.ready(), good.successful(), good.failed(), good.result],
        [again.state, again.ready(), again.successful(), again.failed(), repr(again.result), repr(again.info)],
        [repr(bad.get(propagate=False)), AsyncResult("of-nobody", app=app).state],
    ]


@case
def failures():
    return [get(fail.delay("oh no")), get(fail.delay()), get(tasks.sell.delay("tea"))]


@case
def own_exception():
    try:
        tasks.sell.delay("tea").get(timeout=TIMEOUT)
    except tasks.OutOfStock as error:
        return f"caught {error}"


@case
def retries():
    return [get(each) for each in [tasks.third_time.delay("Ada"), tasks.never.delay(), tasks.at_once.delay()]]


@case
def other_arguments():
    return get(tasks.with_other_arguments.delay(1))


@case
def autoretry():
    return get(tasks.auto.delay("k"))


@case
def request():
    return get(tasks.who.delay())


@case
def handlers():
    get(tasks.counted.delay(1)), get(tasks.counted.delay(-1))
    return get(tasks.calls.delay())


@case
def ignored():
    return tasks.quiet.delay(1).get(timeout=TIMEOUT)


@case
def shared():
    return [get(tasks.shared.delay(4)), get(tasks.named.delay(1)), get((tasks.shared.s(3) | add.s(1)).delay())]


@case
def by_name():
    known = signature("tasks.add", args=(1, 2), app=app)
    return [
        get(app.send_task("tasks.add", args=[2, 3])),
        get(known.delay()),
        get(app.send_task("tasks.add", [1], {"y": 1})),
    ]


@case
def applied():
    bad = fail.apply(("here",))
    return [add.apply((1, 2)).get(), bad.state, repr(bad.result), tasks.third_time.apply(("Bob",)).get()]


# -- canvases --


@case
def chains():
    sent = [
        chain(add.s(2, 2), add.s(4), add.s(8))(),
        (add.s(1, 2) | add.s(3)).delay(),
        (add.s(1, 2) | show.s(4, x=5)).delay(),
        (add.s(1, 2) | show.si(4, x=5)).delay(),
        chain(add.s(1), add.s(2)).apply_async((5,)),
        (nothing.s() | show.s(1)).delay(),
        (echo.s({"a": 1}) | show.s([1, None])).delay(),
        (echo.s([1, 2, 3]) | xsum.s() | add.s(100)).delay(),
        (add.s(1, 2) | add.si(5, 5) | add.s(1)).delay(),
        chain(add.s(1, 2), chain(add.s(3), add.s(4)))(),
        (add.s(1, 1) | add.s(y=5)).delay(),
    ]
    return [get(each) for each in sent]


@case
def long_chain():
    return get(chain(add.s(0, 1), *(add.s(1) for _ in range(40)))())


@case
def chain_parents():
    last = (add.s(1, 1) | add.s(2)).delay()
    return [get(last), get(last.parent), last.parent.parent]


@case
def failing_chain():
    return get((fail.s("first") | add.s(1) | add.s(2)).delay())


@case
def groups():
    result = group(add.s(1, 1), add.s(2, 2), nothing.s())()
    values = result.get(timeout=TIMEOUT)
    return [
        values, result.ready(), result.successful(), result.failed(), result.completed_count(), len(result),
        get(group(add.s(number, number) for number in range(10)).delay()), get(group([add.s(1), add.s(3)]).delay(10)),
        get(group().delay()), get(group(add.s(1, 2) | add.s(3), add.s(1, 1)).delay()), get(group(add.s(1, 2)).delay()),
    ]  # fmt: skip


@case
def failing_group():
    result = group(fail.s("in a group"), add.s(1, 1))()
    return [get(result), result[1].get(timeout=TIMEOUT)]


@case
def chords():
    sent = [
        chord([add.s(1, 1), add.s(2, 2)])(xsum.s()),
        chord((add.s(number, number) for number in range(20)), xsum.s()).delay(),
        chord([add.s(1, 1), nothing.s(), echo.s({"a": [None]})])(show.s(5, x=6)),
        chord([add.s(1, 1), add.s(2, 2)])(show.si(5)),
        (group(add.s(1, 2), add.s(3, 4)) | xsum.s() | add.s(100)).delay(),
        chain(group(add.s(1, 1), add.s(2, 2)), xsum.s())(),
        chord([add.s(1, 2), add.s(3, 4)])(xsum.s() | add.s(100)),
        chord([add.s(1), add.s(3)], xsum.s()).delay(10),
        chord([add.s(1, 2)])(show.s()),
        (group(add.s(1, 2), add.s(3, 4)) | show.si(1) | show.s(2)).delay(),
        (group(add.s(1, 2), add.s(3, 4)) | xsum.s() | show.si(2)).delay(),
        chord([])(show.s(7)),
        (group(add.s(1, 2), add.s(3, 4)) | xsum.s() | group(add.s(1), add.s(2))).delay(),
    ]
    return [get(each) for each in sent]


@case
def failing_chord():
    return get(chord([fail.s("in a chord"), add.s(1, 1)])(xsum.s()))


@case
def chain_with_group():
    return [
        get((add.s(1, 2) | group(add.s(1), add.s(10), show.si(5))).delay()),
        get((add.s(1, 2) | group(nothing.si())).delay()),
    ]


@case
def maps():
    rows = [(number, number) for number in range(5)]
    return [
        get(xsum.map([[1, 2], [3]]).delay()),
        get(add.starmap(rows).delay()),
        get((add.s(1, 2) | xsum.map([[1]])).delay()),
        get(add.chunks(rows, 2)()),
        get(add.chunks(rows, 2).group().delay()),
    ]


@case
def partials():
    return [
        repr(add.s(1, y=2)), get(add.s(1).delay(5)), get(add.s(1).apply_async((5,))), add.s(1, 2)(),
        get(show.s(1, x=2).clone((5,), {"x": 3, "y": 4}).delay()), get(show.si(1).delay(4)),
        get(add.s(2, 2).set(countdown=0.01).delay()),
    ]  # fmt: skip


# -- links --


def noted(count):
    """What ``note`` and the like have seen, once there is as much."""
    end = time.monotonic() + TIMEOUT
    while True:
        found = get(tasks.noted.delay())
        if len(found) >= count or time.monotonic() > end:
            return sorted(map(repr, found))
        time.sleep(0.02)


@case
def links():
    get(add.apply_async((1, 2), link=tasks.note.s("linked")))
    get(add.apply_async((3, 4), link=[tasks.note.si("immutable"), tasks.note.s("beside it")]))
    get(fail.apply_async(link_error=tasks.failed.s()))
    get(fail.apply_async(("with three",), link_error=tasks.failed_new.s()))
    get(fail.s().on_error(tasks.note.si("an immutable error callback")).delay())
    get((fail.s("x") | add.s(1)).apply_async(link_error=tasks.note.si("of a chain")))
    tasks.starts_chord.delay([1, 2])
    return noted(8)
