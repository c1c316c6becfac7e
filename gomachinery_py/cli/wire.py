"""``gomachinery wire``."""

from __future__ import annotations

from typing import BinaryIO

import click

from gomachinery_py.cli.diagnosis import wire_diff, wire_explain, wire_lint
from gomachinery_py.cli.errors import debug_option
from gomachinery_py.cli.output import indented
from gomachinery_py.cli.text import json_safe
from gomachinery_py.golang.json import parse
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


wire.add_command(wire_explain)
wire.add_command(wire_lint)
wire.add_command(wire_diff)


@wire.command("fmt")
@click.argument("file", type=click.File("rb"), default="-")
@click.option(
    "--kind",
    type=click.Choice(["auto", "signature", "state", "group"]),
    default="auto",
    show_default=True,
    help="What the message is; auto looks at the names of its fields.",
)
@click.option("--pretty", is_flag=True, help="Over several lines, and safe for a terminal; no longer what Go writes.")
@debug_option
def wire_fmt(file: BinaryIO, kind: str, pretty: bool) -> None:
    """Print the message in FILE, or on standard input, as Go would write it.

    Exit code 1, with the reason and the offset, when Go could not read it.
    """
    data = file.read()
    if kind == "auto":
        kind = _kind(data)
    if kind == "state":
        written = encode_task_state(decode_task_state(data))
    elif kind == "group":
        written = encode_group_meta(decode_group_meta(data))
    else:
        written = encode_signature(decode_signature(data))
    if pretty:
        click.echo("\n".join(json_safe(line) for line in indented(written.decode()).split("\n")))
    else:
        click.echo(written)


def _kind(data: bytes) -> str:
    document = parse(data)
    # Go takes names in any case.
    names = {name.lower() for name in document} if isinstance(document, dict) else set()
    if "taskuuids" in names:
        return "group"
    return "state" if "taskuuid" in names else "signature"
