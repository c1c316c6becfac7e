"""Celery's options, settings and schedules: followed, or refused with the reason; none is ignored."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from celery.app.defaults import _OLD_SETTING_KEYS, SETTING_KEYS
from celery.schedules import crontab as CelerysCrontab  # noqa: N812

from gomachinery_py import Server
from gomachinery_py.compat.celery import Celery, Task, chain, chord, current, group
from gomachinery_py.compat.celery import options as celery_options
from gomachinery_py.compat.celery.exceptions import CeleryDifference, ImproperlyConfigured
from gomachinery_py.compat.celery.schedules import crontab, schedule, spec_of
from gomachinery_py.compat.celery.setting_names import new_name
from gomachinery_py.compat.celery.settings import broker_url
from gomachinery_py.compat.celery.weaving import weave
from gomachinery_py.effects import run
from gomachinery_py.errors import MachineryError
from gomachinery_py.schedule import parse

URL = "redis://localhost:1"


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> Iterator[Celery]:
    monkeypatch.setattr(current, "_apps", [])
    monkeypatch.setattr(current, "_shared", [])
    with Celery("tasks", broker=URL, backend=URL) as app:
        yield app


def sent(app: Celery, *args: Any, **options: Any) -> Any:
    """A task as it would be sent."""
    task = app.tasks.get("t") or app.task(name="t")(lambda *args: args)
    return weave(task.signature(args, **options), app._known).roots[0]


# -- sends --


def test_followed_options(app: Celery) -> None:
    """Each has its counterpart on the wire."""
    eta = datetime(2031, 1, 1, tzinfo=UTC)
    found = sent(app, 1, task_id="id", eta=eta, queue="q", headers={"tenant": "blue"}, expires=eta)

    assert (found.uuid, found.eta, found.routing_key) == ("id", eta, "q")
    assert found.headers == {"tenant": "blue", "gmpy-celery-expires": "2031-01-01T00:00:00+00:00"}


def test_times(app: Celery) -> None:
    """A time without a zone is UTC, a countdown wins over an eta, and counts from now."""
    before = datetime.now(UTC)

    assert sent(app, eta=datetime(2031, 1, 1)).eta == datetime(2031, 1, 1, tzinfo=UTC)
    assert before < sent(app, countdown=60, eta=datetime(2031, 1, 1)).eta < before + timedelta(hours=1)
    assert sent(app, expires=3600).headers["gmpy-celery-expires"] > before.isoformat()


@pytest.mark.parametrize("option", sorted(celery_options._REFUSED.keys() - celery_options.FOLLOWED_BY_TASKS))
def test_refused_options(app: Celery, option: str) -> None:
    """An option that Machinery has nothing for is refused by name, for a send and where a task is declared."""
    with pytest.raises(CeleryDifference, match=f"task t: {option} cannot be followed: "):
        sent(app, **{option: 1})
    with pytest.raises(CeleryDifference, match=f"{option} cannot be followed: "):
        app.task(name="other", **{option: 1})(lambda: None)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"serializer": "pickle"}, "serializer='pickle' cannot be followed"),
        ({"retry": True}, "retry=True cannot be followed"),
        ({"ignore_result": True}, "where the task is declared"),
        ({"colour": 1}, "colour is no option here; there are countdown"),
        ({"headers": {"gmpy-signature": "x"}}, "package's own"),
        ({"headers": {1: "x"}}, "names of headers are texts, not 1"),
    ],
)
def test_refused_values(app: Celery, options: dict[str, Any], why: str) -> None:
    """So are values that would mean something else, and names that nobody knows."""
    with pytest.raises((CeleryDifference, ValueError, TypeError), match=why):
        sent(app, **options)


@pytest.mark.parametrize("options", [{"serializer": "json"}, {"retry": False}, {"time_limit": None}])
def test_said_anyway(app: Celery, options: dict[str, Any]) -> None:
    """What happens anyway may be said."""
    assert sent(app, **options).name == "t"


# -- declarations --


def test_declared_options(app: Celery) -> None:
    """A task's own queue is where it is sent, unless the send says otherwise."""
    app.task(name="t", queue="own", acks_late=True, max_retries=None, throws=(KeyError,))(lambda: None)

    assert (sent(app).routing_key, sent(app, queue="other").routing_key) == ("own", "other")


