"""The contract beside code: what differs, and whether a message or a result is harmed by it.

What a difference does depends on who sends. A task that code serves is sent by others as the contract says; a task
that code only sends (``server.remote``) is served as the contract says.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from gomachinery_py.contracts.findings import Finding
from gomachinery_py.contracts.model import REQUIRED, Contract, ParameterContract, ResultContract, TaskContract

__all__ = ["Source", "code_findings"]

_SERVED: Final = "export the contract again and make its stubs anew, or change the code back"
_SENT: Final = "make the stubs anew from the contract"


@dataclass(frozen=True, slots=True)
class Source:
    """Code as a contract: the tasks that ``name`` serves, and those that it only sends.

    ``describes`` is False where reflection wrote it, which knows neither names nor what is JSON.
    """

    name: str
    serves: Contract
    sends: Contract
    services: frozenset[str]
    describes: bool

    @classmethod
    def of(cls, name: str, serves: Contract, sends: Contract | None = None, service: str | None = None) -> Source:
        """``service`` is what it is called, where its tasks do not say."""
        services = {task.served_by for task in serves.tasks.values()} | ({service} if service is not None else set())
        values = [value for task in serves.tasks.values() for value in (*task.parameters, *(task.results or ()))]
        describes = sends is not None or any(value.json or getattr(value, "name", None) for value in values)
        return cls(name, serves, sends or Contract({}), frozenset(services), describes)


def code_findings(contract: Contract, sources: Sequence[Source]) -> list[Finding]:
    """All differences between the contract and code, by task."""
    found: list[Finding] = []
    for source in sources:
        for name, code in source.serves.tasks.items():
            task = contract.tasks.get(name)
            if task is None:
                found.append(
                    Finding(
                        "extra task",
                        name,
                        code.place or source.name,
                        f"{source.name} serves it, and the contract does not have it",
                        "export the contract again",
                        breaking=False,
                    )
                )
            else:
                found += _Pair(task, code, source, is_served=True).findings()
        for name, code in source.sends.tasks.items():
            task = contract.tasks.get(name)
            if task is None:
                text = f"{source.name} sends it, and the contract does not have it"
                found.append(
                    Finding(
                        "missing task", name, code.place or source.name, text, "take the stub out, or serve the task"
                    )
                )
            else:
                found += _Pair(task, code, source, is_served=False).findings()
    found += _missing(contract, sources)
    return sorted(found, key=lambda finding: finding.task)


def _missing(contract: Contract, sources: Sequence[Source]) -> Iterator[Finding]:
    served = {name for source in sources for name in source.serves.tasks}
    services = {service for source in sources for service in source.services}
    for name, task in contract.tasks.items():
        if name not in served and sources and (not task.served_by or task.served_by in services):
            where = " and ".join(source.name for source in sources if task.served_by in {"", *source.services})
            yield Finding(
                "missing task",
                name,
                task.place,
                f"it is in the contract, and {where} does not serve it",
                "bring it back, or export the contract again when nobody sends it any more",
            )


@dataclass(frozen=True, slots=True)
class _Pair:
    contract: TaskContract
    code: TaskContract
    source: Source
    is_served: bool

    def findings(self) -> Iterator[Finding]:
        yield from self._arguments()
        yield from self._descriptions()
        yield from self._results()
        yield from self._options()

    def _finding(self, kind: str, what: str, contract: object, code: object, breaking: bool) -> Finding:
        place = f" ({self.code.place})" if self.code.place else ""
        return Finding(
            kind,
            self.contract.name,
            self.contract.place,
            f"{what} {contract} in the contract and {code} in {self.source.name}{place}",
            _SERVED if self.is_served else _SENT,
            breaking,
        )

    @property
    def _sender(self) -> TaskContract:
        return self.contract if self.is_served else self.code

    @property
    def _receiver(self) -> TaskContract:
        return self.code if self.is_served else self.contract

    def _arguments(self) -> Iterator[Finding]:
        sender, receiver = self._sender, self._receiver
        if (_least(self.contract), _most(self.contract)) != (_least(self.code), _most(self.code)):
            breaking = _least(sender) < _least(receiver) or _most(sender) > _most(receiver)
            yield self._finding("arity", "it takes", _count(self.contract), _count(self.code), breaking)
        for index in range(max(len(self.contract.fixed), len(self.code.fixed)) + 1):
            sent, taken = sender.at(index), receiver.at(index)
            if sent is None or taken is None or _reflected(sent) == _reflected(taken):
                continue
            contract, code = self.contract.at(index), self.code.at(index)
            assert contract is not None
            assert code is not None
            breaking = _reflected(taken) is not None
            yield self._finding("type", f"{_called(index, contract, code)} is", contract.type, code.type, breaking)

    def _descriptions(self) -> Iterator[Finding]:
        """What is not on the wire; of a parameter without a name nothing of it is known."""
        for index, (contract, code) in enumerate(zip(self.contract.parameters, self.code.parameters, strict=False)):
            if contract.name is None or code.name is None:
                continue
            what = _called(index, contract, code)
            if contract.name != code.name:
                yield self._finding("name", f"parameter {index + 1} is called", contract.name, code.name, False)
            if contract.json != code.json and _reflected(contract) == _reflected(code):
                breaking = None in (contract.json, code.json)
                yield self._finding("json", f"{what} is", _text(contract), _text(code), breaking)
            if REQUIRED not in (contract.default, code.default) and contract.default != code.default:
                yield self._finding("default", f"the default of {what} is", contract.default, code.default, False)

    def _results(self) -> Iterator[Finding]:
        contract, code = self.contract.result_names, self.code.result_names
        if code is None and not self.is_served:
            # A stub that returns Any takes whatever comes.
            return
        if contract != code:
            breaking = contract is not None and code is not None and not _readable(contract, code)
            yield self._finding("results", "it returns", _results(self.contract), _results(self.code), breaking)
        elif self.source.describes and all(parameter.name is not None for parameter in self.code.parameters):
            for number, (one, other) in enumerate(
                zip(self.contract.results or (), self.code.results or (), strict=True), start=1
            ):
                if one.json != other.json:
                    breaking = None in (one.json, other.json)
                    yield self._finding("json", f"result {number} is", _text(one), _text(other), breaking)

    def _options(self) -> Iterator[Finding]:
        contract, code = self.contract, self.code
        if contract.queue != code.queue:
            yield self._finding("queue", "it goes to", _queue(contract), _queue(code), True)
        for what in ("retries", "retry_timeout", "priority", "ignore_when_not_registered"):
            one, other = getattr(contract, what), getattr(code, what)
            if one != other:
                yield self._finding("options", f"{what} is", one, other, False)
        if self.is_served and contract.served_by != code.served_by and code.served_by:
            yield self._finding("served by", "it is served by", contract.served_by or "nobody", code.served_by, False)


def _least(task: TaskContract) -> int:
    return task.required


def _most(task: TaskContract) -> float:
    return math.inf if task.variadic else len(task.fixed)


def _count(task: TaskContract) -> str:
    least, most = _least(task), _most(task)
    if most == math.inf:
        return f"{least} or more arguments"
    return f"{least} argument{'' if least == 1 else 's'}" if least == most else f"{least} to {int(most)} arguments"


def _reflected(value: ResultContract) -> str | None:
    kind = value.machinery_type
    return None if kind is None else kind.reflected_name


def _called(index: int, contract: ParameterContract, code: ParameterContract) -> str:
    name = contract.name or code.name
    return f"parameter {index + 1}" + (f" ({name})" if name else "")


def _text(value: ResultContract) -> str:
    return "plain text" if value.json is None else f"JSON of {value.json}"


def _queue(task: TaskContract) -> str:
    return f"the queue {task.queue}" if task.queue else "the default queue"


def _results(task: TaskContract) -> str:
    if task.results is None:
        return "what its values tell"
    return ", ".join(result.type for result in task.results) or "nothing"


def _readable(contract: Sequence[str | None], code: Sequence[str | None]) -> bool:
    """Whether all that is not equal is any on one side."""
    return len(contract) == len(code) and all(
        None in pair or pair[0] == pair[1] for pair in zip(contract, code, strict=True)
    )
