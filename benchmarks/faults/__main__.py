"""``python -m benchmarks.faults NAME [--OPTION N …]``; without a name it says which there are."""

from __future__ import annotations

import argparse
import importlib
import logging
import sys
import traceback

NAMES = {
    "simulation": "seeded simulation of three workers under everything that may go wrong",
    "kills": "kill -9 of workers under load, also beside a Go worker",
    "poison": "a task that kills its worker, among innocent ones",
    "sleep": "SIGSTOP past the lease, then SIGCONT",
    "drains": "SIGTERM of workers under load",
    "redis": "kill -9 of an append-only Redis under load",
    "network": "latency, resets, slow closes, silence and sliced packets, by toxiproxy",
    "results": "the result store away while tasks run",
    "hostile": "malformed messages among good ones",
    "size": "a million tasks waiting, a million delayed, and payloads of 16 MiB",
    "chords": "chords over Go and Python workers, with kills and an orphaned lock",
    "move": "kill -9 of gomachinery move between Redis, RabbitMQ and SQS",
    "rabbitmq": "RabbitMQ: closed connections, stop and start, memory alarm, the result store away",
}


def main() -> int:
    """Run one fault test; 0 when every promise was kept, 1 when one was broken, 2 when the test itself failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults", description=__doc__)
    commands = parser.add_subparsers(dest="name", required=True)
    for name, text in NAMES.items():
        module = importlib.import_module(f"benchmarks.faults.{name}")
        command = commands.add_parser(name, help=text, description=module.__doc__)
        command.add_argument(
            "--sabotaged", action="store_true", help="ours alone, without its safeguard: must end with status 1"
        )
        module.arguments(command)
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    module = importlib.import_module(f"benchmarks.faults.{options.name}")
    try:
        return 0 if module.main(options) else 1
    except Exception:
        traceback.print_exc()
        return 2


if __name__ == "__main__":
    sys.exit(main())
