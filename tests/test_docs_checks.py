"""What checks the documentation sees what is wrong in it."""

from __future__ import annotations

from pathlib import Path

import pytest
from docs_blocks import Block, page_of
from docs_shell import check_script


@pytest.mark.parametrize(
    "text",
    ["1 + 1  # 3", "int('x')  # TypeError", "int('1')  # ValueError", "int('x')  # ValueError: base 7", "nothing"],
)
def test_python_that_is_wrong(text: str) -> None:
    """A value, an error or a text that is not what the page states, and a name that is not there."""
    with page_of("redis://127.0.0.1:1") as page, pytest.raises((AssertionError, NameError)):
        page.run(Block("page.md", 1, "python", f"{text}\n"))


def test_python_that_is_right() -> None:
    """Values and errors are compared, also behind an await; other comments are not."""
    text = "import asyncio\n1 + 1  # 2\nint('x')  # ValueError: base 10\nawait asyncio.sleep(0, 3)  # 3\n1  # one\n"
    with page_of("redis://127.0.0.1:1") as page:
        page.run(Block("page.md", 1, "python", text))

        assert page.compared == 3


@pytest.mark.parametrize(
    "script",
    [
        "gomachinery sned add 1",
        "gomachinery send add 1 --brokr redis://localhost",
        "gomachinery worker app:server -c many",
        "gomachinery worker",
        "gomachinery queue ls | gomachinery peek",
        "pip install 'gomachinery-py[rabbit]'",
        "python -m benchmarks.nothing",
        "scripts/nothing",
        "unknown-program",
        "for each in a b; do",
    ],
)
def test_shell_that_is_wrong(script: str, tmp_path: Path) -> None:
    """Verbs, options, values, extras, modules and programs that there are not."""
    with pytest.raises(Exception, match=r"."):
        check_script(script, tmp_path)
