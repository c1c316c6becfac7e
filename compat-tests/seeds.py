"""The seed of this run's fresh random tests: the same in every process of it, printed at its end.

``GMPY_SEED=N`` repeats a run.
"""

from __future__ import annotations

import os
import secrets

__all__ = ["FRESH_SEED"]

# Set before pytest-xdist starts its workers, which inherit it.
FRESH_SEED = int(os.environ.setdefault("GMPY_SEED", str(secrets.randbelow(1 << 32))))
