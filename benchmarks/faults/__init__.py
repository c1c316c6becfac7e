"""The fault tests in their heavy form, one file a fault: ``python -m benchmarks.faults NAME``.

Each starts its own servers, runs the same fault against our workers and live Go ones, prints both side by side, and
ends with status 1 when a promise of ours was broken, with 2 when it could not be tried. Their short forms are in
``compat-tests/test_faults_*.py``.

``--sabotaged`` runs ours alone, with the safeguard taken away: a test that does not end with status 1 then proves
nothing.
"""

from __future__ import annotations

import sys
from pathlib import Path

_COMPAT_TESTS = str(Path(__file__).resolve().parent.parent.parent / "compat-tests")
if _COMPAT_TESTS not in sys.path:
    sys.path.insert(0, _COMPAT_TESTS)
