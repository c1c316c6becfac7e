"""Tasks as a Celery program has them; the tests run this file under Celery, and on Machinery with other imports."""

import os
from datetime import datetime, timedelta
from decimal import Decimal

from celery import Celery, Task, chord, shared_task
from celery.exceptions import MaxRetriesExceededError
from celery.utils.log import get_task_logger

logger = get_task_logger(__name__)

app = Celery("tasks", broker=os.environ["EXAMPLE_BROKER"], backend=os.environ["EXAMPLE_BACKEND"])
app.conf.update(result_expires=600, timezone="UTC", task_routes={"tasks.routed": {"queue": "celery_other"}})


class OutOfStock(Exception):
    pass


class Counted(Task):
    calls: list[str] = []

    def on_success(self, retval, task_id, args, kwargs):
        self.calls.append(f"success {retval} {args} {kwargs}")

    def on_failure(self, exc, task_id, args, kwargs, einfo):
        self.calls.append(f"failure {exc!r} {args}")


@app.task
def add(x, y):
    return x + y


@app.task
def xsum(numbers):
    return sum(numbers)


@app.task
def show(*args, **kwargs):
    return repr((args, kwargs))


@app.task
def keyword_only(first, *, second=2, third=3):
    return [first, second, third]


@app.task
def defaults(a, b=20, c=30):
    return a, b, c


@app.task
def nothing(*args):
    logger.info("nothing to do for %s", args)


@app.task
def echo(value):
    return value


@app.task
def describe(value):
    return f"{type(value).__name__} {value!r}"


@app.task
def order(number):
    return {"number": number, "lines": ["a", "b"], "price": Decimal("1.50"), "when": datetime(2030, 1, 2, 3, 4)}


@app.task
def fail(message="bad"):
    raise ValueError(message)


@app.task
def sell(item):
    raise OutOfStock(item)


@app.task(bind=True, max_retries=3, default_retry_delay=0)
def third_time(self, name):
    try:
        if self.request.retries < 2:
            raise ConnectionError("not yet")
    except ConnectionError as exc:
        raise self.retry(exc=exc, countdown=0.01)
    return f"{name} after {self.request.retries} retries"


@app.task(bind=True, max_retries=1)
def never(self):
    raise self.retry(exc=OSError("gone"), countdown=0.01)


@app.task(bind=True, max_retries=0)
def at_once(self):
    try:
        raise self.retry(countdown=0.01)
    except MaxRetriesExceededError:
        return "no retry is left"


@app.task(bind=True, max_retries=5)
def with_other_arguments(self, number):
    if number < 3:
        raise self.retry(args=(number + 1,), countdown=0.01)
    return number


@app.task(autoretry_for=(KeyError,), retry_kwargs={"max_retries": 2, "countdown": 0.01})
def auto(key):
    raise KeyError(key)


@app.task(bind=True)
def who(self):
    return [self.name, len(self.request.id) > 30, self.request.retries, self.request.called_directly]


@app.task(base=Counted)
def counted(value):
    if value < 0:
        raise ValueError(value)
    return value


@app.task
def calls():
    return Counted.calls


seen = []


@app.task
def note(*args):
    seen.append(list(args))


@app.task
def noted():
    return seen


@app.task
def failed(task_id):
    seen.append(["failed", len(task_id) > 30])


@app.task
def failed_new(request, exc, traceback):
    seen.append(["failed", len(request.id) > 30, str(exc).endswith("with three")])


@app.task
def routed(x):
    return x


@app.task(ignore_result=True)
def quiet(x):
    return x


@shared_task
def shared(x):
    return 2 * x


@shared_task(bind=True, name="by.name")
def named(self, x):
    return f"{self.name} {x}"


@app.task
def starts_chord(numbers):
    chord([add.s(number, 1) for number in numbers])(note.s("from a chord"))


def later(seconds):
    return timedelta(seconds=seconds)
