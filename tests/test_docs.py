"""Every fenced block of README.md and of the documentation is run, parsed or accounted for."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from docs_blocks import Block, blocks, page_of
from docs_shell import check_script

from gomachinery_py import Config
from gomachinery_py.demo.embedded import EmbeddedRedis

BLOCKS = blocks()
# What cannot be run here. ``console`` is a transcript, pinned by test_first_minutes.py.
NOT_RUN = Counter({"text": 0, "console": 0})
RUN = {"python", "sh", "yaml", "json"}


def of(info: str) -> list[Block]:
    return [block for block in BLOCKS if block.info == info]


def test_every_block_is_of_a_kind_that_is_tried() -> None:
    """No block is passed over: each is run or parsed, and how many are not is known."""
    others = Counter(block.info for block in BLOCKS if block.info not in RUN)

    assert NOT_RUN == others, [str(block) for block in BLOCKS if block.info not in RUN]


@pytest.mark.parametrize("page", sorted({block.page for block in of("python")}))
def test_python(page: str) -> None:
    """The Python of a page runs from top to bottom, and its comments state what comes out."""
    with EmbeddedRedis() as redis, page_of(redis.url) as here:
        for block in of("python"):
            if block.page == page:
                here.run(block)


@pytest.mark.parametrize("block", of("sh"), ids=str)
def test_shell(block: Block, tmp_path: Path) -> None:
    """Each command is one: verbs, options and values of ours are as they are written."""
    for name in ("config.yml", "message.json", "app.py"):
        (tmp_path / name).touch()

    assert check_script(block.text, tmp_path) > 0


@pytest.mark.parametrize("block", of("yaml"), ids=str)
def test_yaml(block: Block) -> None:
    """A configuration has no key that Machinery does not know."""
    config = Config.from_yaml(block.text.encode(), strict=True)

    assert config.names_given() != frozenset()
    assert config.warnings == []


@pytest.mark.parametrize("block", of("json"), ids=str)
def test_json(block: Block) -> None:
    """It is JSON."""
    assert json.loads(block.text) is not None
