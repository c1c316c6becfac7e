"""Findings: what is wrong with a message, where, and what to write instead."""

from __future__ import annotations

import base64
import gzip
import json
import pickle
import zlib
from typing import Any

import pytest

from gomachinery_py.calls import Parameters
from gomachinery_py.diagnosis.decoding import decode
from gomachinery_py.diagnosis.findings import Finding
from gomachinery_py.diagnosis.lint import lint
from gomachinery_py.diagnosis.verdict import Kind, Knowledge, go_verdict
from gomachinery_py.wire import Arg, Signature, encode_signature

NOW_NS = 1_900_000_000 * 10**9


def message(*args: tuple[str, Any], **fields: Any) -> bytes:
    """A message that has nothing to find but for what is given."""
    made = [{"Name": "", "Type": kind, "Value": value} for kind, value in args]
    return json.dumps({"UUID": "task_1", "Name": "add", "Args": made, "Headers": {}, **fields}).encode()


def found(body: bytes, **settings: Any) -> list[tuple[str, str, str]]:
    """Severity, code and path of each finding."""
    return [(finding.severity.value, finding.code, finding.path) for finding in lint(body, **settings)]


def test_nothing_to_find() -> None:
    """What Go and we write ourselves is as it should be."""
    assert found(message(("int64", 1), ("[]byte", "YQ=="), ("[]string", []))) == []
    chain = Signature("add", [Arg("int64", 1)], uuid="a", headers={}, on_success=[Signature("add", uuid="b")])
    assert found(encode_signature(chain)) == []


ARGUMENTS = [
    ("int64", "5", "no-fit", '"Type": "int64", "Value": 5'),
    ("int64", 1.0, "no-fit", '"Type": "int64", "Value": 1'),
    ("int64", 2.5, "no-fit", '"Type": "float64", "Value": 2.5'),
    ("int64", True, "no-fit", '"Type": "bool", "Value": true'),
    ("int64", 2**63, "no-fit", '"Type": "uint64", "Value": 9223372036854775808'),
    ("int64", None, "no-fit", ""),
    ("uint8", -1, "no-fit", '"Type": "int64", "Value": -1'),
    ("uint8", 300, "other-value", '"Type": "uint64", if the function takes it'),
    ("int8", 300, "other-value", '"Type": "int64", if the function takes it'),
    ("float32", 1e39, "other-value", '"Type": "float64", if the function takes it'),
    ("float64", "1.5", "no-fit", '"Type": "float64", "Value": 1.5'),
    ("bool", "True", "no-fit", '"Type": "bool", "Value": true'),
    ("bool", 0, "no-fit", '"Type": "bool", "Value": false'),
    ("string", 5, "no-fit", '"Type": "string", "Value": "5"'),
    ("string", {"a": [1]}, "no-fit", '"Type": "string", "Value": "{\\"a\\":[1]}"'),
    ("integer", 5, "unknown-type", '"Type": "int64", "Value": 5'),
    ("Int32", "5", "unknown-type", '"Type": "int32", "Value": 5'),
    ("float", 5, "unknown-type", '"Type": "float64", "Value": 5'),
    ("string[]", ["a"], "unknown-type", '"Type": "[]string", "Value": ["a"]'),
    ("array<int>", [1], "unknown-type", '"Type": "[]int", "Value": [1]'),
    ("map[string]int", {"a": 1}, "unknown-type", '"Type": "string", "Value": "{\\"a\\":1}"'),
    ("", [1, 2.5], "unknown-type", '"Type": "[]float64", "Value": [1,2.5]'),
    ("[]int64", "[1,2]", "no-fit", '"Type": "[]int64", "Value": [1,2]'),
    ("[]int64", [1, "2"], "no-fit", '"Type": "[]int64", "Value": [1,2]'),
    ("[]int64", 5, "no-fit", '"Type": "[]int64", "Value": [5]'),
    ("[]int64", {"0": 1, "2": 3}, "panic", '"Type": "[]int64", "Value": [1,3]'),
    ("[]bool", True, "panic", '"Type": "[]bool", "Value": [true]'),
    ("[]int8", [1, 300], "other-value", '"Type": "[]int64", if the function takes it'),
    ("[]byte", "GIF89a", "no-fit", '"Type": "[]byte", "Value": "R0lGODlh"'),
    ("[]uint8", 12, "digits", '"Value": [12]'),
    ("[]uint16", "YQ==", "text-for-list", "a list of numbers"),
    ("[]string", {}, "empty-object", "[]"),
    ("[]string", None, "null-list", "[]"),
    ("[]byte", [97], "list-of-bytes", '"Value": "YQ=="'),
    ("string", "a\ufffd", "replaced", ""),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "value", "code", "instead"), ARGUMENTS)
