"""``gomachinery wire``."""

from __future__ import annotations

import json
import sys
from typing import BinaryIO

import click

from gomachinery_py.wire import (
    decode_group_meta,
    decode_signature,
    decode_task_state,
    encode_group_meta,
    encode_signature,
    encode_task_state,
)

__all__ = ["wire"]


@click.group()
def wire() -> None:
    """Look at what Machinery stores."""


@wire.command("fmt")
@click.argument("file", type=click.File("rb"), default="-")
@click.option(
    "--kind",
    type=click.Choice(["auto", "signature", "state", "group"]),
    default="auto",
    show_default=True,
    help="What the message is; by default its first field tells.",
)
@click.option("--pretty", is_flag=True, help="Indent; no longer what Go writes.")
def wire_fmt(file: BinaryIO, kind: str, pretty: bool) -> None:
    """Print a message as Go would write it. Exit code 1 when Go could not read it."""
    data: bytes = file.read()
    if kind == "auto":
        kind = "state" if b'"TaskUUID"' in data else "group" if b'"TaskUUIDs"' in data else "signature"
    if kind == "state":
        written = encode_task_state(decode_task_state(data))
    elif kind == "group":
        written = encode_group_meta(decode_group_meta(data))
    else:
        written = encode_signature(decode_signature(data))
    if pretty:
        click.echo(json.dumps(json.loads(written), indent=2, ensure_ascii=False))
    else:
        sys.stdout.buffer.write(written + b"\n")
