"""A contract's text: the same every time, read back as it was, and its errors name the line."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from contracts import app, contracts
from hypothesis import given, settings

from gomachinery_py import Server, wire
from gomachinery_py.contracts.model import Contract, ContractError
from gomachinery_py.contracts.of_python import contract_of
from gomachinery_py.contracts.python_stubs import python_stubs
from gomachinery_py.contracts.reading import read_contract
from gomachinery_py.contracts.writing import write_contract
from gomachinery_py.errors import ConfigError

HEAD = "machinery_contract: 1\ntasks:\n"
ITEM = HEAD + "  a:\n    parameters:\n      - "


@settings(deadline=None)
@given(contracts)
def test_what_is_written_is_read_again(contract: Contract) -> None:
    """Any contract, to the byte."""
    text = write_contract(contract)
    assert read_contract(text.encode(), "x") == contract
    assert write_contract(read_contract(text.encode(), "x")) == text


@settings(deadline=None)
@given(contracts)
def test_it_is_yaml_for_everyone(contract: Contract) -> None:
    """PyYAML's own loader finds the same names and types."""
    loaded = yaml.safe_load(write_contract(contract))
    names = {name: [parameter["type"] for parameter in task["parameters"]] for name, task in loaded["tasks"].items()}
    assert names == {name: [each.type for each in task.parameters] for name, task in contract.tasks.items()}


def test_an_app_comes_back() -> None:
    """Every type, default and option of a Python app survives the text."""
    contract = contract_of(app(), "python")
    assert read_contract(write_contract(contract).encode(), "x") == contract


@pytest.mark.parametrize("number", [58_734_331_070_653_590.0, 1e20, 1e21, 5e-324, -0.0, 1.0, 0.1])
def test_floats(number: float) -> None:
    """Go writes a float up to 1e21 as an integer; it is the same float again in the stubs."""
    server, stubbed = Server("eager"), Server("eager")

    @server.task
    def scale(by: float = number, all_by: list[float] = [number, 2.5]) -> None:  # noqa: B006
        raise NotImplementedError

    contract = contract_of(server)
    again = read_contract(write_contract(contract).encode(), "x")
    module: dict[str, Any] = {}
    exec(python_stubs(again, "x").replace("from __future__ import annotations", ""), module)
    module["Tasks"](stubbed)
    ours, theirs = (
        wire.encode_signature(each.tasks["scale"].using(uuid="u").signature()) for each in (server, stubbed)
    )
    assert (again, theirs) == (contract, ours)


def test_bytes_as_numbers() -> None:
    """Are the bytes that base64 says."""
    [numbers, text] = (
        read_contract((ITEM + "{type: '[]byte', default: " + default + "}").encode(), "x")
        for default in ("[97, 98]", "YWI=")
    )
    assert numbers == text


