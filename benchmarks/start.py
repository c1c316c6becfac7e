"""How long it takes to begin: the import, the public names, and a probe, each in a fresh interpreter.

``python -m benchmarks.start``; medians of 15, with an empty interpreter beside them, as an installed package has it:
with its bytecode. In time of the processor, so that a busy machine measures the same. Ends with 1 when the import takes
more than 150 ms, or a probe more than 200 ms.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from gomachinery_py.health import Report  # noqa: E402

TIMES = 15
IMPORT_MS, PROBE_MS = 150.0, 200.0

__all__ = ["main"]


def median_ms(*arguments: str, environment: dict[str, str]) -> float:
    """A Python process from its start to its end."""
    taken = []
    for _ in range(TIMES + 1):
        began = _processor_seconds()
        subprocess.run([sys.executable, *arguments], check=True, env=environment, cwd=ROOT, stdout=subprocess.DEVNULL)
        taken.append((_processor_seconds() - began) * 1000)
    # The first one has written the bytecode.
    return statistics.median(taken[1:])


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> int:
    """Print what came of it."""
    with tempfile.TemporaryDirectory(prefix="gmpy-") as directory:
        now = time.time()
        Report("w:1", os.getpid(), ["q"], True, 0, 0, now + 3600, now).write(os.path.join(directory, "1.json"))
        environment = {**os.environ, "GOMACHINERY_RUN_DIR": directory, "PYTHONPYCACHEPREFIX": f"{directory}/cache"}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        empty = median_ms("-c", "", environment=environment)
        imported = median_ms("-c", "import gomachinery_py", environment=environment) - empty
        names = median_ms("-c", "from gomachinery_py import Server", environment=environment) - empty
        probe = median_ms("-m", "gomachinery_py", "health", environment=environment)
    print(f"an empty interpreter                {empty:6.0f} ms")
    print(f"+ import gomachinery_py             {imported:6.0f} ms of {IMPORT_MS:.0f}")
    print(f"+ from gomachinery_py import Server {names:6.0f} ms")
    print(f"gomachinery health, all of it       {probe:6.0f} ms of {PROBE_MS:.0f}")
    return 1 if imported > IMPORT_MS or probe > PROBE_MS else 0


if __name__ == "__main__":
    sys.exit(main())