def test_arguments(kind: str, value: Any, code: str, instead: str) -> None:
    """Each value that does not fit, with what was most likely meant."""
    [finding] = lint(message(("int64", 1), (kind, value)))
    assert (code, instead) == (finding.code, finding.instead)
    assert finding.path.startswith("Args[1].")


@pytest.mark.parametrize(("kind", "value", "code", "instead"), [row for row in ARGUMENTS if '"Type": "' in row[3]])
def test_suggestions_are_taken(kind: str, value: Any, code: str, instead: str) -> None:  # noqa: ARG001
    """What is suggested is a pair that Go takes as it is."""
    pair = json.loads(f"{{{instead.removesuffix(', if the function takes it')}}}")
    body = message((pair["Type"], pair.get("Value", value)))
    assert (go_verdict(body).kind, lint(body)) == (Kind.ACCEPTED, [])


FIELDS: list[tuple[dict[str, Any], list[tuple[str, str, str]]]] = [
    ({"Name": ""}, [("error", "no-name", "Name")]),
    ({"UUID": ""}, [("warning", "no-uuid", "UUID")]),
    ({"UUID": "machinery_tasks"}, [("error", "uuid-is-a-key", "UUID")]),
    ({"UUID": "delayed_tasks"}, [("error", "uuid-is-a-key", "UUID")]),
    ({"UUID": "q", "RoutingKey": "q"}, [("error", "uuid-is-a-key", "UUID")]),
    ({"RoutingKey": "TriggerChordMutex"}, [("error", "key-is-no-queue", "RoutingKey")]),
    ({"UUID": "g", "GroupUUID": "g", "GroupTaskCount": 1}, [("error", "uuid-is-a-group", "UUID")]),
    ({"OnError": [{"Name": "x", "UUID": "task_1"}]}, [("error", "uuid-twice", "OnError[0].UUID")]),
    ({"GroupUUID": "g"}, [("warning", "group-count", "GroupTaskCount")]),
    ({"GroupTaskCount": 3}, [("note", "group-count", "GroupTaskCount")]),
    ({"ChordCallback": {"Name": "x"}}, [("error", "chord-without-group", "ChordCallback")]),
    ({"ChordCallback": {"Name": "x"}, "GroupUUID": "g"}, [("error", "group-count", "GroupTaskCount")]),
    ({"ChordCallback": {"Name": "x"}, "GroupUUID": "g", "GroupTaskCount": 2}, [("note", "chord", "GroupUUID")]),
    ({"OnSuccess": [{"Name": "x"}, None]}, [("error", "null-callback", "OnSuccess[1]")]),
    ({"OnError": [{"Name": "x", "OnSuccess": [None]}]}, [("error", "null-callback", "OnError[0].OnSuccess[0]")]),
    ({"OnSuccess": [{"Name": ""}]}, [("error", "no-name", "OnSuccess[0].Name")]),
    ({"OnSuccess": [{"Name": "x", "Args": [{"Type": "y"}]}]}, [("error", "unknown-type", "OnSuccess[0].Args[0].Type")]),
    ({"ETA": "2000-01-01T00:00:00Z"}, [("note", "eta-past", "ETA")]),
    ({"ETA": "2300-01-01T00:00:00Z"}, [("error", "eta-too-far", "ETA")]),
    ({"ETA": "2200-01-01T00:00:00+24:00"}, [("error", "eta-offset", "ETA")]),
    ({"RetryTimeout": 2**63 - 1}, [("error", "retry-timeout", "RetryTimeout")]),
    ({"RetryTimeout": 10**9}, [("error", "retry-timeout", "RetryTimeout")]),
    ({"RetryTimeout": -1}, [("error", "retry-timeout", "RetryTimeout")]),
    ({"RetryCount": -1}, [("note", "retry-count", "RetryCount")]),
    ({"Priority": 200}, [("warning", "priority", "Priority")]),
    ({"StopTaskDeletionOnError": True}, [("warning", "stop-deletion", "StopTaskDeletionOnError")]),
    ({"SQSReceiptHandle": "x"}, [("note", "receipt-handle", "SQSReceiptHandle")]),
    ({"Headers": None}, [("note", "null-headers", "Headers")]),
    ({"routing_key": "q"}, [("error", "unknown-field", "routing_key")]),
    ({"tenant": "q"}, [("warning", "unknown-field", "tenant")]),
    ({"id": "q"}, [("warning", "unknown-field", "id")]),
    ({"OnSuccess": [{"Name": "x", "retry-count": 1}]}, [("error", "unknown-field", "OnSuccess[0].retry-count")]),
    ({"priority": 1}, [("note", "other-case", "")]),
    ({"name": "x"}, [("warning", "given-twice", "Name"), ("note", "other-case", "")]),
    ({"Args": [{}] * 10_001}, [("error", "refused", "")]),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "expected"), FIELDS)
