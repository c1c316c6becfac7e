"""``task_routes`` sends tasks where Celery's own routers send them."""

from __future__ import annotations

import re
import sys
from types import ModuleType
from typing import Any

import pytest
from celery.app.routes import Router, prepare

from gomachinery_py.compat.celery.exceptions import CeleryDifference, ImproperlyConfigured
from gomachinery_py.compat.celery.routing import check_routes, route

NAMES = ("a.b", "a.b.c", "a.", "exact", "exact.not", "r7", "x?y", "xzy", "never")


class OldRouter:
    """As before Celery 4."""

    def route_for_task(self, name: str, args: Any = None, kwargs: Any = None) -> Any:
        return {"queue": "old"} if name == "r7" and not args and not kwargs else None


def called(name: str, args: Any, kwargs: Any, options: Any, task: Any = None, **_: Any) -> Any:
    return f"{name} {args} {kwargs} {options} {task}" if name == "exact" else None


@pytest.fixture(autouse=True)
def module(monkeypatch: pytest.MonkeyPatch) -> None:
    """Routers that can be imported."""
    module = ModuleType("routers_of_a_test")
    vars(module).update(called=called, OldRouter=OldRouter)
    monkeypatch.setitem(sys.modules, module.__name__, module)


@pytest.mark.parametrize(
    "routes",
    [
        None,
        {"a.*": "glob", "a.b": "exact", "*": "rest"},
        {"a.*": {"queue": "glob"}, re.compile("r[0-9]"): {"queue": "pattern"}, "x?y": "exact"},
        [{"exact": "first"}, {"*": "second"}],
        ([("a.*", {"queue": "glob"}), (re.compile("e.*t$"), {"queue": "pattern"}), ("a.b", {"queue": "exact"})],),
        called,
        (called, {"exact": "later", "r*": "later"}),
        "routers_of_a_test.called",
        ("routers_of_a_test:OldRouter", OldRouter(), {"*": "rest"}),
    ],
    ids=["none", "exact", "pattern", "dicts", "pairs", "function", "several", "name", "objects"],
)
def test_as_celery(routes: Any) -> None:
    """Dicts, lists of pairs, patterns, functions, objects and names of these: the same queue for every task."""
    theirs = Router(prepare(routes))
    expected = {name: theirs.lookup_route(name, (), {}, {}, None) for name in NAMES}
    check_routes(routes)

    for name, found in expected.items():
        options = {"queue": found} if isinstance(found, str) else found
        assert (options or {}) == route(routes, name, (), {}, {}, None), name


@pytest.mark.parametrize(
    ("routes", "why"),
    [
        ({"a": {"exchange": "e"}}, "exchange cannot be followed"),
        ([[("a*", {"exchange": "e"})]], "exchange cannot be followed"),
        ({"a": 5}, "5 is no queue"),
        (5, "5 is no dict"),
        ([("a", "b", "c")], "is no dict, no list of pairs"),
    ],
)
def test_refused_routes(routes: Any, why: str) -> None:
    """What is written down is refused at once."""
    with pytest.raises((CeleryDifference, ImproperlyConfigured), match=why):
        check_routes(routes)


@pytest.mark.parametrize("path", ["nothing", "no_such_module_of_routers.x", "routers_of_a_test.nothing"])
def test_missing_routers(path: str) -> None:
    """A router that is not there is named when it is asked."""
    with pytest.raises(ImproperlyConfigured, match=f"there is no router '{path}'"):
        route((path,), "a", (), {}, {}, None)
