"""The server that ``harness.schedulers.PythonScheduler`` runs: its periodic tasks are in the environment."""

from __future__ import annotations

import json
import os

from harness.python_side import python_signature

from gomachinery_py import Server

url = os.environ["GMPY_BROKER"]
server = Server(url, lock=url)

for entry in json.loads(os.environ["GMPY_PLAN"]):
    spec, name, signatures = entry["spec"], entry["name"], [python_signature(told) for told in entry["signatures"]]
    concurrency = entry.get("concurrency", 0)
    match entry["kind"]:
        case "task":
            server.periodic_task(spec, name, *signatures)
        case "chain":
            server.periodic_chain(spec, name, *signatures)
        case "group":
            server.periodic_group(spec, name, *signatures, concurrency=concurrency)
        case "chord":
            callback = python_signature(entry["callback"])
            server.periodic_chord(spec, name, callback, *signatures, concurrency=concurrency)
