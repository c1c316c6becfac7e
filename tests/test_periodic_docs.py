"""The program of docs/periodic-tasks.md."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from gomachinery_py.effects import run
from gomachinery_py.scheduler import tick

PAGE = Path(__file__).resolve().parent.parent / "docs" / "periodic-tasks.md"


def test_the_program_on_the_page_sends(embedded_url: str) -> None:
    """It runs as it stands, and each of its periodic tasks can be sent."""
    (program,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, Any] = {}
    exec(program.replace("redis://localhost:6379", embedded_url), names)
    with names["server"] as server:
        sent = [run(tick(task, server.lock, "docs", server.clock)) for task in server.periodic_tasks]
    assert [True] * 5 == sent
