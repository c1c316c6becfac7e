"""docs/compatibility.md, from what a run of the conformance suite did: ``pytest --compatibility-table=FILE``.

A cell is made of every test of a case on a subject. The page is written by a run without failures only, and only when
each subject ran each case; what knowingly differs is added from fixtures/known-divergence.txt.
"""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

import pytest
from harness.conformance import SUBJECTS, Subject

__all__ = ["DIVERGENCE", "PAGE", "CompatibilityTable", "render"]

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "compatibility.md"
DIVERGENCE = ROOT / "fixtures" / "known-divergence.txt"
CASES = {
    "test_each_type": "every type, at its limits",
    "test_failures": "errors and panics",
    "test_waiting": "ETA, retries",
    "test_workflows": "chain, group, chord",
    "test_callbacks_and_headers": "callbacks, headers",
    "test_machinerys_own_checks": "Machinery's own checks",
    "test_chords_fire_once": "chords fire once",
    "test_command_line": "command line",
}
SERVICES = {
    "amqp": "RabbitMQ",
    "dynamodb": "DynamoDB",
    "memcache": "memcached",
    "mongodb": "MongoDB",
    "pubsub": "Pub/Sub",
    "redis": "Redis",
    "sqs": "SQS",
}
ARROWS = {"python": "Python", "v1": "Go v1", "v2": "Go v2"}
HEAD = """# Compatibility

<!-- Written by scripts/regenerate-compatibility from a run of compat-tests/test_conformance.py. -->

Each line is a broker and a result store that ran against live Go Machinery v1.10.8 and v2.0.16, and a server that
speaks the service's protocol. A cell is the number of tests that passed; none failed, or this page would not have been
written; – is for what needs Go to read results that it cannot read. `scripts/regenerate-compatibility` repeats the run.
"""
FOOT = "All places where we do not do what Go does are in [deviations](decisions/deviations.md).\n"
Outcomes = dict[str, dict[str, int]]


def render(outcomes: Outcomes) -> str:
    """The page for these numbers of passed tests, by subject and by case."""
    lines = [HEAD, _row("broker", "results", *CASES.values()), _row(*["---"] * (2 + len(CASES)))]
    for subject in SUBJECTS:
        cells = [f"✓ {outcomes[str(subject)][case]}" if _runs(subject, case) else "–" for case in CASES]
        lines.append(_row(SERVICES[subject.broker], SERVICES[subject.store], *cells))
    lines += ["", "## Who talks to whom", "", _row("broker", "results", "producer → worker"), _row(*["---"] * 3)]
    for subject in SUBJECTS:
        pairs = ", ".join(f"{ARROWS[producer]} → {ARROWS[worker]}" for producer, worker in subject.pairs)
        lines.append(_row(SERVICES[subject.broker], SERVICES[subject.store], pairs))
    lines += ["", "## Known differences", "", _row("", ""), _row("---", "---")]
    lines += [_row(f"`{name}`", _linked(reason)) for name, reason in _divergences()]
    return "\n".join(
        [*lines, "", "All places where we do not do what Go does: [deviations](decisions/deviations.md).", ""]
    )


def _runs(subject: Subject, case: str) -> bool:
    """Whether a subject has this case: Machinery's own checks read results with Go."""
    return case != "test_machinerys_own_checks" or len(subject.pairs) > 1


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _divergences() -> list[tuple[str, str]]:
    lines = DIVERGENCE.read_text(encoding="utf-8").splitlines()
    named = [line.split(maxsplit=1) for line in lines if line and not line.startswith("#")]
    return [(name, reason.strip()) for name, reason in named]


def _linked(reason: str) -> str:
    return re.sub(r"docs/(decisions/([\w-]+)\.md)", r"[\2](\1)", reason)


class CompatibilityTable:
    """A pytest plugin that counts outcomes; with xdist it lives where the reports arrive."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._passed: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        self._bad: list[str] = []
        self._said = ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count a test."""
        found = re.search(r"test_conformance\.py::(\w+)\[(.*?)\]", report.nodeid)
        if found is None:
            return
        if report.outcome != "passed":
            self._bad.append(f"{report.nodeid} {report.outcome}")
        elif report.when == "call":
            subjects = [str(each) for each in SUBJECTS if re.search(rf"(^|-){each}(-|@|$)", found[2])]
            for subject in subjects[:1]:
                self._passed[subject][found[1]] += 1

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write the page, or say why not and fail."""
        every = [(str(each), case) for each in SUBJECTS for case in CASES if _runs(each, case)]
        missing = [f"{subject}: {case}" for subject, case in every if not self._passed[subject][case]]
        if self._bad or missing:
            self._said = f"{self._file} is not written; bad: {self._bad}, not run: {missing}"
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        else:
            self._file.write_text(render(self._passed), encoding="utf-8")
            self._said = f"{self._file} written"

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say what became of it."""
        terminalreporter.write_line(self._said)
