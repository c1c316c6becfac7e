"""The hand-written documents of ``fixtures/cases/codec.json``, and the golden files that live Go makes of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from harness.codec import DECODING_FAILED, ENCODING_FAILED, SYNTAX_FAILED, VERSIONS, WRITTEN, Codec

__all__ = ["golden_files"]

FIXTURES: Final = Path(__file__).resolve().parent.parent.parent / "fixtures"
GOLDEN: Final = {"v1": "v1.10.8", "v2": "v2.0.16"}
KINDS: Final = {"signature": "s", "task_state": "t", "group_meta": "g"}
# What Go's answer is called in the golden files.
ANSWERS: Final = {
    WRITTEN: "written",
    DECODING_FAILED: "refused",
    SYNTAX_FAILED: "syntax",
    ENCODING_FAILED: "unwritable",
}


def golden_files(codec: Codec) -> dict[Path, str]:
    """What each golden file should hold: the cases with Go's answers."""
    cases = json.loads((FIXTURES / "cases" / "codec.json").read_text(encoding="utf-8"))
    return {
        FIXTURES / "golden" / GOLDEN[version] / "codec.json": _render(codec, version, cases) for version in VERSIONS
    }


def _render(codec: Codec, version: str, cases: list[dict[str, str]]) -> str:
    answers = codec.ask_all([(KINDS[case["kind"]], version, _document(case)) for case in cases])
    answered: list[dict[str, Any]] = [
        {**case, "go": {ANSWERS[answer.status]: answer.text}} for case, answer in zip(cases, answers, strict=True)
    ]
    return "[\n" + ",\n".join("  " + json.dumps(case, ensure_ascii=False) for case in answered) + "\n]\n"


def _document(case: dict[str, str]) -> bytes:
    return bytes.fromhex(case["hex"]) if "hex" in case else case["document"].encode()
