"""Text that several languages read alike.

What :func:`quoted` makes is a literal of YAML, Python and Go at once, and go/contract/text.go makes the same.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["plain", "quoted"]

_PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:[.-][A-Za-z0-9_]+)*")
# Words that YAML takes for something else than text.
_WORDS: Final = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null", "none", "nan", "inf"})
_SHORT: Final = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
# Control characters and those that change how a line is shown or where it ends.
_ESCAPED: Final = re.compile(
    '["\\\\\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufffe\uffff\ud800-\udfff]'
)


def quoted(text: str) -> str:
    """A literal in double quotes."""
    return '"' + _ESCAPED.sub(lambda found: _escaped(found[0]), text) + '"'


def _escaped(character: str) -> str:
    code = ord(character)
    return _SHORT.get(character) or (f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}")


def plain(text: str) -> str:
    """Text as YAML has it: without quotes where that is safe."""
    return text if _PLAIN.fullmatch(text) and text.lower() not in _WORDS else quoted(text)
