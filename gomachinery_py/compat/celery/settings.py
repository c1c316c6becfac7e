"""``app.conf``: Celery's settings, each followed or refused with the reason; none is ignored."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from gomachinery_py.compat.celery.exceptions import ImproperlyConfigured
from gomachinery_py.compat.celery.routing import check_routes
from gomachinery_py.compat.celery.setting_names import is_setting, new_name
from gomachinery_py.config import Config
from gomachinery_py.secret import SecretURL

__all__ = ["Settings", "broker_url", "configuration"]

# Followed, with Celery's defaults where they differ from "nothing".
_FOLLOWED: Final[dict[str, Any]] = {
    "broker_url": None,
    "result_backend": None,
    "result_expires": 86400,
    "task_default_queue": None,
    "task_routes": None,
    "task_always_eager": False,
    "task_eager_propagates": False,
    "task_annotations": None,
    "timezone": None,
    "beat_schedule": {},
    "include": (),
    "imports": (),
}

_DICTS: Final = frozenset({"beat_schedule", "task_annotations"})
# One name by itself is one, too.
_MODULES: Final = frozenset({"include", "imports"})

# A setting that says what happens anyway may be set to that.
_ONLY: Final[dict[str, tuple[tuple[Any, ...], str]]] = {
    "enable_utc": ((True,), "times are UTC unless timezone says otherwise"),
    "task_serializer": (("json",), "arguments travel as Machinery writes them"),
    "result_serializer": (("json",), "results are stored as Machinery writes them"),
    "event_serializer": (("json",), "there are no worker events"),
    "accept_content": ((["json"], ("json",), {"json"}, ["application/json"]), "only JSON is ever read"),
    "task_acks_late": ((True,), "a worker here always acknowledges after the task has run"),
    "task_reject_on_worker_lost": ((True,), "what a killed worker held always goes back to the queue"),
    "task_track_started": ((True,), "STARTED is always stored"),
    "task_protocol": ((2,), "messages are Machinery's"),
    "task_create_missing_queues": ((True,), "a queue is there once something is sent to it"),
    "broker_connection_retry_on_startup": ((True,), "a worker always waits for its broker"),
    "broker_connection_retry": ((True,), "a worker always waits for its broker"),
    "worker_hijack_root_logger": ((False,), "logging is left alone"),
    "worker_send_task_events": ((False,), "there are no worker events"),
    "task_send_sent_event": ((False,), "there are no worker events"),
    "result_persistent": ((True,), "results are kept as the store keeps them"),
    "task_store_errors_even_if_ignored": ((True,), "states and errors are always stored"),
}

_REFUSED: Final[dict[str, str]] = {
    "worker_concurrency": "say it to the worker: gomachinery worker -c",
    "worker_prefetch_multiplier": "say it to the worker: gomachinery worker --prefetch",
    "worker_pool": "plain tasks run on threads; --processes gives more processes",
    "worker_max_tasks_per_child": "a worker does not restart itself",
    "worker_max_memory_per_child": "a worker does not restart itself",
    "task_time_limit": "a task runs on a thread, which nobody can end; declare tasks with soft_time_limit=",
    "task_soft_time_limit": "say soft_time_limit= where tasks are declared",
    "task_queues": "say the queues to the worker: gomachinery worker -q, once for each",
    "task_default_priority": "only RabbitMQ orders by priority; say it where tasks are declared",
    "task_ignore_result": "say ignore_result=True where tasks are declared",
    "broker_transport_options": "the URL and Machinery's own settings say it: gomachinery worker --config",
    "result_backend_transport_options": "the URL and Machinery's own settings say it: gomachinery worker --config",
    "broker_use_ssl": "write rediss:// or amqps:// in the URL",
    "redis_backend_use_ssl": "write rediss:// in the URL",
    "task_default_exchange": "on RabbitMQ the exchange is Machinery's amqp.exchange",
    "task_default_routing_key": "in Machinery the routing key is the queue: task_default_queue",
    "result_extended": "Machinery stores the name of a task, not its arguments",
    "task_remote_tracebacks": "Machinery stores an error's text",
    "beat_scheduler": "gomachinery beat is the scheduler, Machinery's lock makes it one",
}


class Settings:
    """Settings by attribute, by key, or many at once; ``changed`` is told their names after each."""

    def __init__(self, changed: Callable[[Collection[str]], None]) -> None:
        object.__setattr__(self, "_values", dict(_FOLLOWED, beat_schedule={}))
        object.__setattr__(self, "_changed", changed)

    _values: dict[str, Any]
    _changed: Callable[[Collection[str]], None]

    def __getattr__(self, name: str) -> Any:
        # A copy that is being made has no values yet.
        if name.startswith("_") or name not in self._values:
            raise AttributeError(f"setting {name} was not set, and has no default here")
        return self._values[name]

    def __setattr__(self, name: str, value: Any) -> None:
        self.update({name: value})

    __setitem__ = __setattr__

    def __getitem__(self, name: str) -> Any:
        if name not in self._values:
            raise KeyError(f"setting {name} was not set, and has no default here")
        return self._values[name]

    def keys(self) -> Collection[str]:
        """The names of all settings, so that ``dict(app.conf)`` has them."""
        return self._values.keys()

    def __contains__(self, name: object) -> bool:
        return name in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def get(self, name: str, default: Any = None) -> Any:
        """A setting, or ``default``."""
        return self._values.get(name, default)

    def update(self, settings: Mapping[str, Any] | None = None, **more: Any) -> None:
        """Set several. Raises ImproperlyConfigured for one that Machinery cannot follow; none is set then."""
        given = {new_name(name): value for name, value in {**(settings or {}), **more}.items()}
        for name in _MODULES & given.keys():
            if isinstance(given[name], str):
                given[name] = (given[name],)
        for name, value in given.items():
            _check(name, value)
        if "task_routes" in given:
            check_routes(given["task_routes"])
        before = dict(self._values)
        self._values.update(given)
        try:
            self._changed(given)
        except Exception:
            self._values.clear()
            self._values.update(before)
            raise

    def update_from_object(self, found: Any, namespace: str = "") -> None:
        """Set what a module, a class, an object or a dict has: names in lower case, or with ``namespace`` in front.

        Celery reads only upper-case names then: ``CELERY_TASK_ROUTES``. Without a namespace those names of an object
        are left alone that are no setting of Celery's.
        """
        is_mapping = isinstance(found, Mapping)
        given = {}
        for name in list(found) if is_mapping else dir(found):
            setting = name
            if namespace:
                setting = name.removeprefix(f"{namespace}_").lower()
                is_meant = name.startswith(f"{namespace}_")
            else:
                is_meant = is_mapping or is_setting(name)
            if is_meant:
                given[setting] = found[name] if is_mapping else getattr(found, name)
        self.update(given)


def _check(name: str, value: Any) -> None:
    if name in _FOLLOWED:
        if name in _DICTS and value is not None and not isinstance(value, Mapping):
            raise ImproperlyConfigured(f"{name} must be a dict here, not {type(value).__name__}")
        return
    if name in _ONLY:
        allowed, why = _ONLY[name]
        if value not in allowed:
            raise ImproperlyConfigured(f"{name} = {value!r} cannot be followed: {why}")
        return
    if name in _REFUSED:
        raise ImproperlyConfigured(f"{name} cannot be followed: {_REFUSED[name]}")
    raise ImproperlyConfigured(
        f"{name} has no counterpart in Machinery, so it cannot be followed; remove it. Followed are "
        f"{', '.join(sorted(_FOLLOWED))}"
    )


# -- Machinery's configuration --


def configuration(settings: Settings) -> Config:
    """Machinery's configuration. Raises ImproperlyConfigured for a URL that it has no service for."""
    if settings.task_always_eager:
        return Config.of(broker="eager", result_backend="eager", default_queue=settings.task_default_queue)
    if not settings.broker_url:
        raise ImproperlyConfigured("no broker is given: Celery('tasks', broker='redis://…'), or app.conf.broker_url")
    expires = settings.result_expires
    seconds = 86400 if expires is None else int(getattr(expires, "total_seconds", lambda: expires)())
    return Config.of(
        broker=broker_url(settings.broker_url),
        result_backend=_backend(settings.result_backend),
        default_queue=settings.task_default_queue,
        results_expire_in=seconds,
    )


