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
from seeds import FRESH_SEED

from gomachinery_py.errors import ArgumentError
from gomachinery_py.wire import decode_signature
from gomachinery_py.wire.model import Arg
from gomachinery_py.wire.reflect import RANGES, TYPE_NAMES, reflect_args, reflect_value

PAIRS = 12_000

TYPES = [*sorted(TYPE_NAMES), "", "[]", "int128", "[][]int", "interface {}", "Int64", "map[string]int"]
NUMBERS = [
    *("0", "1", "-1", "-0", "5", "15", "44", "127", "128", "-128", "-129", "255", "256", "300", "32767", "32768"),
    *("65535", "65536", "2147483647", "2147483648", "-2147483649", "4294967295", "4294967296"),
    *("9223372036854775807", "9223372036854775808", "-9223372036854775808", "-9223372036854775809"),
    *("18446744073709551615", "18446744073709551616", "123456789012345678901234567890", "1.0", "1.5", "1.50"),
    *("1E5", "1e5", "1e+21", "1e21", "1e-7", "1e-6", "0.1", "3.4028235e38", "3.4028236e38", "3.5e38", "-3.5e38"),
    *("1e400", "-1e400", "1e-400", "1.7976931348623157e308", "5e-324", "16777217", "0.10000000149011612"),
]
TEXTS = [
    *(
        "",
        "5",
        "x",
        "héllo",
        "true",
        "null",
        "<&>",
        "日本",
        "a b",
        "\x00",
        "YQ==",
        "YWI=",
        "YWJj",
        "YWJjZA==",
        "YQ",
        "YQ=",
    ),
    *(
        "YQ==\n",
        "Y\r\nQ==",
        "YQ=\n=",
        "YQ=x",
        "YQ==YQ==",
        "====",
        "=",
        "Y===",
        "YW_j",
        "YWJ=",
        "YWJ=Y",
        "YWJjY",
        "é",
        "YR==",
    ),
    *("AAAAAAAAAAAAAAAA", "AAAAAAAAAAAA=AAA", "AAAAAAAA\nAAAA", "\n", "\r\nYWJj\r\n", "YWJjYWJjYWJj!", "YWJjYQ=\r"),
]


def number(random_: random.Random) -> str:
    if random_.random() < 0.7:
        return random_.choice(NUMBERS)
    if random_.random() < 0.5:
        return str(random_.randrange(-(1 << random_.randrange(1, 70)), 1 << random_.randrange(1, 70)))
    while True:
        (value,) = struct.unpack("<d", random_.randbytes(8))
        if value == value and abs(value) != float("inf"):
            return repr(value)


def value(random_: random.Random, depth: int = 0) -> str:
    """One JSON value as text, so that number literals stay as they are."""
    choice = random_.random()
    if choice < 0.4:
        return number(random_)
    if choice < 0.6:
        return json.dumps(random_.choice(TEXTS))
    if choice < 0.75 or depth > 2:
        return random_.choice(["null", "true", "false"])
    if choice < 0.93:
        alike = random_.random()
        count = random_.randrange(4)
        if alike < 0.4:
            return f"[{','.join(number(random_) for _ in range(count))}]"
        if alike < 0.6:
            return f"[{','.join(json.dumps(random_.choice(TEXTS)) for _ in range(count))}]"
        return f"[{','.join(value(random_, depth + 1) for _ in range(count))}]"
    keys = random_.sample(["a", "b", "B", "é", ""], random_.randrange(3))
    return f"{{{','.join(f'{json.dumps(key)}:{value(random_, depth + 1)}' for key in keys)}}}"


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
