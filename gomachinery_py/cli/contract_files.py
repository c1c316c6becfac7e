"""Contracts that are named on the command line."""

from __future__ import annotations

from pathlib import Path

from gomachinery_py.contracts.model import Contract
from gomachinery_py.contracts.reading import read_contract
from gomachinery_py.errors import ConfigError

__all__ = ["contract_in"]


def contract_in(file: Path) -> Contract:
    """Raises ConfigError, which names the file and the line."""
    try:
        data = file.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read the contract {file}: {error.strerror}") from error
    return read_contract(data, str(file))
