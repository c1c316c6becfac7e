"""Asks robfig/cron, as ``go-harness/cmd/cron`` runs it, how it reads and follows cron specs."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from gobuild import binary

__all__ = ["CASES", "GOLDEN", "ask", "render"]

FIXTURES = Path(__file__).resolve().parent.parent.parent / "fixtures"
CASES = FIXTURES / "cases" / "cron.json"
GOLDEN = FIXTURES / "golden" / "cron.json"


def ask(requests: Iterable[Mapping[str, str]], *, tz: str | None = None) -> list[dict[str, Any]]:
    """Go's answers to ``{"spec", "start", "zone"}``; ``tz`` is the TZ of the Go process, which "Local" follows."""
    environment = {name: value for name, value in os.environ.items() if name != "TZ"}
    run = subprocess.run(
        [binary("cron")],
        input="".join(json.dumps(request) + "\n" for request in requests),
        env=environment if tz is None else {**environment, "TZ": tz},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return [json.loads(line) for line in run.stdout.splitlines()]


def render() -> str:
    """The text of the golden file: each case with Go's answer."""
    cases = json.loads(CASES.read_text(encoding="utf-8"))
    answered = [{**case, "go": answer} for case, answer in zip(cases, ask(cases), strict=True)]
    return "[\n" + ",\n".join("  " + json.dumps(case, ensure_ascii=False) for case in answered) + "\n]\n"
