"""Wire values become the same Python values, or errors with the same text, as in Go's ReflectValue."""

from __future__ import annotations

import json
import random
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest
from gobuild import binary
from harness.reflected import TYPES, value
from seeds import FRESH_SEED

from gomachinery_py.errors import ArgumentError
from gomachinery_py.wire import decode_signature
from gomachinery_py.wire.model import Arg
from gomachinery_py.wire.reflect import RANGES, reflect_args, reflect_value

PAIRS = 12_000


def ask_go(requests: list[str]) -> list[Any]:
    run = subprocess.run(
        [binary("reflect")], input="\n".join(requests) + "\n", capture_output=True, text=True, timeout=120, check=True
    )
    return [json.loads(line) for line in run.stdout.splitlines()]


def ours(type_name: str, text: str) -> Any:
    """What we make of the same value, in the shape of the Go program's answer."""
    document = f'{{"Args":[{{"Type":{json.dumps(type_name)},"Value":{text}}}]}}'
    args = decode_signature(document.encode()).args
    assert args is not None
    try:
        result = reflect_value(type_name, args[0].value)
    except ArgumentError as error:
        return {"value": None, "error": str(error)}
    return {"kind": "[]uint8" if type_name == "[]byte" else type_name, "value": result}


def same_value(type_name: str, go: Any, ours_: Any) -> bool:
    if type_name.startswith("[]"):
        return len(go) == len(ours_) and all(
            same_value(type_name[2:], theirs, mine) for theirs, mine in zip(go, list(ours_), strict=True)
        )
    if type_name.startswith("float"):
        return type(ours_) is float and struct.pack("<d", float(go)) == struct.pack("<d", ours_)
    wanted = {"bool": bool, "string": str}.get(type_name, int)
    return type(ours_) is wanted and go == ours_


def divergence(type_name: str, go: Any, mine: Any) -> str:
    """The listed divergence that explains a difference; ``difference`` when none does."""
    if "error" not in mine:
        return "difference"
    if "panic" in go:
        return "reflect-slice-panics"
    element = type_name.removeprefix("[]").replace("byte", "uint8")
    text = mine["error"]
    if " does not fit " in text and "error" not in go:
        if element == "float32":
            return "reflect-float32-infinite"
        if RANGES.get(element, (0, 1 << 64))[1] < (1 << 63) - 1:
            return "reflect-integer-wraps"
    return "difference"


def listed() -> set[str]:
    path = Path(__file__).resolve().parent.parent / "fixtures" / "known-divergence.txt"
    names = {line.split()[0] for line in path.read_text().splitlines() if line.strip() and line[0] != "#"}
    return {name for name in names if name.startswith("reflect-")}


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("seed", [20240601, FRESH_SEED], ids=["fixed", "fresh"])
def test_random_values_reflect_as_in_go(version: str, seed: int) -> None:
    """Random values of every type give Go's value or Go's text; what differs is listed, and does differ."""
    random_ = random.Random(seed)
    pairs = [(random_.choice(TYPES), value(random_)) for _ in range(PAIRS)]
    requests = [f'{{"version":"{version}","type":{json.dumps(name)},"value":{text}}}' for name, text in pairs]
    seen: dict[str, int] = {}
    differences = []
    for (name, text), go in zip(pairs, ask_go(requests), strict=True):
        mine = ours(name, text)
        if "kind" in go and "kind" in mine and go["kind"] == mine["kind"]:
            if same_value(name, go["value"], mine["value"]):
                continue
        elif "error" in go and go == mine:
            continue
        reason = divergence(name, go, mine)
        seen[reason] = seen.get(reason, 0) + 1
        if reason == "difference":
            differences.append((name, text, go, mine))
    print(f"seed {seed}: {PAIRS} pairs, {version}, differing as listed: {seen}")
    assert differences[:5] == []
    assert listed() == set(seen)


def test_first_bad_argument_is_reported() -> None:
    """The first argument that does not fit gives the text, after the words of Machinery's task.New."""
    (go,) = ask_go(['{"version":"v2","type":"int64","value":"x"}'])
    with pytest.raises(ArgumentError) as caught:
        reflect_args([Arg("int64", 1), Arg("int64", "x"), Arg("bool", 3)])
    assert f"Reflect task args error: {go['error']}" == str(caught.value)
