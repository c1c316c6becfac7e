"""``task_routes``: where a task goes when neither the send nor the task says it.

Celery: ``celery/app/routes.py`` (``MapRoute``, ``prepare``, ``query_router``).
"""

from __future__ import annotations

import fnmatch
import importlib
import re
from collections.abc import Iterable, Mapping
from typing import Any

from gomachinery_py.compat.celery.exceptions import ImproperlyConfigured
from gomachinery_py.compat.celery.options import check_send

__all__ = ["check_routes", "route"]


def check_routes(routes: Any) -> None:
    """Raise CeleryDifference or ImproperlyConfigured for what would not be followed, as far as it is written down."""
    for router in _routers(routes):
        if not (isinstance(router, str) or _is_called(router)):
            for _, target in _rules(router):
                _options("task_routes", target)


def route(routes: Any, name: str, args: Any, kwargs: Any, options: Mapping[str, Any], task: Any) -> dict[str, Any]:
    """The options of the first router that has any for a task, ``queue`` the usual one.

    Raises CeleryDifference for an option that would not be followed, and what importing or calling a router raises.
    """
    for router in _routers(routes):
        if isinstance(router, str):
            router = _imported(router)
        if hasattr(router, "route_for_task"):
            found = router.route_for_task(name, args, kwargs)
        elif callable(router):
            found = router(name, args, kwargs, dict(options), task=task)
        else:
            found = _chosen(router, name)
        if found is not None:
            return _options(f"{name} (task_routes)", found)
    return {}


def _routers(routes: Any) -> Iterable[Any]:
    if not routes:
        return ()
    return routes if isinstance(routes, list | tuple) else (routes,)


def _is_called(router: Any) -> bool:
    return callable(router) or hasattr(router, "route_for_task")


def _imported(path: str) -> Any:
    """A router by its ``package.module.name``, or ``package.module:name``."""
    module, _, name = path.rpartition(":" if ":" in path else ".")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ImproperlyConfigured(f"task_routes: there is no router {path!r}: {error}") from error
    return found() if hasattr(found, "route_for_task") else found


def _rules(router: Any) -> Iterable[tuple[Any, Any]]:
    """Patterns and targets of a dict, of a list of pairs, or of a pair by itself."""
    if isinstance(router, Mapping):
        return router.items()
    if isinstance(router, list | tuple):
        if len(router) == 2 and isinstance(router[0], str | re.Pattern):
            return [(router[0], router[1])]
        if all(isinstance(rule, list | tuple) and len(rule) == 2 for rule in router):
            return router
    raise ImproperlyConfigured(f"task_routes: {router!r} is no dict, no list of pairs, no function and no name of one")


def _chosen(router: Any, name: str) -> Any:
    """A name by itself comes before all patterns, wherever it stands."""
    rules = list(_rules(router))
    for pattern, target in rules:
        if pattern == name:
            return target
    for pattern, target in rules:
        if isinstance(pattern, str) and "*" in pattern:
            pattern = re.compile(fnmatch.translate(pattern))
        if isinstance(pattern, re.Pattern) and pattern.match(name):
            return target
    return None


def _options(where: str, target: Any) -> dict[str, Any]:
    if not isinstance(target, str | Mapping):
        raise ImproperlyConfigured(f"{where}: {target!r} is no queue and no dict of options")
    options = {"queue": target} if isinstance(target, str) else dict(target)
    check_send(where, options)
    return options
