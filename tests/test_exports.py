"""The public names; whoever changes them changes a promise."""

from __future__ import annotations

import subprocess
import sys

import gomachinery_py
from gomachinery_py import types, wire


def test_package_names() -> None:
    """The package exports exactly what the documentation names."""
    expected = (
        "Arg AsyncResult Chain Chord Config Context Group GroupMeta ResultTimeout RetryTaskLater Server Signature "
        "TaskFailed TaskState current_signature wire"
    )
    assert expected.split() == sorted(gomachinery_py.__all__)


def test_type_names() -> None:
    """Every Machinery type has its alias."""
    expected = "Bool Float32 Float64 Int Int16 Int32 Int64 Int8 Json UInt UInt16 UInt32 UInt64 UInt8"
    assert set(expected.split()) <= set(types.__all__)


def test_wire_names() -> None:
    """The codec's six functions and its error are public."""
    expected = {f"{verb}_{what}" for verb in ("encode", "decode") for what in ("signature", "task_state", "group_meta")}
    assert expected | {"WireError"} <= set(wire.__all__)


def test_every_exported_name_exists() -> None:
    """No name is promised that is not there."""
    missing = [name for module in (gomachinery_py, types, wire) for name in module.__all__ if not hasattr(module, name)]
    assert missing == []


def test_import_pulls_no_client() -> None:
    """A service client is imported only when a URL asks for it."""
    code = (
        "import sys, gomachinery_py; "
        "clients = {'redis', 'pika', 'boto3', 'pymongo', 'pymemcache', 'google.cloud', 'fakeredis', 'rich', 'click'}; "
        "print(sorted(clients & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
