"""What Go says of messages that it cannot read; compat-tests/test_explain_go.py asks Go itself for thousands."""

from __future__ import annotations

import pytest

from gomachinery_py.diagnosis.decoding import decode
from gomachinery_py.golang.time_error import time_error

FIELD = "json: cannot unmarshal {} into Go struct field {} of type {}"

TEXTS = [
    (b"", "EOF"),
    (b" \n", "EOF"),
    (b'{"UUID":', "unexpected EOF"),
    (b"{'Name': 1}", "invalid character '\\'' looking for beginning of object key string"),
    (b"[]", "json: cannot unmarshal array into Go value of type tasks.Signature"),
    (b'{"UUID":1}', FIELD.format("number", "Signature.UUID", "string")),
    (b'{"Priority":256}', FIELD.format("number 256", "Signature.Priority", "uint8")),
    (b'{"RetryCount":1.0}', FIELD.format("number 1.0", "Signature.RetryCount", "int")),
    (b'{"Immutable":"no"}', FIELD.format("string", "Signature.Immutable", "bool")),
    (b'{"Headers":[]}', FIELD.format("array", "Signature.Headers", "tasks.Headers")),
    (b'{"Args":{}}', FIELD.format("object", "Signature.Args", "[]tasks.Arg")),
    (b'{"Args":[1]}', FIELD.format("number", "Signature.Args", "tasks.Arg")),
    (b'{"Args":[{"Type":1}]}', FIELD.format("number", "Arg.Args.Type", "string")),
    (b'{"OnSuccess":[true]}', FIELD.format("bool", "Signature.OnSuccess", "tasks.Signature")),
    (b'{"OnError":[{"Name":[]}]}', FIELD.format("array", "Signature.OnError.Name", "string")),
    (b'{"OnError":[{"OnError":[7]}]}', FIELD.format("number", "Signature.OnError.OnError", "tasks.Signature")),
    (b'{"ETA":1}', "Time.UnmarshalJSON: input is not a JSON string"),
    (b'{"ETA":{}}', "Time.UnmarshalJSON: input is not a JSON string"),
]  # fmt: skip


@pytest.mark.parametrize(("message", "text"), TEXTS)
def test_texts(message: bytes, text: str) -> None:
    """The text is Go's, its words for a stream that ends included."""
    assert text == decode(message).error


def test_first_of_several() -> None:
    """Go reports the first value of a wrong kind, in the order of the text; a time that it cannot read before all."""
    both = decode(b'{"OnSuccess":[{"Name":1}],"UUID":2}')
    assert both.error == FIELD.format("number", "Signature.OnSuccess.Name", "string")
    assert [problem.path for problem in both.problems] == ["OnSuccess[0].Name", "UUID"]
    assert decode(b'{"UUID":2,"ETA":""}').error.startswith('parsing time ""')


@pytest.mark.parametrize(
    "message", [b"null", b"{}", b'{"UUID":null,"ETA":null,"Args":null} tail', b'{"X":1,"Args":[null]}']
)
def test_what_go_reads(message: bytes) -> None:
    """Null leaves a field as it is, unknown fields are dropped, and what follows is not read."""
    assert (decode(message).error, decode(message).problems) == ("", ())


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (b"", ' as "2006-01-02T15:04:05Z07:00": cannot parse "" as "2006"'),
        (b"2024-01-01", ' as "2006-01-02T15:04:05Z07:00": cannot parse "" as "T"'),
        (b"2024-01-01T00:00:00", ' as "2006-01-02T15:04:05Z07:00": cannot parse "" as "Z07:00"'),
        (b"2024-01-01 00:00:00Z", ' as "2006-01-02T15:04:05Z07:00": cannot parse " 00:00:00Z" as "T"'),
        (b"2024-1-01T00:00:00Z", ' as "2006-01-02T15:04:05Z07:00": cannot parse "1-01T00:00:00Z" as "01"'),
        (b"2024-13-01T00:00:00Z", ": month out of range"),
        (b"2024-02-30T00:00:00Z", ": day out of range"),
        (b"2024-01-01T24:00:00Z", ": hour out of range"),
        (b"2024-01-01T00:60:00Z", ": minute out of range"),
        (b"2024-01-01T00:00:60Z", ": second out of range"),
        (b"2024-01-01T00:00:00+25:00", ": time zone offset hour out of range"),
        (b"2024-01-01T00:00:00+01:61", ": time zone offset minute out of range"),
        (b"2024-01-01T00:00:00ZZ", ': extra text: "Z"'),
        (b"2024-01-01T00:00:00.5+0100", ' as "2006-01-02T15:04:05Z07:00": cannot parse "+0100" as "Z07:00"'),
    ],
)
def test_times(text: bytes, error: str) -> None:
    """Go names the part of a time that it could not read."""
    assert time_error(text) == f'parsing time "{text.decode()}"{error}'


def test_times_in_other_characters() -> None:
    """Each byte beyond ASCII by its number, quotes escaped."""
    assert time_error('é"'.encode()).startswith('parsing time "\\xc3\\xa9\\"" as ')


@pytest.mark.parametrize("text", [b"2024-02-29T0:00:00,5+24:60", b"0000-02-29T23:59:59Z"])
def test_times_that_go_takes(text: bytes) -> None:
    """No error for what it takes beyond RFC 3339."""
    assert time_error(text) == ""