def test_refused_declarations(app: Celery) -> None:
    """A base class cannot bring in what a decorator may not, and a coroutine is for the server itself."""

    class Limited(Task):
        time_limit = 5

    async def later() -> None: ...

    with pytest.raises(CeleryDifference, match="time_limit cannot be followed"):
        app.task(base=Limited)(lambda: None)
    with pytest.raises(CeleryDifference, match="acks_late=False cannot be followed"):
        app.task(acks_late=False)(lambda: None)
    with pytest.raises(CeleryDifference, match="plain functions"):
        app.task(later)
    with pytest.raises(TypeError, match="autoretry_for is a tuple of exceptions"):
        app.task(autoretry_for=ValueError)(lambda: None)


def test_names(app: Celery) -> None:
    """A task is called as Celery calls it, the main module by the app's name; declared twice it is the first."""

    def work() -> None: ...

    first = app.task(work)
    work.__module__ = "__main__"

    assert (first.name, app.task(work).name) == ("test_celery_compat_settings.work", "tasks.work")
    assert app.task(name="tasks.work")(lambda: None) is app.tasks["tasks.work"]


# -- settings --


def test_settings(app: Celery) -> None:
    """By attribute, key, update, object, old names, and before or after the server is there."""
    app.conf.task_default_queue = "q"
    app.conf["result_expires"] = timedelta(minutes=10)
    app.conf.update(accept_content=["json"], task_track_started=True)

    assert (app.server.config.default_queue, app.server.config.results_expire_in) == ("q", 600)
    app.config_from_object(SimpleNamespace(CELERY_TASK_DEFAULT_QUEUE="r", OTHER=1), namespace="CELERY")
    assert app.server.config.default_queue == "r"
    app.config_from_object({"CELERY_DEFAULT_QUEUE": "s"})
    assert (app.server.config.default_queue, app.conf.get("nothing", 5), "timezone" in app.conf) == ("s", 5, True)


def test_settings_as_a_mapping(app: Celery) -> None:
    """Settings can be read as a dict, copied, and asked for what is not there."""
    assert dict(app.conf)["broker_url"] == URL
    assert copy.copy(app.conf).broker_url == URL
    with pytest.raises(KeyError, match="setting nothing was not set"):
        app.conf["nothing"]


@pytest.mark.parametrize("modules", ["json", ["json"], ("json",)])
def test_one_module(modules: Any) -> None:
    """One module may be given without a list."""
    with Celery("t", include=modules, imports=modules, task_always_eager=True, set_as_current=False) as app:
        assert app.task(name="one")(lambda: 1).delay().get(timeout=5) == 1


class Defaults:
    """Settings as a class has them, with others that are none."""

    task_default_queue = "inherited"
    DEBUG = True
    task_of_the_day = "x"


class Own(Defaults):
    result_expires = 5


class Lazy:
    """As ``django.conf.settings``: nothing is in ``vars()``."""

    def __dir__(self) -> list[str]:
        return ["CELERY_TASK_DEFAULT_QUEUE", "DEBUG"]

    def __getattr__(self, name: str) -> str:
        return {"CELERY_TASK_DEFAULT_QUEUE": "lazy"}[name]


@pytest.mark.parametrize(
    ("found", "namespace", "queue"),
    [
        *((Own, "", "inherited"), (Own(), "", "inherited"), (Lazy(), "CELERY", "lazy")),
        (SimpleNamespace(CELERY_DEFAULT_QUEUE="old", CELERYBEAT_SCHEDULE={}), "", "old"),
        (SimpleNamespace(TASK_DEFAULT_QUEUE="capital"), "", "capital"),
    ],
    ids=["class", "object", "lazy", "old", "capital"],
)
def test_sources_of_settings(app: Celery, found: Any, namespace: str, queue: str) -> None:
    """Whatever has settings as attributes is read, what it inherits and what it makes up included."""
    app.config_from_object(found, namespace=namespace)

    assert app.conf.task_default_queue == queue


def read_of(app: Celery, name: str) -> str:
    """What becomes of a setting in a module: the error, or what was set."""
    try:
        app.config_from_object(SimpleNamespace(**{name: "text"}))
    except ImproperlyConfigured as error:
        return str(error)
    return f"{new_name(name)} = {app.conf[new_name(name)]}"


def test_no_setting_of_an_object_is_ignored(app: Celery) -> None:
    """Each of Celery's own settings in a module, by its old name too, is followed, or refused by its name."""
    names = [*SETTING_KEYS, *_OLD_SETTING_KEYS]

    assert [] == [name for name in names if new_name(name) not in read_of(app, name)]


