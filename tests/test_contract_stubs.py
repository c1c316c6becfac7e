"""Python stubs of a contract: typed, under safe names, and with the messages of the tasks themselves."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from contracts import Order, app, contracts
from hypothesis import given, settings
from type_checkers import mypy, pyright

from gomachinery_py import Server, wire
from gomachinery_py.contracts.differences import Source, code_findings
from gomachinery_py.contracts.go_code import go_producer, go_registry
from gomachinery_py.contracts.model import Contract, ContractError, ParameterContract, ResultContract, TaskContract
from gomachinery_py.contracts.naming import distinct, go_name, pascal_name, python_name
from gomachinery_py.contracts.of_python import contract_of, remote_contract_of
from gomachinery_py.contracts.python_stubs import python_stubs

USE = """
from __future__ import annotations

from typing import Any, assert_type

from fleet import Tasks

from gomachinery_py import AsyncResult, Server
from models import Order

tasks = Tasks(Server("eager"))
assert_type(tasks.billing_charge.send("a", 5), AsyncResult[tuple[str, int]])
assert_type(tasks.billing_charge.send(customer="a", lines=["b"]).get(timeout=1), tuple[str, int])
assert_type(tasks.send_mail.send("a", Order(1, []), b"", "b", "c").get(timeout=1), Order)
assert_type(tasks.import_.send(1), AsyncResult[None])
assert_type(tasks.anything.send(1, b"", "x", 5), AsyncResult[Any])
assert_type(tasks.echo___float32.send([1.5]), AsyncResult[list[float]])
assert_type(tasks.echo___byte.using(retries=1).send(b"a"), AsyncResult[bytes])
assert_type(tasks.server.send(1), AsyncResult[int])
tasks.billing_charge.send(5)  # refused
tasks.billing_charge.send("a", cent=5)  # refused
tasks.send_mail.send("a", {"number": 1})  # refused
tasks.send_mail.send("a", Order(1, []), b"", 5)  # refused
tasks.nobody.send()  # refused
""".replace("tasks.server", "tasks.server_")

CALLS: dict[str, list[tuple[Any, ...]]] = {
    "billing.charge": [("a",), ("a", 7), ("a", 7, ["x", "y"])],
    "send-mail": [("a",), ("a", Order(2, [])), ("a", Order(2, []), b"\x00", "b", "c")],
    "import": [(1,), (1, [3]), (1, [], 2.5), (1, [], 2.5, [Order(3, [])])],
    "anything": [(1,), ("a", b"b"), (1, 2.5, None), (1, "b", 3.5, True, 7)],
    "echo_float32": [(1.5,)],
    "echo_[]uint64": [([1, 1 << 63],)],
    'q"\\\n': [(5,)],
    "__private": [(5,)],
}


def loaded(text: str) -> Any:
    """A module of this text."""
    module = ModuleType("fleet")
    sys.modules[module.__name__] = module
    exec(compile(text, "fleet.py", "exec"), module.__dict__)
    return module


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stubs of an app, and code that uses them."""
    path = tmp_path_factory.mktemp("stubs")
    (path / "fleet.py").write_text(python_stubs(contract_of(app()), "t.yaml", "models"), encoding="utf-8")
    (path / "use.py").write_text(USE, encoding="utf-8")
    (path / "models.py").write_text(
        "from dataclasses import dataclass\n\n\n@dataclass\nclass Order:\n    number: int\n    lines: list[str]\n"
    )
    return path


@pytest.mark.parametrize("checker", [mypy, pyright])
def test_stubs_are_typed(files: Path, checker: Any) -> None:
    """Both type checkers accept the stubs and their right use, and refuse the wrong one."""
    refused = {number for number, line in enumerate(USE.splitlines(), 1) if line.endswith("# refused")}
    assert (checker(files / "fleet.py", files), checker(files / "use.py", files)) == (set(), refused)


def test_messages_are_those_of_the_tasks() -> None:
    """Byte for byte, defaults and options included."""
    original, stubbed = app(), Server("eager")
    loaded(python_stubs(contract_of(original), "t.yaml")).Tasks(stubbed)
    assert list(stubbed.tasks) == sorted(original.tasks)
    for name, calls in CALLS.items():
        for values in calls:
            ours, theirs = (
                wire.encode_signature(server.tasks[name].using(uuid="u").signature(*values))
                for server in (original, stubbed)
            )
            assert ours == theirs, (name, values)


