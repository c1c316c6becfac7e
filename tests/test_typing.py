"""A wrong argument to ``.send`` is a type error, in mypy and in pyright."""

from __future__ import annotations

from pathlib import Path

from type_checkers import mypy, pyright

TYPED = Path(__file__).parent / "typed"
ROOT = TYPED.parent.parent
MARKED = {
    number for number, line in enumerate((TYPED / "wrong.py").read_text().splitlines(), 1) if line.endswith("# refused")
}


def test_mypy() -> None:
    """mypy takes all that is right and refuses all that is wrong."""
    assert (set(), MARKED) == (mypy(TYPED / "right.py", ROOT), mypy(TYPED / "wrong.py", ROOT))


def test_pyright() -> None:
    """pyright takes all that is right and refuses all that is wrong."""
    assert (set(), MARKED) == (pyright(TYPED / "right.py", ROOT), pyright(TYPED / "wrong.py", ROOT))
