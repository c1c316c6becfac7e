"""The fenced blocks of README.md and docs/, and how each kind of them is tried."""

from __future__ import annotations

import ast
import asyncio
import builtins
import inspect
import re
import sys
import textwrap
import tokenize
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from types import ModuleType
from typing import Any

import gomachinery_py
from gomachinery_py import Server, errors
from gomachinery_py.compat.celery import exceptions as celery_errors
from gomachinery_py.demo.app import server as other_side
from gomachinery_py.observing import Observer, Workflow
from gomachinery_py.testing import reconfigured
from gomachinery_py.wire.model import Signature

ROOT = Path(__file__).resolve().parents[1]
REDIS = "redis://localhost:6379"
PROMISED_ERROR = re.compile(r"([A-Z]\w+)(?:: (.*))?$")


@dataclass(frozen=True)
class Block:
    """A fenced block: its page, the line of its fence, what is behind the fence, and its text."""

    page: str
    line: int
    info: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def pages() -> list[Path]:
    """README.md and every page."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks() -> list[Block]:
    """Every fenced block of every page, those in lists and notes too."""
    return [block for page in pages() for block in _blocks_of(page)]


def _blocks_of(page: Path) -> Iterator[Block]:
    name = str(page.relative_to(ROOT))
    fence, info, begun, body = "", "", 0, list[str]()
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1):
        found = re.match(r"\s*(`{3,}|~{3,})(.*)$", line)
        if not fence and found:
            fence, info, begun, body = found[1], found[2].strip(), number, []
        elif fence and line.strip() == fence:
            yield Block(name, begun, info, textwrap.dedent("\n".join(body)) + "\n")
            fence = ""
        elif fence:
            body.append(line)
    assert fence == "", f"{name}:{begun}: the fence is not closed"


# -- Python --


class _Works(Observer):
    """Starts a worker of a server when it sends for the first time: handlers are set by then."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self.server: Server | None = None

    @contextmanager
    def sending(self, workflow: Workflow, signatures: Sequence[Signature], queue: str) -> Iterator[None]:  # noqa: ARG002
        if self.server is not None:
            server, self.server = self.server, None
            routed = [task.defaults.routing_key for task in server.tasks.values() if not task.remote]
            queues = {server.config.default_queue, *filter(None, routed)}
            self._stack.enter_context(server.worker("docs", 4, sorted(queues)))
        yield


class Page:
    """The namespace that the Python blocks of a page share.

    Redis is an embedded one at ``url``. Each server that a block makes on it has a worker, and what a block declares
    as remote is served beside it by the demo's tasks. Statement by statement: one with ``await`` runs in an event
    loop, and a comment behind an expression states its value, or the error that it raises, where it is one.
    """

    def __init__(self, url: str, stack: ExitStack) -> None:
        # Decorators look up the module of what they decorate.
        module = ModuleType("__page__")
        sys.modules["__page__"] = module
        stack.callback(sys.modules.pop, "__page__")
        self.names: dict[str, Any] = vars(module)
        self._url = url
        self._stack = stack
        self._runner = stack.enter_context(asyncio.Runner())
        stack.enter_context(reconfigured(other_side, broker=url, result_backend=url))
        self._other_side_works = False
        #: How many comments were compared.
        self.compared = 0

    def served(self) -> type[Server]:
        """What the name ``Server`` is for a page."""
        page = self

        class Served(Server):
            def __init__(self, *args: Any, observers: Sequence[Observer] = (), **settings: Any) -> None:
                works = _Works(page._stack)
                super().__init__(*args, observers=[*observers, works], **settings)
                page._stack.callback(lambda: page._runner.run(self.aclose()))
                if self.config.broker == page._url:
                    works.server = self
                    page._start_other_side()

        Served.__name__ = Served.__qualname__ = "Server"
        return Served

    def _start_other_side(self) -> None:
        if not self._other_side_works:
            self._other_side_works = True
            self._stack.enter_context(other_side.worker("other", 2))

    def run(self, block: Block) -> None:
        """Run a block; an assertion names its line."""
        text = block.text.replace(REDIS, self._url)
        comments = _comments(text)
        for statement in ast.parse(text).body:
            where = f"{block.page}:{block.line + statement.lineno}"
            comment = comments.get(statement.end_lineno or 0, "")
            if isinstance(statement, ast.Expr):
                self._evaluate(statement.value, comment, where)
            else:
                self._call(ast.Module([statement], []), "exec", where)

    def _evaluate(self, expression: ast.expr, comment: str, where: str) -> None:
        promised = PROMISED_ERROR.match(comment)
        if promised and _is_error(promised[1]):
            self.compared += 1
            raised = self._raised(ast.Expression(expression), where)
            assert raised is not None, f"{where}: did not raise {promised[1]}"
            assert promised[1] in [kind.__name__ for kind in type(raised).__mro__], f"{where}: raised {raised!r}"
            assert (promised[2] or "") in str(raised), f"{where}: raised {raised}"
            return
        value = self._call(ast.Expression(expression), "eval", where)
        try:
            stated = ast.literal_eval(comment)
        except (SyntaxError, ValueError):
            return
        self.compared += 1
        assert stated == value, f"{where}: is {value!r}"

    def _raised(self, tree: ast.Expression, where: str) -> Exception | None:
        try:
            self._call(tree, "eval", where)
        except Exception as error:
            return error
        return None

    def _call(self, tree: Any, mode: str, where: str) -> Any:
        code = compile(ast.fix_missing_locations(tree), where, mode, flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        if code.co_flags & inspect.CO_COROUTINE:

            async def awaited() -> Any:
                return await eval(code, self.names)

            return self._runner.run(awaited())
        return eval(code, self.names)


def _is_error(name: str) -> bool:
    return any(isinstance(getattr(home, name, None), type) for home in (errors, builtins, celery_errors))


@contextmanager
def page_of(url: str) -> Iterator[Page]:
    """A page whose blocks find its own ``Server`` under ``gomachinery_py``."""
    before = gomachinery_py.Server
    with ExitStack() as stack:
        page = Page(url, stack)
        setattr(gomachinery_py, "Server", page.served())  # noqa: B010
        try:
            yield page
        finally:
            setattr(gomachinery_py, "Server", before)  # noqa: B010


def _comments(text: str) -> dict[int, str]:
    tokens = tokenize.generate_tokens(StringIO(text).readline)
    return {token.start[0]: token.string.lstrip("# ") for token in tokens if token.type == tokenize.COMMENT}