def test_settings_that_nobody_knows(app: Celery) -> None:
    """A name that begins as Celery's do is a mistake, any other is the program's own."""
    with pytest.raises(ImproperlyConfigured, match="CELERYD_CONCURENCY has no counterpart"):
        app.config_from_object(SimpleNamespace(CELERYD_CONCURENCY=3))

    app.config_from_object(SimpleNamespace(task_names=["a"], SECRET_KEY="x"))


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"task_time_limit": 5}, "task_time_limit cannot be followed: a task runs on a thread"),
        ({"worker_concurrency": 5}, "gomachinery worker -c"),
        ({"task_serializer": "pickle"}, "task_serializer = 'pickle' cannot be followed"),
        ({"task_acks_late": False}, "always acknowledges after"),
        ({"enable_utc": False}, "times are UTC"),
        ({"task_annotations": [{"t": {}}]}, "task_annotations must be a dict here, not list"),
        ({"beat_schedule": [5]}, "beat_schedule must be a dict here, not list"),
        ({"task_tracks_started": True}, "task_tracks_started has no counterpart"),
        ({"task_routes": {"a": {"queue": "q", "exchange": "e"}}}, "exchange cannot be followed"),
    ],
)
def test_refused_settings(app: Celery, settings: dict[str, Any], why: str) -> None:
    """A setting that cannot be followed is refused by name, and nothing is set."""
    with pytest.raises((ImproperlyConfigured, CeleryDifference), match=re.escape(why)):
        app.conf.update({"task_default_queue": "q", **settings})

    assert app.conf.task_default_queue is None


ROUTES = [
    {"a.*": "glob", "exact": {"queue": "named"}},
    (re.compile("r[0-9]"), {"queue": "pattern"}),
    lambda name, args, kwargs, options, task=None: {"queue": "called"} if args == (7,) else None,  # noqa: ARG005
]


@pytest.mark.parametrize(
    ("name", "args", "queue"),
    [
        ("a.b", (), "glob"),
        ("exact", (), "named"),
        ("r7", (), "pattern"),
        ("z", (7,), "called"),
        ("z", (), "machinery_tasks"),
    ],
)
def test_routes(app: Celery, name: str, args: tuple[Any, ...], queue: str) -> None:
    """Names, globs, patterns and functions; the first that fits decides."""
    app.conf.task_routes = ROUTES
    app.task(name=name)(lambda *args: args)

    assert weave(app.signature(name, args), app._known).roots[0].routing_key == queue


def test_route_is_last(app: Celery) -> None:
    """A send's own queue wins, then that of the task, then its route, whose other options count all the same."""
    app.conf.broker_url = "amqp://localhost:1"
    app.conf.task_routes = {"t*": {"queue": "routed", "priority": 3}}
    own = app.task(name="t.own", queue="own")(lambda: None)
    plain = app.task(name="t.plain")(lambda: None)
    sends = (plain.s(), plain.s().set(queue=None), own.s(), own.s().set(queue="sent", priority=1))
    found = [weave(each, app._known).roots[0] for each in sends]

    assert [(each.routing_key, each.priority) for each in found] == [
        ("routed", 3),
        ("routed", 3),
        ("own", 3),
        ("sent", 1),
    ]


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("redis://:password@h:1/2", "redis://:password@h:1/2"),
        ("redis+socket:///run/redis.sock?virtual_host=2", "redis+socket:///run/redis.sock:/2"),
        ("rediss://h:1/2?ssl_cert_reqs=CERT_REQUIRED", "rediss://h:1/2"),
        ("redis:///", "redis:///"),
        ("pyamqp://guest@localhost//", "amqp://guest@localhost/"),
        ("amqp://localhost", "amqp://guest:guest@localhost/"),
        ("amqp://u:p@h:5672/vhost", "amqp://u:p@h:5672/vhost"),
    ],
)
def test_urls(url: str, found: str) -> None:
    """Celery's URLs as Machinery reads them."""
    assert found == broker_url(url)


