"""``gomachinery wire fmt``: a message as Go would write it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import Done, gomachinery

from gomachinery_py import wire
from gomachinery_py.cli.output import indented

TAIL = b'"CreatedAt":"2030-01-02T03:04:05Z","TTL":0}'
STATE = b'{"TaskUUID":"t","TaskName":"n","State":"PENDING","Results":null,"Error":"",' + TAIL
GROUP = b'{"GroupUUID":"g","TaskUUIDs":["t"],"ChordTriggered":false,"Lock":false,' + TAIL


def test_what_go_would_write() -> None:
    """Names in any case, unknown fields, blanks and what follows: as Go takes them."""
    done = gomachinery("wire", "fmt", stdin=b' {"name": "add", "Args":[{"TYPE":"int64","value":1.50}], "x":1} tail')
    assert (done.code, done.error) == (0, "")
    assert '"Args":[{"Name":"","Type":"int64","Value":1.50}]' in done.out
    assert wire.encode_signature(wire.decode_signature(done.out.encode())) == done.out.rstrip("\n").encode()


@pytest.mark.parametrize("message", [STATE, GROUP], ids=["state", "group"])
def test_states_and_groups_are_told_apart(message: bytes) -> None:
    """By the names of their fields, in any case; never by what their values say."""
    assert gomachinery("wire", "fmt", stdin=message) == Done(0, message.decode() + "\n", "")
    lower = message.replace(b"TaskUUID", b"taskuuid")
    assert gomachinery("wire", "fmt", stdin=lower) == Done(0, message.decode() + "\n", "")
    signature = wire.encode_signature(wire.decode_signature(b'{"Name":"n","Headers":{"TaskUUID":"\\"TaskUUIDs\\""}}'))
    assert gomachinery("wire", "fmt", stdin=signature).out.encode() == signature + b"\n"


def test_kind_can_be_said() -> None:
    """Where the fields do not tell."""
    assert json.loads(gomachinery("wire", "fmt", "--kind", "state", stdin=b"{}").out)["TaskUUID"] == ""


def test_a_message_that_go_cannot_read(tmp_path: Path) -> None:
    """Exit code 1, the reason and where."""
    path = tmp_path / "message.json"
    path.write_bytes(b'{"Name": ]')
    done = gomachinery("wire", "fmt", str(path))
    assert (done.code, done.out, done.error.count("\n"), "at byte 9" in done.error) == (1, "", 1, True)


def test_a_file_that_is_not_there() -> None:
    """Exit code 2."""
    done = gomachinery("wire", "fmt", "nowhere.json")
    assert (done.code, done.error.count("\n"), "nowhere.json" in done.error) == (2, 1, True)


def test_pretty_keeps_every_literal() -> None:
    """Over several lines; numbers and duplicates as they were, nothing that a terminal obeys."""
    message = b'{"Name":"\xc2\x9b[2J","Args":[{"Value":1.50},{"Value":1e400},{"Value":"{[,:]}\\\\"}],"Headers":{}}'
    done = gomachinery("wire", "fmt", "--pretty", stdin=message)
    assert (done.code, all(line.isprintable() for line in done.out.splitlines())) == (0, True)
    assert '      "Value": 1.50\n' in done.out
    assert '      "Value": 1e400\n' in done.out
    assert json.loads(done.out)["Args"][2]["Value"] == "{[,:]}\\"
    assert json.loads(done.out)["Name"] == "\x9b[2J"


@pytest.mark.parametrize(
    "document",
    ["{}", "[]", '""', "1.50", '{"a":[]}', '{"a":{"b":[1,2,{"c":"x\\"y\\\\"}]},"d":null}', '["a b",[[]],{"e":true}]'],
)
def test_indented_is_what_python_writes(document: str) -> None:
    """Where Python's own writer keeps the literals."""
    expected = document if document == "1.50" else json.dumps(json.loads(document), indent=2)
    assert indented(document) == expected


def test_ten_thousand_levels() -> None:
    """Depth that Go takes is no trouble."""
    message = b'{"Args":[{"Value":' + b"[" * 9990 + b"]" * 9990 + b"}]}"
    assert gomachinery("wire", "fmt", "--pretty", stdin=message).code == 0
