"""The guides of docs/guides, from the first line to the last: their files, their commands, live Go, a real Redis.

The shell blocks of a page are one script in a fresh directory with the files of the page. A comment behind a command is
what it prints, lines joined by `` | ``. Go programs are built as they stand; ``go run`` runs what was built.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from gobuild import BUILD_SECONDS, HARNESS, go
from harness.process import wait_until
from harness.rabbitmq_server import RabbitServer
from harness.redis_server import RedisServer

from gomachinery_py import Server, Signature

GUIDES = sorted((Path(__file__).resolve().parent.parent / "docs" / "guides").glob("*.md"))
URL = "redis://localhost:6379"
GUIDE_SECONDS = 280.0
BLOCK = re.compile(r"^```(python|go|sh)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)

# "said" compares; whatever still runs is ended with the script.
HEAD = r"""
set -eum
end() { code=$?; trap - EXIT; for job in $(jobs -p); do kill -9 -- "-$job" 2>/dev/null || true; done; exit "$code"; }
trap end EXIT
said() {
    local found; found=$(cat); found=${found//$'\n'/ | }
    [ "$found" = "$1" ] || { echo "line $2 printed: $found" >&2; exit 1; }
}
"""


def script(text: str) -> str:
    """The commands of a page, each with its comparison."""
    lines = [HEAD]
    for number, line in enumerate(text.splitlines(), start=1):
        command, _, printed = line.partition("  # ")
        command = re.sub(r"\bgo run (\w+)\.go", r"./\1.bin", command)
        if command.startswith("kill "):
            job = command.split()[1]
            command = f"{command}; wait {job} || true"
        lines.append(f"set -o pipefail; {command} | said {shlex.quote(printed)} {number}" if printed else command)
    return "\n".join(lines) + "\n"


@pytest.mark.timeout(GUIDE_SECONDS + 60)
@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.stem)
def test_guide(page: Path, redis_server: RedisServer, tmp_path: Path) -> None:
    """Every command of the guide does what the guide says."""
    shell, programs = "", []
    for kind, name, text in BLOCK.findall(page.read_text(encoding="utf-8")):
        text = text.replace(URL, redis_server.url())
        if kind == "sh":
            shell += text
        else:
            (tmp_path / name).write_text(text, encoding="utf-8")
            if kind == "go":
                programs.append(name)
    for name in programs:
        target = tmp_path / Path(name).with_suffix(".bin")
        build = [go(), "build", "-o", str(target), str(tmp_path / name)]
        environment = {**os.environ, "CGO_ENABLED": "0"}
        built = subprocess.run(
            build, cwd=HARNESS, env=environment, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False
        )
        assert built.returncode == 0, built.stderr
    for name, command in {"gomachinery": "-m gomachinery_py", "celery": "-m celery", "python": ""}.items():
        (tmp_path / name).write_text(f'#!/bin/sh\nexec {sys.executable} {command} "$@"\n', encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "guide.sh").write_text(script(shell), encoding="utf-8")

    environment = {name: value for name, value in os.environ.items() if name not in ("BROKER", "RESULT_BACKEND")}
    environment["PATH"] = f"{tmp_path}{os.pathsep}{environment['PATH']}"
    environment["PYTHONPATH"] = str(HARNESS.parent)
    with (tmp_path / "log").open("w+", encoding="utf-8") as log:
        done = subprocess.run(
            ["bash", "guide.sh"],
            cwd=tmp_path,
            env=environment,
            stdout=log,
            stderr=log,
            timeout=GUIDE_SECONDS,
            check=False,
        )
        log.seek(0)
        assert done.returncode == 0, log.read()[-4000:]


def test_celery_example_changes_imports_only() -> None:
    """What turns the guide's Celery program into ours is one substitution at the beginning of import lines."""
    text = next(page for page in GUIDES if "celery" in page.stem).read_text(encoding="utf-8")

    assert re.findall(r"^sed .*$", text, re.MULTILINE) == [
        "sed -i 's/^from celery/from gomachinery_py.compat.celery/' tasks.py send.py"
    ]


def test_a_binding_key_reaches_both_sides(rabbit_server: RabbitServer, vhost: str) -> None:
    """On RabbitMQ a task without a queue reaches every default queue of the same binding key."""
    servers = [
        Server(rabbit_server.url(vhost), result_backend="null", default_queue=queue)
        for queue in ("go_tasks", "python_tasks")
    ]
    for server in servers:
        server.send_task(Signature("before"))
    servers[0].send_task(Signature("shared"))
    servers[0].send_task(Signature("own", routing_key="go_tasks"))
    for server in servers:
        server.close()

    # The first one was alone; the second "before" and "shared" reached both, "own" one of them.
    wait_until(lambda: rabbit_server.counts("go_tasks", vhost) == (4, 0), 30, "what waits for Go")
    assert rabbit_server.counts("python_tasks", vhost) == (2, 0)