@pytest.mark.parametrize(
    ("broker", "backend", "why"),
    [
        ("redis://a;redis://b", URL, "one URL"), ("kafka://h", URL, "no broker for kafka"), ("sqs://", URL, "https://sqs"),
        (URL, "rpc://", "no result store for rpc"), (URL, "db+sqlite:///x", "no result store for db"),
        ("rediss://h?ssl_cert_reqs=none", URL, "ssl_cert_reqs in a rediss"), (URL, "redis://h?db=3", "db in a redis"),
        (None, None, "no broker"),
    ],
)  # fmt: skip
def test_refused_urls(broker: str | None, backend: str | None, why: str) -> None:
    """A service that Machinery has not is named when the server is made."""
    with pytest.raises(ImproperlyConfigured, match=why):
        _ = Celery(broker=broker, backend=backend, set_as_current=False).server


def test_late_settings(app: Celery) -> None:
    """What was read when the server was made cannot change without a word; what describes it can."""
    _ = app.server
    with pytest.raises(ImproperlyConfigured, match="beat_schedule: the app has its server already"):
        app.conf.beat_schedule = {"x": {"task": "t", "schedule": 1.0}}

    assert app.conf.beat_schedule == {}
    app.conf.timezone = "Europe/Berlin"
    app.add_periodic_task(crontab(hour=3), app.task(name="t")(lambda: None).s())
    with pytest.raises(ImproperlyConfigured, match="timezone: the app has its server already"):
        app.conf.timezone = "UTC"
    app.conf.broker_url = "redis://localhost:2"
    assert app.server.config.broker == "redis://localhost:2"


def test_adopted_server() -> None:
    """An app may have a server of your own; that one is configured where it was made."""
    app = Celery("t", set_as_current=False)
    app.task(name="t")(lambda: 5)
    app.adopt(Server("eager", result_backend="eager"))

    assert app.tasks["t"].delay().get(timeout=5) == 5
    with pytest.raises(ImproperlyConfigured, match="given to it"):
        app.conf.result_expires = 5
    with pytest.raises(ImproperlyConfigured, match="has its server already"):
        app.adopt(Server("eager", result_backend="eager"))


def test_annotations(app: Celery) -> None:
    """``task_annotations`` change tasks, and are checked as declarations are."""
    app.task(name="t")(lambda: None)
    app.conf.task_annotations = {"*": {"max_retries": 7}, "t": {"queue": "q"}}

    assert (sent(app).routing_key, app.tasks["t"].max_retries) == ("q", 7)
    other = Celery(broker=URL, set_as_current=False, task_annotations={"t": {"rate_limit": "1/s"}})
    other.task(name="t")(lambda: None)
    with pytest.raises(CeleryDifference, match="rate_limit cannot be followed"):
        _ = other.server


# -- schedules --


@pytest.mark.parametrize(
    ("when", "spec"),
    [
        (30.0, "@every 30s"),
        (timedelta(minutes=5), "@every 300s"),
        (schedule(run_every=60), "@every 60s"),
        (crontab(), "CRON_TZ=UTC * * * * *"),
        (crontab(minute=30, hour="7,19", day_of_week="mon-fri"), "CRON_TZ=UTC 30 7,19 * * mon-fri"),
        (crontab(minute="*/15", day_of_month={1, 15}), "CRON_TZ=UTC */15 * 1,15 * *"),
    ],
    ids=repr,
)
def test_schedules(when: Any, spec: str) -> None:
    """Celery's schedules as Machinery's specs; times are UTC."""
    assert spec == spec_of(when, "UTC")


@pytest.mark.parametrize(
    "when",
    [
        *(0.5, timedelta(0), 1.5, "daily", crontab(day_of_month=1, day_of_week=1), crontab(minute=61)),
        *(crontab(day_of_month="*/2", day_of_week="mon"), crontab(day_of_month=1, day_of_week="*/2")),
        *(crontab(day_of_month="1-31", day_of_week=1), crontab(minute="0 30"), crontab(hour="22-3")),
    ],
    ids=repr,
)
def test_refused_schedules(when: Any) -> None:
    """Those that would run at other times are refused."""
    with pytest.raises((MachineryError, TypeError)):
        spec_of(when, "UTC")


