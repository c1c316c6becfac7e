"""A contract as plain data: tasks, their parameters and results, and how they are sent.

Types are Machinery's names (``wire.reflect.TYPE_NAMES``) and :data:`ANY`. Values of defaults are as JSON holds them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from gomachinery_py.annotations import MachineryType, type_named
from gomachinery_py.calls import REQUIRED, Parameter, Parameters
from gomachinery_py.errors import MachineryError

__all__ = [
    "ANY",
    "REQUIRED",
    "VERSION",
    "Contract",
    "ContractError",
    "ParameterContract",
    "ResultContract",
    "TaskContract",
]

VERSION: Final = 1

ANY: Final = "any"
"""A value of any Machinery type: Go's ``interface{}``, Python's missing annotation."""


class ContractError(MachineryError, ValueError):
    """Two contracts do not go together, or nothing can be made of one."""


@dataclass(frozen=True, slots=True)
class ResultContract:
    """One value that a task returns. ``json`` names the model of a text that is JSON."""

    type: str
    json: str | None = None

    @property
    def machinery_type(self) -> MachineryType | None:
        """None when it is any."""
        return None if self.type == ANY else type_named(self.type)


@dataclass(frozen=True, slots=True)
class ParameterContract(ResultContract):
    """One parameter.

    ``name`` is None where it is not known: Go's reflection has no names of parameters. ``default`` is what Python
    callers send when they leave it out, None with type any when they then send nothing.
    """

    name: str | None = None
    variadic: bool = False
    default: Any = REQUIRED

    @property
    def is_required(self) -> bool:
        return self.default is REQUIRED and not self.variadic


@dataclass(frozen=True, slots=True)
class TaskContract:
    """One task. ``results`` is None when only its values tell.

    ``queue``, ``retries``, ``retry_timeout`` (seconds), ``priority`` and ``ignore_when_not_registered`` are what it is
    sent with; ``served_by`` names the service that runs it. ``place`` is where this was read, ``file:line``.
    """

    name: str
    parameters: tuple[ParameterContract, ...] = ()
    results: tuple[ResultContract, ...] | None = ()
    queue: str = ""
    retries: int = 0
    retry_timeout: int = 0
    priority: int = 0
    ignore_when_not_registered: bool = False
    doc: str = ""
    served_by: str = ""
    place: str = field(default="", compare=False)

    @property
    def fixed(self) -> tuple[ParameterContract, ...]:
        """The parameters that take one argument each."""
        return tuple(parameter for parameter in self.parameters if not parameter.variadic)

    @property
    def variadic(self) -> ParameterContract | None:
        """The last parameter, when it takes any number of arguments."""
        return self.parameters[-1] if self.parameters and self.parameters[-1].variadic else None

    def at(self, index: int) -> ParameterContract | None:
        """The parameter that takes the argument at this place."""
        return self.fixed[index] if index < len(self.fixed) else self.variadic

    @property
    def required(self) -> int:
        """How many arguments a call must have."""
        return sum(parameter.is_required for parameter in self.parameters)

    @property
    def result_names(self) -> tuple[str | None, ...] | None:
        """Go's reflected names of the results' types; None among them is any, None alone is not known."""
        if self.results is None:
            return None
        kinds = [result.machinery_type for result in self.results]
        return tuple(None if kind is None else kind.reflected_name for kind in kinds)

    @property
    def call(self) -> Parameters:
        """The parameters as calls are checked by them."""
        named = [
            Parameter(parameter.name or f"argument {index}", parameter.machinery_type, parameter.default)
            for index, parameter in enumerate(self.parameters, start=1)
        ]
        return Parameters(self.name, tuple(named[: len(self.fixed)]), named[-1] if self.variadic else None)


@dataclass(frozen=True, slots=True)
class Contract:
    """The tasks of a fleet by their names, in their order."""

    tasks: dict[str, TaskContract]

    @classmethod
    def of(cls, tasks: Iterable[TaskContract]) -> Contract:
        """Raises ContractError when two have the same name."""
        found: dict[str, TaskContract] = {}
        for task in sorted(tasks, key=lambda task: task.name):
            if task.name in found:
                raise ContractError(
                    f"task {task.name!r} is in two contracts, {_origin(found[task.name])} and {_origin(task)}: "
                    "give one of them another name, or take it out of one"
                )
            found[task.name] = task
        return cls(found)

    def updated(self, newer: Contract, service: str | None = None) -> Contract:
        """This contract with all tasks of the services that ``newer`` speaks for as they are there.

        These are the services of its tasks, and ``service`` if it has none of its tasks any more. Raises ContractError
        when a task is then served by two.
        """
        services = {service, *(task.served_by for task in newer.tasks.values())}
        kept = [task for task in self.tasks.values() if task.served_by not in services]
        return Contract.of([*kept, *newer.tasks.values()])

    def served_by(self, services: Iterable[str]) -> Contract:
        """Only the tasks of these services; all when none is named. Raises ContractError for one without tasks."""
        wanted = set(services)
        known = {task.served_by for task in self.tasks.values()}
        for service in sorted(wanted - known):
            there = ", ".join(sorted(known - {""})) or "no service by name"
            raise ContractError(f"the contract has no task that is served by {service!r}; it has {there}")
        return Contract({name: task for name, task in self.tasks.items() if not wanted or task.served_by in wanted})


def _origin(task: TaskContract) -> str:
    return " ".join(part for part in (task.place, f"(served by {task.served_by})" if task.served_by else "") if part)