def test_fields(fields: dict[str, Any], expected: list[tuple[str, str, str]]) -> None:
    """What is suspicious though Go takes it, the worst first."""
    seen = [row for row in found(message(**fields), now_ns=NOW_NS) if row[1] != "unknown-type" or row in expected]
    assert expected == seen


BYTES: list[tuple[str, bytes, list[str]]] = [
    ("a byte that is not UTF-8", b'{"UUID":"a","Name":"\xff","Headers":{}}', ["no-utf-8"]),
    ("text behind", b'{"UUID":"a","Name":"b","Headers":{}} tail', ["text-behind"]),
    ("a second document", b'{"UUID":"a","Name":"b","Headers":{}}{"Name":"c"}', ["second-document"]),
    ("a byte order mark", b'\xef\xbb\xbf{"Name":"b"}', ["other-encoding", "no-json"]),
    ("UTF-16", '{"Name":"b"}'.encode("utf-16"), ["other-encoding", "no-json"]),
    ("UTF-16 without a mark", '{"Name": True}'.encode("utf-16-le"), ["other-encoding", "no-json"]),
    ("UTF-32", '{"Name":"b"}'.encode("utf-32"), ["other-encoding", "no-json"]),
    ("binary with a dict in it", b"\x01\x00{'a': None, 'b': NaN,}\x00", ["other-encoding", "no-json"]),
    ("gzip", gzip.compress(b"{}"), ["other-encoding", "no-json"]),
    ("zlib", zlib.compress(b"{}"), ["other-encoding", "no-json"]),
    ("pickle", pickle.dumps({"Name": "b"}), ["other-encoding", "no-json"]),
    ("PHP", b'a:1:{s:4:"Name";s:1:"b";}', ["other-encoding", "no-json"]),
    ("bytes as Go prints them", b"[123 34 125]", ["printed-bytes", "no-json"]),
    ("a dict as Python prints it", b"{'Name': 'b'}", ["python-text", "no-json"]),
    ("Python's words", b'{"Name": None}', ["python-text", "no-json"]),
    ("no number", b'{"Name":"b","Args":[{"Value":NaN}]}', ["no-number", "no-json"]),
    ("a comma too many", b'{"Name":"b",}', ["trailing-comma", "no-json"]),
    ("base64", base64.b64encode(b'{"Name":"b"}'), ["base64", "no-json"]),
    ("cut short", b'{"Name":"b"', ["no-json"]),
    ("nothing", b"", ["empty"]),
    ("encoded twice", b'"{\\"Name\\":\\"b\\"}"', ["encoded-twice", "wrong-kind"]),
    ("a list of signatures", b'[{"Name":"b"}]', ["several-in-one", "wrong-kind"]),
    ("a list of bytes", b"[123, 125]", ["list-of-bytes", "wrong-kind"]),
    ("Celery", b'{"task":"b","id":"a","args":[],"kwargs":{}}', ["foreign-envelope", "no-name"]),
    ("Celery's body", b'[[1],{},{"callbacks":null}]', ["foreign-envelope", "wrong-kind"]),
    ("Kombu", b'{"body":"","content-type":"","content-encoding":"","properties":{}}', ["foreign-envelope", "no-name"]),
    ("Sidekiq", b'{"class":"b","jid":"a","args":[1]}', ["foreign-envelope", "wrong-kind"]),
    ("Dramatiq", b'{"queue_name":"q","actor_name":"b","args":[],"message_id":"a"}', ["foreign-envelope", "no-name"]),
]  # fmt: skip


