"""What ``contract check`` calls a difference, and which of them break something."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gomachinery_py import Arg, Server, Signature, wire
from gomachinery_py.contracts.differences import Source, code_findings
from gomachinery_py.contracts.findings import KINDS, Finding
from gomachinery_py.contracts.model import Contract
from gomachinery_py.contracts.of_python import contract_of, remote_contract_of
from gomachinery_py.contracts.reading import read_contract
from gomachinery_py.contracts.waiting import Waiting


def of(*lines: str) -> Contract:
    """A contract of one task ``t``."""
    text = "\n".join(f"    {line}" for line in lines)
    return read_contract(f"machinery_contract: 1\ntasks:\n  t:\n{text}\n".encode(), "f")


def parameters(*items: str) -> Contract:
    """A contract of one task with these parameters, and no results."""
    return of("results: []", f"parameters: [{', '.join(f'{{{item}}}' for item in items)}]")


def results(*items: str) -> Contract:
    """A contract of one task with these results."""
    return of(f"results: [{', '.join(f'{{{item}}}' for item in items)}]")


def kinds(contract: Contract, code: Contract, *, sends: bool = False) -> list[tuple[str, bool]]:
    """Kind, and whether it breaks something, of each finding."""
    source = Source.of("app", Contract({}), code) if sends else Source.of("app", code, Contract({}))
    return [(finding.kind, finding.breaking) for finding in code_findings(contract, [source])]


A, B = "name: a, type: int64", "name: b, type: int64"
SAME: list[tuple[str, bool]] = []

# contract, code, what is found when code serves the task, and when it sends it
TABLE: list[tuple[Contract, Contract, list[tuple[str, bool]], list[tuple[str, bool]]]] = [
    (parameters(A), parameters(A), SAME, SAME),
    (parameters(A), parameters("name: a, type: string"), [("type", True)], [("type", True)]),
    (parameters("name: a, type: '[]byte'"), parameters("name: a, type: '[]uint8'"), SAME, SAME),
    (parameters(A), parameters("name: a, type: any"), [("type", False)], [("type", True)]),
    (parameters("name: a, type: any"), parameters(A), [("type", True)], [("type", False)]),
    (parameters(A), parameters(A, B), [("arity", True)], [("arity", True)]),
    (parameters(A, B), parameters(A), [("arity", True)], [("arity", True)]),
    (parameters(A), parameters(A, f"{B}, default: 1"), [("arity", False)], [("arity", True)]),
    (parameters(A, f"{B}, default: 1"), parameters(A, B), [("arity", True)], [("arity", False)]),
    (parameters(A), parameters(A, f"{B}, variadic: true"), [("arity", False)], [("arity", True)]),
    (parameters(f"{A}, variadic: true"), parameters(A), [("arity", True)], [("arity", False)]),
    (
        parameters(f"{A}, variadic: true"),
        parameters("name: a, type: string, variadic: true"),
        [("type", True)],
        [("type", True)],
    ),
    (parameters(A), parameters(B), [("name", False)], [("name", False)]),
    (parameters(A), parameters("type: int64"), SAME, SAME),
    (parameters(f"{A}, default: 1"), parameters(f"{A}, default: 2"), [("default", False)], [("default", False)]),
    (
        parameters("name: a, type: string, json: A"),
        parameters("name: a, type: string"),
        [("json", True)],
        [("json", True)],
    ),
    (
        parameters("name: a, type: string, json: A"),
        parameters("name: a, type: string, json: B"),
        [("json", False)],
        [("json", False)],
    ),
    (results("type: int64"), results("type: int64"), SAME, SAME),
    (results("type: int64"), results("type: string"), [("results", True)], [("results", True)]),
    (results("type: int64"), results(), [("results", True)], [("results", True)]),
    (results("type: int64"), results("type: any"), [("results", False)], [("results", False)]),
    (results("type: int64"), of("doc: x"), [("results", False)], SAME),
    (results("type: '[]byte'"), results("type: '[]uint8'"), SAME, SAME),
    (results("type: string, json: A"), results("type: string"), [("json", True)], [("json", True)]),
    (of("queue: a"), of("queue: b"), [("queue", True)], [("queue", True)]),
    (of("retries: 1"), of("retries: 2"), [("options", False)], [("options", False)]),
    (of("priority: 1"), of("ignore_when_not_registered: true"), [("options", False)] * 2, [("options", False)] * 2),
    (of("doc: a"), of("doc: b"), SAME, SAME),
    (of("served_by: a"), of("served_by: b"), [("served by", False)], SAME),
]


@pytest.mark.parametrize(("contract", "code", "serving", "sending"), TABLE, ids=map(str, range(len(TABLE))))
def test_differences(
    contract: Contract, code: Contract, serving: list[tuple[str, bool]], sending: list[tuple[str, bool]]
) -> None:
    """Whether one breaks something depends on who sends the messages."""
    # The task that code only sends is missing from what it serves only when the contract says that it serves it.
    sent = [each for each in kinds(contract, code, sends=True) if each[0] != "missing task"]
    assert (kinds(contract, code), sent) == (serving, sending)


def test_every_kind_between_contract_and_code_is_in_the_table() -> None:
    """Nothing is said that was not tried."""
    tried = {kind for *_, serving, _ in TABLE for kind, _ in serving}
    assert tried | {"missing task", "extra task", "undecodable", "unknown task", "value"} == set(KINDS)


def test_tasks_that_are_missing() -> None:
    """On either side; a task of another service is nobody's fault here."""
    contract = read_contract(
        b"machinery_contract: 1\ntasks:\n  a: {served_by: app}\n  b: {served_by: go}\n  c: {}\n  d: {}\n", "f"
    )
    server = Server("eager")
    server.task("d")(lambda: None)
    server.task("new")(lambda: None)
    server.remote("gone")(lambda: None)
    source = Source.of("app:server", contract_of(server, "app"), remote_contract_of(server), "app")
    found = [(each.kind, each.task, each.breaking) for each in code_findings(contract, [source])]
    assert found == [
        ("missing task", "a", True),
        ("missing task", "c", True),
        ("served by", "d", False),
        ("missing task", "gone", True),
        ("extra task", "new", False),
    ]