def broker_url(url: Any) -> str:
    """Celery's URL of a broker as Machinery reads it. Raises ImproperlyConfigured."""
    if not isinstance(url, str) or ";" in url:
        raise ImproperlyConfigured(
            "broker_url must be one URL; for several RabbitMQ servers use Machinery's multiple_broker_separator"
        )
    scheme = url.partition("://")[0]
    if scheme in ("pyamqp", "librabbitmq"):
        url, scheme = f"amqp{url[len(scheme) :]}", "amqp"
    if scheme == "sqs":
        raise ImproperlyConfigured(
            "write the URL of the account as Machinery does: https://sqs.eu-west-1.amazonaws.com/…"
        )
    if scheme == "sentinel":
        raise ImproperlyConfigured(
            "write the sentinels as Machinery does: redis://h1:p,h2:p, and master_name in --config"
        )
    if scheme not in ("redis", "rediss", "amqp", "amqps", "redis+socket", "https", "gcppubsub"):
        raise ImproperlyConfigured(f"Machinery has no broker for {scheme}:// URLs")
    return _amqp(url) if scheme in ("amqp", "amqps") else _redis(url) if scheme.startswith("redis") else url


def _redis(url: str) -> str:
    """Without Celery's query: the database of a socket has its place in Machinery's URL, certificates are checked."""
    base, _, query = url.partition("?")
    scheme = base.partition("://")[0]
    for name, value in parse_qsl(query, keep_blank_values=True):
        if (name, scheme) == ("virtual_host", "redis+socket"):
            base += f":/{value}"
        elif (name, scheme) != ("ssl_cert_reqs", "rediss") or value.lower() not in ("required", "cert_required"):
            raise ImproperlyConfigured(
                f"{name} in a {scheme}:// URL cannot be followed: certificates of rediss:// are always checked, and "
                "the rest is said by Machinery's own settings: gomachinery worker --config"
            )
    return base


def _amqp(url: str) -> str:
    """Celery's default user is guest, and ``//`` the virtual host ``/``."""
    parts = urlsplit(url)
    credentials = "" if parts.username else "guest:guest@"
    path = "/" if parts.path in ("", "/", "//") else parts.path
    return parts._replace(netloc=credentials + parts.netloc, path=path).geturl()


def _backend(url: Any) -> str:
    if not url or url == "disabled":
        return SecretURL("null")
    scheme = str(url).partition("://")[0]
    if scheme == "cache+memcached":
        return "memcache://" + str(url).partition("://")[2].rstrip("/").replace(";", ",")
    if scheme in ("redis", "rediss", "redis+socket", "memcache", "mongodb", "mongodb+srv", "https", "amqp", "amqps"):
        url = str(url)
        return _amqp(url) if scheme in ("amqp", "amqps") else _redis(url) if scheme.startswith("redis") else url
    raise ImproperlyConfigured(f"Machinery has no result store for {scheme}:// URLs; results may be kept on Redis")