@pytest.mark.parametrize(("body", "codes"), [row[1:] for row in BYTES], ids=[row[0] for row in BYTES])
def test_bytes(body: bytes, codes: list[str]) -> None:
    """What is no signature at all is called by its name; beside it stands what Go says."""
    seen = [finding.code for finding in lint(body) if finding.severity == "error" or finding.code in codes]
    assert codes == seen


WRONG_KINDS = [
    ({"UUID": 5}, '"UUID": "5"'),
    ({"Priority": "1"}, '"Priority": 1'),
    ({"Priority": 300}, '"Priority": a whole number from 0 to 255'),
    ({"RetryCount": 3.0}, '"RetryCount": 3'),
    ({"Immutable": 1}, '"Immutable": true'),
    ({"Immutable": "false"}, '"Immutable": false'),
    ({"ETA": ""}, '"ETA": null, or a time as "2006-01-02T15:04:05Z"'),
    ({"ETA": 1_700_000_000}, '"ETA": "2023-11-14T22:13:20Z"'),
    ({"ETA": 1_700_000_000_000}, '"ETA": "2023-11-14T22:13:20Z"'),
    ({"ETA": "1700000000"}, '"ETA": "2023-11-14T22:13:20Z"'),
    ({"ETA": "2024-01-01T00:00:00"}, '"ETA": "2024-01-01T00:00:00Z"'),
    ({"ETA": "2024-01-01 00:00:00+0200"}, '"ETA": "2024-01-01T00:00:00+02:00"'),
    ({"Headers": []}, '"Headers": {} (PHP writes an empty array as []; an object is wanted)'),
    ({"Args": [5]}, '{"Type": "int64", "Value": 5}'),
    ({"Args": {}}, '"Args": []'),
    ({"OnSuccess": {"Name": "x"}}, '"OnSuccess": [{…}]'),
    ({"ChordCallback": "x"}, "a JSON object: the task with its own Name and Args"),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "instead"), WRONG_KINDS)
def test_wrong_kinds(fields: dict[str, Any], instead: str) -> None:
    """A value of a kind that Go does not take there, with Go's text and what was most likely meant."""
    body = message(**fields)
    [finding] = lint(body)
    assert (finding.code, finding.what, finding.instead) == ("wrong-kind", decode(body).error, instead)


def test_arguments_of_a_message_that_cannot_be_read() -> None:
    """They are looked at all the same, so that a message need not be put right twice."""
    seen = found(message(("int64", "5"), Priority="1"))
    assert seen == [("error", "wrong-kind", "Priority"), ("error", "no-fit", "Args[0].Value")]


def greet(name: str, *numbers: int) -> str:
    """A task."""
    return f"{name}{numbers}"


def test_by_the_function() -> None:
    """What the function takes instead, or which task may be meant."""
    known = Knowledge({"greet": Parameters.of(greet)})
    [finding] = lint(message(Name="greet"), known)
    assert (finding.code, finding.instead) == ("signature", "greet(string, int64…)")
    [finding] = lint(message(Name="great"), known)
    assert (finding.code, finding.instead) == ("unknown-task", '"greet"?')


def test_by_the_queue() -> None:
    """A retry goes where RoutingKey says."""
    assert found(message(RoutingKey="a"), queue="b") == [("note", "other-queue", "RoutingKey")]
    assert found(message(RoutingKey="b"), queue="b") == []


def test_long_messages_are_soon_done() -> None:
    """Findings and their paths stay few and short, however many arguments or levels there are."""
    deep = b'{"Name":"a","x":1,"OnSuccess":[' * 2_000 + b"null" + b"]}" * 2_000
    wide = message(*[("int64", "x")] * 20_000)
    assert max(len(finding.path) for finding in lint(deep)) < 400
    assert len(lint(wide)) < 1_100


def test_findings_are_plain_values() -> None:
    """Equal when they say the same."""
    assert lint(b"") == lint(b"")
    assert isinstance(lint(b"")[0], Finding)
