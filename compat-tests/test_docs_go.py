"""The Go worker of docs/tutorial.md is built as it stands there, and runs what Python sends."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from gobuild import BUILD_SECONDS, HARNESS, go
from harness.redis_server import RedisServer

from gomachinery_py import Arg, Server, Signature

PAGE = Path(__file__).resolve().parent.parent / "docs" / "tutorial.md"
URL = "redis://localhost:6379"


def test_go_worker_of_the_tutorial(redis_server: RedisServer, tmp_path: Path) -> None:
    """It multiplies for a Python producer."""
    [source] = re.findall(r"^```go\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert source.count(URL) == 2
    (tmp_path / "main.go").write_text(source.replace(URL, redis_server.url()), encoding="utf-8")
    build = [go(), "build", "-o", str(tmp_path / "worker"), str(tmp_path / "main.go")]
    built = subprocess.run(
        build,
        cwd=HARNESS,
        env={**os.environ, "CGO_ENABLED": "0"},
        capture_output=True,
        text=True,
        timeout=BUILD_SECONDS,
    )
    assert built.returncode == 0, built.stderr

    with (tmp_path / "log").open("w") as log:
        worker = subprocess.Popen([str(tmp_path / "worker")], stdout=log, stderr=log)
        try:
            with Server(redis_server.url()) as server:
                result = server.send_task(Signature("multiply", [Arg("int64", 6), Arg("int64", 7)]))
                assert result.get(timeout=20) == 42
        finally:
            worker.kill()
            worker.wait(10)
