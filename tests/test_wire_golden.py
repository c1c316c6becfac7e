"""Documents against what live Go made of them (``fixtures/golden``; ``scripts/regenerate-codec`` writes it anew)."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gomachinery_py import wire
from gomachinery_py.wire import WireError

GOLDEN = Path(__file__).resolve().parent.parent / "fixtures" / "golden"
CASES: list[dict[str, Any]] = [
    {**case, "go_version": version}
    for version in ("v1.10.8", "v2.0.16")
    for case in json.loads((GOLDEN / version / "codec.json").read_text(encoding="utf-8"))
]
DECODE: dict[str, Callable[[bytes], Any]] = {
    "signature": wire.decode_signature,
    "task_state": wire.decode_task_state,
    "group_meta": wire.decode_group_meta,
}
ENCODE: dict[str, Callable[[Any], bytes]] = {
    "signature": wire.encode_signature,
    "task_state": wire.encode_task_state,
    "group_meta": wire.encode_group_meta,
}


def cases(answer: str) -> pytest.MarkDecorator:
    """The cases to which Go gave this kind of answer."""
    found = [case for case in CASES if answer in case["go"]]
    return pytest.mark.parametrize("case", found, ids=lambda case: f"{case['go_version']} {case['about']}")


def document(case: dict[str, Any]) -> bytes:
    """The bytes of a case."""
    return bytes.fromhex(case["hex"]) if "hex" in case else case["document"].encode()


@cases("written")
def test_written_as_by_go(case: dict[str, Any]) -> None:
    """What Go decodes and encodes, we decode and encode to the same bytes."""
    decoded = DECODE[case["kind"]](document(case))
    assert case["go"]["written"].encode() == ENCODE[case["kind"]](decoded)


@cases("written")
def test_what_go_wrote_is_read_alike(case: dict[str, Any]) -> None:
    """Go's own bytes come back as they are, and from an equal object."""
    written = case["go"]["written"].encode()
    decoded = DECODE[case["kind"]](document(case))
    assert written == ENCODE[case["kind"]](DECODE[case["kind"]](written))
    assert decoded == DECODE[case["kind"]](written)


@cases("syntax")
def test_syntax_errors_are_gos(case: dict[str, Any]) -> None:
    """What is no JSON is refused with Go's text and at the byte at which Go gives up."""
    read, _, text = case["go"]["syntax"].partition(" ")
    with pytest.raises(WireError) as caught:
        DECODE[case["kind"]](document(case))
    # Go counts the byte that is wrong as read.
    assert (text, int(read) - 1) == (caught.value.reason, caught.value.offset)


@cases("refused")
def test_refused_as_by_go(case: dict[str, Any]) -> None:
    """What Go refuses we refuse; wrong kinds with Go's text."""
    with pytest.raises(WireError) as caught:
        DECODE[case["kind"]](document(case))
    if case["go"]["refused"].startswith("json: "):
        assert case["go"]["refused"] == caught.value.reason
    if case["go"]["refused"].endswith("EOF"):
        assert ("unexpected end of JSON input", len(document(case))) == (caught.value.reason, caught.value.offset)
    assert caught.value.offset is not None


@cases("unwritable")
def test_taken_and_impossible_to_write(case: dict[str, Any]) -> None:
    """What Go decodes and cannot encode, we decode and cannot encode."""
    decoded = DECODE[case["kind"]](document(case))
    with pytest.raises(WireError) as caught:
        ENCODE[case["kind"]](decoded)
    assert case["go"]["unwritable"].endswith(caught.value.reason.partition(": ")[2])


def test_there_are_answers_of_every_kind() -> None:
    """The golden files hold documents that Go writes, refuses for either reason, and cannot write."""
    assert {"written", "syntax", "refused", "unwritable"} == {name for case in CASES for name in case["go"]}