def test_two_sources_serve_one_contract() -> None:
    """A task that names no service must be served by one of them."""
    contract = read_contract(b"machinery_contract: 1\ntasks:\n  a:\n  b:\n  c:\n", "f")
    sources = [
        Source.of(name, read_contract(f"machinery_contract: 1\ntasks:\n  {name}:\n".encode(), name)) for name in "ab"
    ]
    assert [(each.kind, each.task) for each in code_findings(contract, sources)] == [("missing task", "c")]


def test_a_line_says_everything() -> None:
    """What, where, and what to do."""
    [finding] = code_findings(of("queue: a"), [Source.of("app:server", of("queue: b"), Contract({}))])
    assert finding.line == (
        "f:3: t: it goes to the queue a in the contract and the queue b in app:server (f:3); export the contract "
        "again and make its stubs anew, or change the code back"
    )
    counted = Finding("arity", "t", "queue q", "too few", "mend it", True, 3, "task_1")
    assert counted.line == "queue q: t: too few (3×, as task_1); mend it"


# -- what waits --

FLEET = read_contract(
    b"""\
machinery_contract: 1
tasks:
  one: {parameters: [{name: n, type: int64}], results: [{type: int64}]}
  two: {parameters: [{type: int64}, {type: int64, default: 1}], results: [{type: int64}, {type: string}]}
  many: {parameters: [{type: int64, variadic: true}], results: []}
  text: {parameters: [{type: string}, {type: int64, variadic: true}], results: [{type: string}]}
  any: {parameters: [{type: any}]}
  order: {parameters: [{name: order, type: string, json: Order}], results: []}
  none: {results: []}
""",
    "f",
)
N, S = Arg("int64", 1), Arg("string", "a")


def sig(name: str, *args: Arg, **fields: Any) -> Signature:
    """A waiting message, or a callback in one."""
    return Signature(name, list(args), **fields)