def test_a_contract_of_the_stubs_is_the_contract() -> None:
    """Names, types, defaults, options and texts come through Python and back."""
    contract = contract_of(app())
    server = Server("eager")
    loaded(python_stubs(contract, "t.yaml")).Tasks(server)
    for task in server.tasks.values():
        # Only what the server serves is exported.
        task.remote = False
    again = contract_of(server)
    for name in ("billing.charge", "echo_[]byte", "echo_int8", "echo_string", "anything"):
        assert again.tasks[name] == contract.tasks[name]


@settings(deadline=None, max_examples=60)
@given(contracts)
def test_stubs_of_any_contract(contract: Contract) -> None:
    """They can be loaded, declare its tasks under their names, and `contract check` finds that they are right."""
    server = Server("eager")
    loaded(python_stubs(contract, "t.yaml")).Tasks(server)
    assert sorted(server.tasks) == list(contract.tasks)
    source = Source.of("stubs", Contract({}), remote_contract_of(server))
    found = {finding.kind for finding in code_findings(contract, [source])}
    # Names become identifiers, models are not imported, and nobody here serves the tasks.
    assert found <= {"name", "json", "missing task"}


def test_parameters_without_names_are_positional() -> None:
    """Nobody can call them by names that nobody gave."""
    task = TaskContract(
        "a", (ParameterContract("int64"), ParameterContract("int64", name="b")), (ResultContract("bool"),)
    )
    text = python_stubs(Contract.of([task]), "t.yaml")
    assert "def a(arg1: int, /, b: int) -> bool:" in text


def test_a_contract_without_tasks() -> None:
    """Is a module and two packages that say so."""
    empty = Contract({})
    loaded(python_stubs(empty, "t.yaml")).Tasks(Server("eager"))
    assert "import" not in go_producer(empty, "fleet", "v2", "t.yaml")
    assert "var Tasks = map[string]interface{}{}" in go_registry(empty, "fleet", "t.yaml")


@pytest.mark.parametrize("package", ["", "a-b", "func", "5a", "a b", "_", "string"])
def test_a_package_needs_a_name(package: str) -> None:
    """What Go would not take as one is refused."""
    with pytest.raises(ContractError, match="cannot be the name of a Go package"):
        go_producer(Contract({}), package, "v2", "t.yaml")


@pytest.mark.parametrize(
    ("text", "python", "go", "pascal"),
    [
        ("add", "add", "add", "Add"),
        ("billing.charge", "billing_charge", "billing_charge", "BillingCharge"),
        ("send-mail", "send_mail", "send_mail", "SendMail"),
        ("import", "import_", "import_", "Import"),
        ("type", "type", "type_", "Type"),
        ("string", "string", "string_", "String"),
        ("1st", "task_1st", "_1st", "1st"),
        ("__private", "private", "__private", "Private"),
        ("ﬁ", "fi", "ﬁ", "F"),
        ("größe", "größe", "größe", "Größe"),
        ("", "task_", "__", ""),
        ("+", "_", "__", ""),
        ("snake_case_name", "snake_case_name", "snake_case_name", "SnakeCaseName"),
    ],
)
def test_identifiers(text: str, python: str, go: str, pascal: str) -> None:
    """Names that are no identifiers become some; words of a language are left alone."""
    assert (python_name(text), go_name(text), pascal_name(text)) == (python, go, pascal)


def test_a_new_task_takes_no_identifier_away() -> None:
    """Of names that collide only the exact one is called by it; code for the others no longer compiles."""
    before = distinct(["add_it"], python_name)
    after = distinct(["add_it", "add-it", "add.it"], python_name)
    assert (before["add_it"], after["add_it"], len(set(after.values()))) == ("add_it", "add_it", 3)
    alone, together = distinct(["add-it"], python_name), distinct(["add-it", "add.it"], python_name)
    assert alone["add-it"] not in together.values()