@pytest.mark.parametrize(
    "fields",
    [
        {"day_of_week": "sunday"},
        {"day_of_week": "Monday,wed,friday"},
        {"day_of_week": "mon-fri", "month_of_year": "january-MAR"},
        {"day_of_month": "*/10"},
        {"day_of_month": "*", "day_of_week": "*/2"},
        {"day_of_month": "1-7,*/1", "day_of_week": "*/3"},
        {"month_of_year": "*/5", "day_of_month": {31, 1}},
    ],
    ids=str,
)
def test_days_of_crontabs(fields: dict[str, Any]) -> None:
    """What is not refused runs on the days on which Celery runs it."""
    theirs = CelerysCrontab(minute=0, hour=0, **fields)
    ours = parse(spec_of(crontab(minute=0, hour=0, **fields), "UTC"))
    days = [datetime(2031, 1, 1, tzinfo=UTC) + timedelta(days=number) for number in range(365)]
    fit = [
        day
        for day in days
        if day.day in theirs.day_of_month
        and day.month in theirs.month_of_year
        and day.isoweekday() % 7 in theirs.day_of_week
    ]

    assert fit == [day for day in days if ours.next(day - timedelta(seconds=1)) == day]


def test_beat_schedule(app: Celery) -> None:
    """Entries and ``add_periodic_task`` become Machinery's periodic tasks."""
    task = app.task(name="t")(lambda *args: args)
    app.conf.timezone = "Europe/Berlin"
    app.conf.beat_schedule = {
        "nightly": {"task": "t", "schedule": crontab(hour=3), "args": (1,), "options": {"queue": "q"}}
    }

    @app.on_after_configure.connect
    def set_up(sender: Celery, **_: Any) -> None:
        sender.add_periodic_task(10.0, task.s(2), name="often")

    found = [(each.name, each.spec) for each in app.server.periodic_tasks]

    assert found == [("often", "@every 10s"), ("nightly", "CRON_TZ=Europe/Berlin * 3 * * *")]


def test_refused_periodic_tasks(app: Celery) -> None:
    """What would be the same at each tick is refused, wherever it comes from, and so is more than one message."""
    task = app.task(name="t")(lambda *args: args)
    app.task(name="old", expires=60)(lambda: None)
    app.conf.task_routes = {"routed": {"expires": 60}}
    app.task(name="routed")(lambda: None)
    _ = app.server
    refused: list[tuple[Any, str]] = [
        (task.s().set(countdown=5), "countdown would be the same"),
        (task.s() | task.s().set(task_id="x"), "task_id would be the same"),
        (app.signature("old"), "time that task old, or its route, gives it"),
        (app.signature("routed"), "time that task routed, or its route, gives it"),
        (task.s().on_error(task.s()), "link_error is told the id"),
        (group(task.s(), task.s()), "begins with a group"),
        (chord([task.s()], task.s()), "begins with a group"),
    ]
    for canvas, why in refused:
        with pytest.raises((ImproperlyConfigured, CeleryDifference), match=why):
            app.add_periodic_task(10.0, canvas)

    assert app.server.periodic_tasks == []


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ({"task": "t", "schedule": 1.0, "relative": True}, "relative cannot be followed"),
        ({"task": "t", "schedule": 1.0, "options": {"expires": 15}}, "expires would be the same"),
        ({"task": "t"}, "'x': it has no schedule"),
        ({"schedule": 1.0}, "'x': it has no task"),
        (5, "'x': it is a dict with task and schedule, not 5"),
        ({"task": "t", "schedule": None}, "'x': a schedule is seconds"),
        ({"task": "t", "schedule": crontab(minute=61)}, "'x': cron spec"),
        ({"task": "t", "schedule": 1.0, "args": 3}, "'x': 'int' object is not iterable"),
        ({"task": "t", "schedule": 1.0, "kwargs": {"no": 1}}, "'x': t.. got an unexpected keyword"),
        ({"task": "t", "schedule": 1.0, "options": {"time_limit": 1}}, "'x': task t: time_limit cannot be followed"),
    ],
)
def test_refused_entries(app: Celery, entry: Any, why: str) -> None:
    """What is wrong with an entry of ``beat_schedule`` is said with its name."""
    app.task(name="t")(lambda *args: args)
    app.conf.beat_schedule = {"x": entry}
    with pytest.raises(ImproperlyConfigured, match=why):
        _ = app.server


def test_periodic_canvases() -> None:
    """Each tick of a chain, and of a task with a link, has UUIDs of its own."""
    app = Celery("t", set_as_current=False, task_always_eager=True)
    seen: list[str] = []

    @app.task(name="seen", bind=True)
    def note(self: Any, *_: Any) -> None:
        seen.append(self.request.id)

    app.add_periodic_task(10.0, chain(note.s().set(link=note.s()), note.s()))
    [periodic] = app.server.periodic_tasks
    for _ in range(2):
        run(periodic.send())

    assert (len(seen), len(set(seen)), "" in seen) == (6, 6, False)