def member(callback: Signature, count: int = 1, name: str = "one", uuid: str = "m") -> Signature:
    """A member of a chord."""
    group = {"group_uuid": "g", "group_task_count": count, "chord_callback": callback}
    return sig(name, N, uuid=uuid, **group)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (sig("one", N), []),
        (sig("one"), [("arity", "one")]),
        (sig("one", N, N), [("arity", "one")]),
        (sig("one", S), [("type", "one")]),
        (sig("one", Arg("int64", "x")), [("value", "one")]),
        (sig("one", Arg("int64", None)), [("value", "one")]),
        (sig("two", N), []),
        (sig("two", N, N, N), [("arity", "two")]),
        (sig("many"), []),
        (sig("many", N, N, S), [("type", "many")]),
        (sig("any", Arg("[]byte", "YQ==")), []),
        (sig("any", Arg("int63", 1)), [("value", "any")]),
        (sig("nobody", N), [("unknown task", "nobody")]),
        (sig("order", Arg("string", '{"a": 1}')), []),
        (sig("order", Arg("string", "{a}")), [("value", "order")]),
        # Results are appended, unless the parent is immutable.
        (sig("one", N, on_success=[sig("one")]), []),
        (sig("one", N, on_success=[sig("one", N)]), [("arity", "one")]),
        (sig("one", N, immutable=True, on_success=[sig("one", N)]), []),
        (sig("one", N, immutable=True, on_success=[sig("one")]), [("arity", "one")]),
        (sig("one", N, on_success=[sig("one", N, immutable=True)]), [("arity", "one")]),
        (sig("two", N, on_success=[sig("many")]), [("type", "many")]),
        (sig("one", N, on_success=[sig("text", S)]), []),
        (sig("one", N, on_success=[sig("text")]), [("type", "text")]),
        (sig("one", N, on_success=[sig("one", on_success=[sig("none")])]), [("arity", "none")]),
        # Of a task whose results are not known only too many arguments can be told.
        (sig("any", N, on_success=[sig("one"), sig("one", N, N)]), [("arity", "one")]),
        (sig("nobody", on_success=[sig("one")]), [("unknown task", "nobody")]),
        # The error's text comes first, whatever is immutable.
        (sig("one", N, on_error=[sig("text", N)]), []),
        (sig("one", N, immutable=True, on_error=[sig("text", N)]), []),
        (sig("one", N, on_error=[sig("text", S)]), [("type", "text")]),
        (sig("one", N, on_error=[sig("one")]), [("type", "one")]),
        (sig("one", N, on_error=[sig("none")]), [("arity", "none")]),
        (sig("one", N, on_error=[sig("any")]), []),
        # A chord of one, and of more that did not all wait here.
        (member(sig("one")), []),
        (member(sig("one", N)), [("arity", "one")]),
        (member(sig("one", N, immutable=True)), []),
        (member(sig("one", immutable=True)), [("arity", "one")]),
        (member(sig("one", N), 3), []),
        (member(sig("one", N, N), 3), [("arity", "one")]),
        (member(sig("one", S), 3), [("type", "one")]),
    ],
)
def test_messages(message: Signature, expected: list[tuple[str, str]]) -> None:
    """Each callback is looked at with the arguments that it will have."""
    look = Waiting(FLEET)
    look.add("queue q", wire.encode_signature(message))
    assert [(finding.kind, finding.task) for finding in look.findings] == expected


@pytest.mark.parametrize(
    ("callback", "names", "expected"),
    [
        (sig("many"), ["one", "one"], []),
        (sig("two"), ["one", "one"], []),
        (sig("one"), ["one", "one"], [("arity", "one")]),
        (sig("two", N), ["one", "one"], [("arity", "two")]),
        (sig("none"), ["many", "none"], []),
        # In which order these come is not known, so only their number is judged.
        (sig("text"), ["one", "two"], []),
        (sig("two"), ["one", "two"], [("arity", "two")]),
        (sig("text"), ["one", "one"], [("type", "text")]),
    ],
)
def test_chords_that_wait_as_a_whole(callback: Signature, names: list[str], expected: list[tuple[str, str]]) -> None:
    """The results of all members are appended to the callback."""
    look = Waiting(FLEET)
    for number, name in enumerate(names):
        message = member(callback, len(names), name, f"m{number}")
        message.args = [] if name == "none" else [N]
        look.add("queue q", wire.encode_signature(message))
    assert [(finding.kind, finding.task) for finding in look.findings] == expected


def test_a_member_that_waits_twice() -> None:
    """Is one member: the other may have finished, and what it returned is not known."""
    look = Waiting(FLEET)
    for _ in range(2):
        look.add("queue q", wire.encode_signature(member(sig("one"), 2)))
    assert look.findings == []


def test_findings_are_counted() -> None:
    """One for each place, kind, task and text, with the first message as its sample; values do not tell them apart."""
    look = Waiting(FLEET)
    for number in range(5):
        look.add("queue q", wire.encode_signature(sig("one", Arg("int64", f"x{number}"), uuid=f"u{number}")))
    look.add("queue r", wire.encode_signature(sig("one", Arg("int64", "x"), uuid="other")))
    look.add("queue q", b"garbage \x1b[2J")
    look.add("queue q", b'{"UUID": 5}')
    found = [(each.kind, each.place, each.count, each.uuid) for each in look.findings]
    assert found[:2] == [("value", "queue q", 5, "u0"), ("value", "queue r", 1, "other")]
    assert {each[0] for each in found[2:]} == {"undecodable"}
    assert json.loads(json.dumps(look.findings[0].document))["count"] == 5


def test_delayed_tasks_of_other_queues_are_left_out() -> None:
    """Only those for the queues that were asked for."""
    look = Waiting(FLEET)
    for key in ("q", "r", ""):
        look.add("delayed tasks", wire.encode_signature(sig("one", routing_key=key, uuid=key)), {"q", ""})
    assert [(finding.count, finding.uuid) for finding in look.findings] == [(2, "q")]


def test_null_callbacks_and_endless_families() -> None:
    """Hostile messages end."""
    look = Waiting(FLEET)
    look.add("q", b'{"Name": "none", "OnSuccess": [null], "OnError": [null]}')
    assert look.findings == []
    wide = sig("none", on_success=[sig("none") for _ in range(30_000)])
    look.add("q", wire.encode_signature(wide))
    assert look.findings == []
