"""Two messages compared."""

from __future__ import annotations

import pytest

from gomachinery_py.diagnosis.difference import Difference, Meaning, differences

BASE = '{"UUID":"a","Name":"b","Args":[{"Type":"float64","Value":1.5}],"Headers":{}}'


def changed(old: str, new: str) -> list[tuple[str, str, str, str]]:
    """How BASE differs from itself with a change."""
    assert old in BASE
    found = differences(BASE.encode(), BASE.replace(old, new).encode())
    return [(difference.meaning.value, difference.path, difference.left, difference.right) for difference in found]


ELSE = "other spaces, escapes or text behind"
CHANGES = [
    ('"b"', '"c"', [("differs", "Name", '"b"', '"c"')]),
    ("1.5", "1.50", [("literal", "Args[0].Value", "1.5", "1.50")]),
    ("1.5", "2", [("differs", "Args[0].Value", "1.5", "2")]),
    ("1.5", '"1.5"', [("differs", "Args[0].Value", "1.5", '"1.5"')]),
    ("1.5", "[1]", [("differs", "Args[0].Value", "1.5", "[1]")]),
    ("{}}", '{"k":1}}', [("differs", "Headers.k", "absent", "1")]),
    ('"Headers":{}', '"Headers":null', [("nil or empty", "Headers", "{}", "null")]),
    (',"Headers":{}', "", [("nil or empty", "Headers", "{}", "null")]),
    ("1.5}]", '1.5},{"Type":"x"}]', [("differs", "Args[1]", "absent", '{"Name":"","Type":"x","Value":null}')]),
    ('"UUID"', '"uuid"', [("written", "UUID", 'as "UUID"', 'as "uuid"')]),
    ('"b"', '"\\u0062"', [("written", "Name", 'as "Name"', 'as "Name", with escapes')]),
    ('"UUID":"a"', '"UUID":"x","UUID":"a"', [("written", "UUID", 'as "UUID"', 'as "UUID", twice')]),
    ('"UUID":"a"', '"X":1,"UUID":"a"', [("written", "X", "not written", "dropped by Go: 1")]),
    ('"UUID":"a"', '"Priority":0,"UUID":"a"', [("written", "Priority", "not written", 'as "Priority"')]),
    ('"UUID":"a","Name":"b"', '"Name":"b","UUID":"a"', [("written", "", "UUID comes first", "Name comes first")]),
    ('"UUID"', ' "UUID"', [("written", "", ELSE, ELSE)]),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "expected"), CHANGES)
def test_changes(old: str, new: str, expected: list[tuple[str, str, str, str]]) -> None:
    """What Go sees differ, and what is only written in another way."""
    assert expected == changed(old, new)


def test_the_same_bytes() -> None:
    """No difference, whatever they are."""
    assert differences(b"\xff", b"\xff") == differences(BASE.encode(), BASE.encode()) == []


def test_one_that_cannot_be_read() -> None:
    """Go's text for it."""
    assert differences(b"{", BASE.encode()) == [Difference(Meaning.DIFFERS, "", "unexpected EOF", "can be read")]


def test_one_that_cannot_be_written() -> None:
    """An offset of a day can be read and not written; it is compared all the same."""
    other = BASE.replace('"Headers"', '"ETA":"2024-01-01T00:00:00+24:00","Headers"')
    found = differences(BASE.encode(), other.encode())
    assert Meaning.DIFFERS in {difference.meaning for difference in found}