def test_places() -> None:
    """A task knows where it was read."""
    contract = read_contract((HEAD + "  b: {}\n  a:\n").encode(), "f.yaml")
    assert {name: task.place for name, task in contract.tasks.items()} == {"a": "f.yaml:4", "b": "f.yaml:3"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "f is empty"),
        ("a: [", "f line 1: not YAML"),
        ("5", "f line 1: a contract must be names"),
        ("tasks: {}", "f line 1: this is no contract"),
        ("machinery_contract: 1", "f line 1: a contract needs tasks"),
        ("machinery_contract: 2\ntasks: {}", "f line 1: only version 1"),
        ("machinery_contract: 1\ntaks: {}", "f line 2: a contract has no key 'taks'; did you mean tasks?"),
        (HEAD + "  - a", "f line 3: tasks must be names"),
        (HEAD + "  a: {}\n  a: {}", "f line 4: 'a' is twice in tasks"),
        (HEAD + "  '': {}", "f line 3: a task needs a name"),
        (HEAD + "  [a]: {}", "f line 3: a name in tasks must be text"),
        (HEAD + "  a: 5", "f line 3: task 'a' must be names"),
        (HEAD + "  a:\n    retry: 5", "f line 4: task 'a' has no key 'retry'; did you mean retries?"),
        (HEAD + "  a:\n    retries: -1", "f line 4: retries must be a whole number from 0 to 1000000"),
        (HEAD + "  a:\n    priority: 256", "f line 4: priority must be a whole number from 0 to 255"),
        (HEAD + "  a:\n    retries: 1.0", "f line 4: retries must be a whole number"),
        (HEAD + "  a:\n    queue: [a]", "f line 4: queue must be text"),
        (HEAD + "  a:\n    doc: \"\\ud800\"", "f line 4: doc holds a lone surrogate"),
        (HEAD + "  a:\n    ignore_when_not_registered: 1", "f line 4: must be true or false"),
        (HEAD + "  a:\n    parameters: {}", "f line 4: parameters must be a list"),
        (HEAD + "  a:\n    parameters:\n      - int64", "f line 5: a parameter must be names"),
        (HEAD + "  a:\n    parameters:\n      - {name: a}", "f line 5: a type is missing"),
        (ITEM + "{type: int46}", "f line 5: Machinery has no type 'int46'; did you mean int64?"),
        (ITEM + "{type: x}", "f line 5: Machinery has no type 'x'; it has "),
        (ITEM + "{type: int64, name: ''}", "f line 5: a parameter's name is empty"),
        (ITEM + "{type: int64, json: A}", "f line 5: JSON travels as string"),
        (ITEM + "{type: string, json: ''}", "f line 5: json names what the text holds"),
        (HEAD + "  a:\n    results:\n      - {type: string, name: a}", "f line 5: a result has no key 'name'"),
        (ITEM + "{type: int8, default: 300}", "f line 5: the default does not fit int8"),
        (ITEM + "{type: int8, default: '3'}", "f line 5: the default does not fit int8"),
        (ITEM + "{type: int8, default: null}", "f line 5: the default does not fit int8"),
        (ITEM + "{type: '[]byte', default: '%'}", "f line 5: the default does not fit []byte"),
        (ITEM + "{type: any, default: {}}", "f line 5: a default must be text"),
        (ITEM + "{type: string, json: A, default: '{'}", "f line 5: the default does not fit JSON"),
        (
            HEAD + "  a:\n    parameters:\n      - {type: int8, variadic: true, default: 1}",
            "f line 5: a variadic parameter has no default",
        ),
        (
            HEAD + "  a:\n    parameters:\n      - {type: int8, variadic: true}\n      - {type: int8}",
            "f line 6: task 'a': the variadic parameter must be the last one",
        ),
        (
            HEAD + "  a:\n    parameters:\n      - {type: int8, default: 1}\n      - {type: int8}",
            "f line 6: task 'a': a parameter behind one with a default needs a default as well",
        ),
        (
            HEAD + "  a:\n    parameters:\n      - {type: int8, name: a}\n      - {type: int8, name: a}",
            "f line 6: task 'a' has two parameters 'a'",
        ),
        (HEAD + "  a:\n    queue: ~", "f line 4: queue is null; leave it out, or put the text into quotes"),
        (HEAD + "  a:\n    served_by: null", "f line 4: served_by is null"),
        (HEAD + "  Null: {}", "f line 3: a task's name is null"),
        (HEAD + "  a: {}\n---\n" + HEAD, "f line 4: a second document begins"),
        (HEAD + "  a: &x {}\n  b: *x", "f line 3: aliases (*name) are not taken here"),
        (HEAD + "  a:\n    parameters: " + "[" * 50_000, "nested too deeply"),
        (HEAD + "  a: !!python/object:os.system {}\n  b: 1", "f line 4"),
    ],
)  # fmt: skip
def test_errors(text: str, expected: str) -> None:
    """What is wrong, and where."""
    with pytest.raises(ConfigError) as raised:
        read_contract(text.encode(), "f")
    assert expected in str(raised.value)


def test_an_update_replaces_what_a_service_serves() -> None:
    """And nothing else; a name that two serve is an error that names both places."""
    old = read_contract((HEAD + "  a: {served_by: python}\n  b: {served_by: go}\n  c: {}\n").encode(), "old")
    new = read_contract((HEAD + "  d: {served_by: python}\n").encode(), "new")
    assert list(old.updated(new).tasks) == ["b", "c", "d"]
    clash = read_contract((HEAD + "  b: {served_by: python}\n").encode(), "new")
    with pytest.raises(
        ContractError, match=r"'b' is in two contracts, old:4 \(served by go\) and new:3 \(served by python\)"
    ):
        old.updated(clash)


def test_only_some_services() -> None:
    """A contract can be cut down to what some services serve; one that serves nothing is a mistake."""
    contract = read_contract((HEAD + "  a: {served_by: python}\n  b: {served_by: go}\n").encode(), "f")
    assert (list(contract.served_by(["go"]).tasks), list(contract.served_by([]).tasks)) == (["b"], ["a", "b"])
    with pytest.raises(ContractError, match="no task that is served by 'rust'; it has go, python"):
        contract.served_by(["rust"])
